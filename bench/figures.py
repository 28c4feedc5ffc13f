"""What is read from the measurements: figures over the repeats, and how contenders compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure import Measurement
from bench.stats import Repeats, inconclusive, paired_differences


@dataclass(frozen=True)
class Figure:
    """One line of the table; lower is better.

    A time is reported as what it adds to the direct connection of the same repeat, from the
    repeats whose load was on time (if there are none, from the others, and marked); a cost (CPU,
    memory) has no direct counterpart.
    """

    name: str
    unit: str
    scenario: str
    read: Callable[[Measurement], float]
    added: bool = False


def _cpu_per_chunk(one: Measurement) -> float:
    return one.cpu / one.outcome.chunks * 1e6


def _added_ttft(streams: int, label: str) -> tuple[Figure, Figure]:
    name, where = f"added TTFT {{}}, {label} streams", f"streams-{streams}"
    return (
        Figure(name.format("p50"), "ms", where, lambda one: one.outcome.ttft.p50 * 1e3, added=True),
        Figure(name.format("p99"), "ms", where, lambda one: one.outcome.ttft.p99 * 1e3, added=True),
    )


CPU_PER_CHUNK = Figure("CPU per million chunks, 200 streams", "s", "streams-200", _cpu_per_chunk)
BIG_GAP = Figure(
    "largest gap added to 50 streams by 1 MiB prompts",
    "ms",
    "big-prompts",
    lambda one: one.outcome.gaps.max * 1e3,
    added=True,
)
FIGURES = (
    CPU_PER_CHUNK,
    Figure("CPU per million chunks, 50 streams", "s", "streams-50", _cpu_per_chunk),
    Figure("CPU per million chunks, 1,000 streams", "s", "streams-1000", _cpu_per_chunk),
    Figure(
        "CPU per small request", "us", "requests", lambda one: one.cpu / one.outcome.requests * 1e6
    ),
    Figure(
        "memory per open stream",
        "KiB",
        "streams-1000",
        lambda one: (one.rss_most - one.rss_before) / one.outcome.most_open / 1024,
    ),
    Figure(
        "added latency p50, small requests",
        "ms",
        "requests",
        lambda one: one.outcome.latency.p50 * 1e3,
        added=True,
    ),
    *_added_ttft(50, "50"),
    *_added_ttft(200, "200"),
    *_added_ttft(1000, "1,000"),
    BIG_GAP,
    Figure(
        "gap p99 added to 50 streams by 1 MiB prompts",
        "ms",
        "big-prompts",
        lambda one: one.outcome.gaps.p99 * 1e3,
        added=True,
    ),
)


def over_repeats(
    figure: Figure, measurements: Sequence[Measurement], contender: str
) -> Repeats | None:
    """Return the figure over the usable repeats (times: what was added to direct), if any."""
    if not figure.added:
        found = tuple(_values(figure, measurements, contender).values())
        return Repeats(found) if found else None
    return _added(figure, measurements, contender, late=False) or _added(
        figure, measurements, contender, late=True
    )


def _added(
    figure: Figure, measurements: Sequence[Measurement], contender: str, *, late: bool
) -> Repeats | None:
    usable = [one for one in measurements if late or not one.blurred]
    ours, direct = (_values(figure, usable, name) for name in (contender, "direct"))
    return paired_differences(ours, direct, late=late)


def _values(
    figure: Figure, measurements: Sequence[Measurement], contender: str
) -> dict[int, float]:
    return {
        one.repeat: figure.read(one)
        for one in measurements
        if one.scenario == figure.scenario and one.contender == contender and not one.invalid
    }


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer's: `ratio` is for costs, `difference` for times (which may be near 0)."""

    ours: Repeats
    peer: Repeats

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours.median / self.peer.median if self.peer.median else float("inf")

    @property
    def difference(self) -> float:
        """Ours less the peer's."""
        return self.ours.median - self.peer.median

    @property
    def inconclusive(self) -> bool:
        """Whether the two differ by no more than the repeats of either."""
        return inconclusive(self.ours, self.peer)


def compare(
    figure: Figure, measurements: Sequence[Measurement], ours: str, peer: str
) -> Comparison | None:
    """Compare two contenders in one figure; none if either has no usable value."""
    mine = over_repeats(figure, measurements, ours)
    other = over_repeats(figure, measurements, peer)
    return Comparison(mine, other) if mine and other else None
