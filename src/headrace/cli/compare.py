"""`headrace compare ROUTE`: a route's variants and shadow side by side, to judge a canary by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from headrace.cli.requests import since_option
from headrace.cli.running import FleetOption, find_fleet
from headrace.gateway import history
from headrace.gateway.history import Figures
from headrace.local.errors import LocalError
from headrace.traffic.quantile import quantile

_WIDTHS = (9, 7, 8, 6, 13, 10, 7, 8)
"""With a name of 12 these are 80 characters."""
_HEADS = (
    ("", "", "", "", "ttft ms", "tpot ms", "mean", "mean"),
    ("requests", "errors", "refused", "moved", "p50/p95", "p50/p95", "tokens", "cost"),
)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One variant in figures; times are in seconds.

    `errors` counts requests that failed, `refused` those that no replica got, `elsewhere` those
    that fell back to another deployment; their times and tokens do not count for this variant.
    `tokens` is the mean of generated tokens, `cost` that of a request's cost.
    """

    variant: str
    shadow: bool
    requests: int
    errors: int
    refused: int
    elsewhere: int
    ttft_p50: float | None
    ttft_p95: float | None
    tpot_p50: float | None
    tpot_p95: float | None
    tokens: float | None
    cost: float | None


def compare(
    route: Annotated[str, typer.Argument(help="The route whose variants are compared.")],
    since: Annotated[str, typer.Option(help="Requests that ended within this time.")] = "1h",
    fleet: FleetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """Compare the variants of a route, and its shadow, by what their requests met with.

    A request counts for the variant that it was given to, even if it fell back to another (moved).
    """
    store = find_fleet(fleet).requests
    found = history.figures(store, route, since_option(since) or 0.0) if store.exists() else []
    if not found:
        raise LocalError(f"route '{route}' had no request in the last {since}; see --since")
    for line in map(msgspec.json.encode, sides(found)) if as_json else table(sides(found)):
        typer.echo(line)


def sides(figures: Iterable[Figures]) -> list[Side]:
    """Return each variant in figures, shadows last."""
    groups: defaultdict[tuple[bool, str], list[Figures]] = defaultdict(list)
    for one in figures:
        groups[bool(one.shadow), one.variant].append(one)
    return [_side(*group, of) for group, of in sorted(groups.items())]


def _side(shadow: bool, variant: str, figures: list[Figures]) -> Side:
    own = [one for one in figures if one.deployment == variant]
    ttft, tpot = [one.ttft_s for one in own], [one.tpot_s for one in own]
    fine = ("ok", "client_gone", "refused")
    return Side(
        variant=variant,
        shadow=shadow,
        requests=len(figures),
        errors=sum(one.outcome not in fine for one in figures),
        refused=sum(one.outcome == "refused" for one in figures),
        elsewhere=sum(one.deployment not in (variant, None) for one in figures),
        ttft_p50=quantile(ttft, 0.50),
        ttft_p95=quantile(ttft, 0.95),
        tpot_p50=quantile(tpot, 0.50),
        tpot_p95=quantile(tpot, 0.95),
        tokens=_mean([one.completion_tokens for one in own]),
        cost=_mean([one.cost for one in own]),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def table(found: Sequence[Side]) -> Iterator[str]:
    """Yield the lines of the table; in 80 columns when no name has more than 12 characters."""
    names = [f"{side.variant} (shadow)" if side.shadow else side.variant for side in found]
    width = max(map(len, ["variant", *names]))
    for name, head in zip(("", "variant"), _HEADS, strict=True):
        yield _line(name, width, head)
    for name, side in zip(names, found, strict=True):
        yield _line(name, width, _cells(side))


def _line(name: str, width: int, cells: Iterable[str]) -> str:
    columns = zip(cells, _WIDTHS, strict=True)
    return f"{name:<{width}}" + "".join(f" {cell:>{space - 1}}" for cell, space in columns)


def _cells(side: Side) -> Iterator[str]:
    yield str(side.requests)
    yield _share(side.errors / side.requests)
    yield str(side.refused)
    yield str(side.elsewhere)
    yield _pair(side.ttft_p50, side.ttft_p95)
    yield _pair(side.tpot_p50, side.tpot_p95, fine=True)
    yield "-" if side.tokens is None else f"{side.tokens:.0f}"
    yield "-" if side.cost is None else f"{side.cost:.2g}"


def _share(value: float) -> str:
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"  # noqa: PLR2004 - 0.0% means none


def _pair(middle: float | None, high: float | None, *, fine: bool = False) -> str:
    """Write two times in milliseconds; `fine` ones with a digit more if both are below 100."""
    if middle is None or high is None:
        return "-"
    digits = 1 if fine and high < 0.09995 else 0  # noqa: PLR2004 - written as 100
    return f"{middle * 1000:.{digits}f}/{high * 1000:.{digits}f}"
