"""Where one request goes, and why: what was decided when it came, and what changed since.

`director.py` makes it, the exchange carries it through its life, and `account.py` turns it into the
record's words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.gateway.records import Fallback, Touched

if TYPE_CHECKING:
    from headrace.gateway.control import Key
    from headrace.ledger.ledger import Grant
    from headrace.routing.overflow import Landing
    from headrace.routing.route import Route
    from headrace.routing.ticket import Want


@dataclass(slots=True)
class Direction:
    """One request's way.

    `rule` names what its route asks about; `variant` is what the route's weights gave, `why` in
    words; `deployment` is where it is now. `size` is its prompt in tokens, exact or within `margin`
    (a share). `output_bound` is a limit's bound on its answer, where it has none of its own.
    """

    route: Route
    rule: str
    variant: str
    why: str
    deployment: str
    want: Want
    size: int
    margin: float
    prompt_bytes: int = 0
    max_tokens: int | None = None
    key: Key | None = None
    adapter: str | None = None
    conversation: str | None = None
    grant: Grant | None = None
    output_bound: int | None = None
    shadow: str | None = None
    shadow_of: str | None = None
    limits: tuple[Touched, ...] = ()
    fallbacks: list[Fallback] = field(default_factory=list)
    fallback_why: str = ""

    @property
    def left(self) -> tuple[str, ...]:
        """The deployments that overflow took it from."""
        return tuple(fallback.origin for fallback in self.fallbacks)

    def divert(self, landing: Landing) -> None:
        """Go elsewhere, for the landing's cause."""
        if landing.cause is not None:
            self.fallbacks.append(Fallback(landing.cause, self.deployment))
            self.fallback_why = landing.why
        self.deployment = landing.deployment
