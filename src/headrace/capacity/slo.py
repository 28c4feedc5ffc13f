"""What the user is waiting for, as bounds on TTFT and TPOT; `choose.py` ranks what keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from headrace.fleet.routes import Workload


@dataclass(frozen=True)
class Slo:
    """Bounds that 95 of 100 requests keep, in seconds: to the first token, and for each further."""

    ttft: float
    tpot: float
    why: str = "as the file says"

    def __post_init__(self) -> None:
        for name, bound in (("ttft", self.ttft), ("tpot", self.tpot)):
            if not bound > 0:
                raise ValueError(
                    f"the SLO's {name} is {bound} s; it must be above 0"
                    " (for no bound, take those of `batch`)"
                )

    def __str__(self) -> str:
        """As people write it."""
        return f"TTFT p95 {self.ttft:g} s, TPOT p95 {1000 * self.tpot:g} ms"


DEFAULTS: Mapping[Workload, Slo] = MappingProxyType(
    {
        "interactive": Slo(
            2.0,
            0.06,
            "a person reads along: after 2 s without a sign people wonder whether it works, and"
            " 60 ms a token are about 12 English words a second, three times as fast as reading",
        ),
        "batch": Slo(
            60.0,
            0.5,
            "nobody watches, so tokens for the money count; 60 s and 0.5 s a token still finish"
            " 1,000 tokens inside the 10 min after which OpenAI's client gives up",
        ),
        "long-context": Slo(
            10.0,
            0.1,
            "the prompt is a document, which takes seconds to read at any price, and who sends one"
            " expects that; 100 ms a token are still about 8 English words a second",
        ),
    }
)
"""Rules of thumb, to be replaced by what the product needs. An English word has about 1.3 tokens;
people read about 4 words a second."""


def slo_for(waiting: Workload, ttft: float | None = None, tpot: float | None = None) -> Slo:
    """Return the defaults for what the user waits for, with the bounds that the file names."""
    default = DEFAULTS[waiting]
    if ttft is None and tpot is None:
        return default
    named = [name for name, bound in (("TTFT", ttft), ("TPOT", tpot)) if bound is not None]
    return Slo(
        default.ttft if ttft is None else ttft,
        default.tpot if tpot is None else tpot,
        f"{' and '.join(named)} as the file says; otherwise {waiting}: {default.why}",
    )
