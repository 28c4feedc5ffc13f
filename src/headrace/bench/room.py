"""Whether a request fits into the engine's context; what does not is left out or clipped."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.bench.workload_order import Misfit


@dataclass
class Room:
    """`context` tokens for prompt and answer together; None where nobody knows a limit."""

    context: int | None
    misfit: Misfit = Misfit.LEAVE_OUT
    left_out: int = 0
    clipped: int = 0
    raised: int = 0
    alike: int = 0
    """Texts that begin as another does, because they are too short not to."""

    def fit(self, prompt: int, output: int, least: int, *, fixed: bool = False) -> tuple[int, int]:
        """Return the tokens of prompt and answer as they can be sent; (0, 0) leaves it out.

        No prompt is shorter than `least` (its template and a word); a `fixed` one is as it is.
        """
        if prompt < least:
            self.raised += 1
            prompt = least
        if self.context is None or prompt + output <= self.context:
            return prompt, output
        shortest = prompt if fixed else least
        if self.misfit is Misfit.LEAVE_OUT or shortest >= self.context:
            self.left_out += 1
            return 0, 0
        self.clipped += 1
        output = min(output, self.context - shortest)
        return min(prompt, self.context - output), output

    def notes(self) -> list[str]:
        """Return what was done, in sentences without the nothing."""
        context = f"more than the context of {self.context or 0:,} tokens"
        said = (
            (self.left_out, f"left out: prompt and answer are {context}"),
            (self.clipped, f"clipped: prompt and answer were {context}"),
            (self.raised, "made longer: the template alone has more tokens than were asked for"),
            (self.alike, "too short to begin unlike all others"),
        )
        return [f"{n:,} request{'s' * (n > 1)} {what}" for n, what in said if n]
