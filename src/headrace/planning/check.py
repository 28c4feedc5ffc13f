"""A plan against what an engine said of its memory: part by part, and which assumption was off.

`engines/vllm_memory_log.py` reads the log, `check_log.py` finds it, `check_page.py` shows the
result. Rows that the plan assumes come first (weights, activations, libraries, graphs, bytes of a
block); the cache and what it holds follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.capacity.fits import Fit
from headrace.capacity.memory import ENGINE
from headrace.engines.vllm_memory_log import MemorySaid
from headrace.planning.check_parts import assumed_rows
from headrace.planning.check_room import following_rows
from headrace.planning.check_row import Row, figure
from headrace.planning.check_settings import Setting, other_settings


@dataclass(frozen=True)
class Check:
    """What was compared; `version` and `model` are the log's, `conclusion` is one sentence.

    `settings` are flags that the log's engine had and the plan has not: then rows differ for them.
    """

    engine: str
    version: str | None
    model: str | None
    settings: tuple[Setting, ...]
    rows: tuple[Row, ...]
    conclusion: str

    @property
    def good(self) -> bool:
        """Whether the log is of this plan and nothing is off."""
        return not self.settings and not any(row.off for row in self.rows)


def check(fit: Fit, said: MemorySaid, engine: str = ENGINE) -> Check:
    """Compare them; `engine` is the version that `fit` was planned for."""
    settings = tuple(other_settings(fit.setup, said, engine))
    assumed = tuple(assumed_rows(fit, said))
    follows = tuple(following_rows(fit, said, _worst(assumed)))
    return Check(
        engine=engine,
        version=said.version,
        model=said.model,
        settings=settings,
        rows=assumed + follows,
        conclusion=" ".join(_conclusion(settings, assumed, follows)),
    )


def _worst(rows: Sequence[Row]) -> Row | None:
    """Return the assumption that is off by most."""
    return max((row for row in rows if row.off), key=lambda row: row.outside, default=None)


def _conclusion(
    settings: Sequence[Setting], assumed: Sequence[Row], follows: Sequence[Row]
) -> Iterator[str]:
    """Yield the parts of one sentence."""
    if settings:
        yield f"the log is of another setup: {', '.join(map(str, settings))};"
    worst = _worst(assumed)
    if worst is not None:
        yield f"most off is {worst.part}: {_instead(worst)}, assumed was {worst.range}"
        yield f"({worst.assumption});"
    elif any(row.off for row in follows):
        yield "no part that the log tells of is off, and the cache is;"
        yield "VLLM_LOGGING_LEVEL=DEBUG makes the engine tell more:"
    elif all(row.exactly for row in follows):
        yield "as planned:"
    else:
        yield from _within(assumed)
    yield _cache(follows)


def _within(assumed: Sequence[Row]) -> Iterator[str]:
    yield "within the assumptions:"
    furthest = max(assumed, key=lambda row: abs(row.difference), default=None)
    if furthest is not None and not furthest.exactly:
        yield f"furthest from its value is {furthest.part} with {_instead(furthest)};"


def _cache(follows: Sequence[Row]) -> str:
    """Return what the cache came out as: all counts if as planned, else the most exact one."""
    counts = [row for row in follows if row.unit != "bytes"]
    if not all(row.exactly for row in counts):
        counts = counts[:1]
    told = ", ".join(map(_counted, counts or follows[:1]))
    return told or "the log does not tell the size of the KV cache"


def _counted(row: Row) -> str:
    return _instead(row, f" {row.part}") if row.unit != "bytes" else f"{row.part} {_instead(row)}"


def _instead(row: Row, counted: str = "") -> str:
    """Return what was said, and what was planned if that is another figure."""
    found, planned = figure(row.said, row.unit), figure(row.planned, row.unit)
    if row.exactly or found == planned:
        return found + counted
    share = f" ({row.difference / row.planned:+.1%})" if row.planned else ""
    return f"{found}{counted} instead of {planned}{share}"
