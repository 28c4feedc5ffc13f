"""The text of an answer as a client may see it: whole characters, and nothing of a stop string.

As vLLM does it: as long as an answer has stop strings, the last characters that could be the
beginning of one are held back; where one is found the text ends before it.
"""

from __future__ import annotations

from headrace.emulation.text import Detokenizer


class Shown:
    """Tokens in, visible text out; `keep` shows the stop string itself, too."""

    def __init__(self, prompt: bytes, stops: tuple[str, ...], *, keep: bool) -> None:
        self.stopped_by: str | None = None
        self._characters = Detokenizer(prompt)
        self._stops, self._keep = stops, keep
        self._behind = max(map(len, stops)) - 1 if stops and not keep else 0
        self._text = ""
        self._sent = 0

    def push(self, token: int, *, stops: bool = True) -> str:
        """Return what this token makes visible; `stops` False looks for no stop string yet."""
        text = self._characters.push(token)
        if not self._stops:
            return text
        before = len(self._text)
        self._text += text
        if stops and self._found(before):
            return self.rest()
        return self._up_to(len(self._text) - self._behind)

    def rest(self) -> str:
        """Return what was held back, at the end; a begun character is lost, as in vLLM."""
        return self._up_to(len(self._text))

    def _found(self, before: int) -> bool:
        for stop in self._stops:
            at = self._text.find(stop, max(0, before - len(stop) + 1))
            if at >= 0:
                self.stopped_by = stop
                self._text = self._text[: at + len(stop) * self._keep]
                return True
        return False

    def _up_to(self, end: int) -> str:
        text = self._text[self._sent : end]
        self._sent = max(self._sent, end)
        return text
