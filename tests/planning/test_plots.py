"""Plots of memory, read back from the SVG: what is drawn has the size of the figures."""

import itertools
import subprocess
import sys

import pytest
from svg_kit import boxes, elements, markers, texts

from headrace.capacity.memory import Budget, Part
from headrace.capacity.waste import Context, Slots, Waste
from headrace.planning.plots import bars, concurrency, memory, slots

GB = 10**9
PARTS = (
    Part("weights", 40 * GB, 38 * GB, 42 * GB, "formula"),
    Part("graphs", 10 * GB, 10 * GB, 10 * GB, "known"),
)


def budget(fixed: int | None = None) -> Budget:
    return Budget(100 * GB, 92 * GB, PARTS, fixed)


def test_each_part_begins_where_the_last_ends() -> None:
    made = bars(budget())
    assert [(bar.name, bar.start // GB, bar.size // GB) for bar in made] == [
        ("weights", 0, 40),
        ("graphs", 40, 10),
        ("KV cache", 50, 42),
        ("spare", 92, 8),
    ]
    assert [(bar.low // GB, bar.high // GB) for bar in made] == [
        (38, 42),
        (10, 10),
        (40, 44),
        (8, 8),
    ]


def test_what_is_over_is_said_with_its_range() -> None:
    """40 + 10 + 60 of 100, and weights of 38 or 42 make it 8 or 12."""
    cache, over = bars(budget(60 * GB))[-2:]
    assert (cache.low, cache.high) == (60 * GB, 60 * GB)
    assert (over.name, over.start, over.size) == ("over", 100 * GB, 10 * GB)
    assert (over.low, over.high) == (8 * GB, 12 * GB)
    assert "fill: var(--bad," in memory(budget(60 * GB))


def test_bars_have_the_lengths_of_the_bytes() -> None:
    svg = memory(budget())
    (whole, weights), (first, cache) = boxes(svg, "s1"), boxes(svg, "s3")
    assert whole.width == pytest.approx(weights.width)
    assert cache.width / weights.width == pytest.approx(42 / 40, rel=1e-3)
    assert cache.left - weights.right == pytest.approx(weights.width / 4, rel=1e-3)
    assert first.top < cache.top
    assert {"40.0 GB (38.0 to 42.0 GB)", "10.0 GB", "may use 92.0 GB", "has 100.0 GB"} <= {
        *texts(svg)
    }


def test_small_parts_are_written_in_megabytes() -> None:
    small = Part("table", 33_600_000, 0, 33_600_000, "context")
    svg = memory(Budget(100 * GB, 92 * GB, (*PARTS, small)))
    assert "33.6 MB (0.0 to 33.6 MB)" in texts(svg)


def test_halves_are_equal_steps_on_the_axis_of_concurrency() -> None:
    found = [Context(1024 << n, 0.5**n, 160 / 2**n, 40.0) for n in range(5)]
    svg = concurrency(found, 4096)
    heights = [y for _, y in markers(svg, "s2")]
    steps = [lower - upper for upper, lower in itertools.pairwise(heights)]
    assert len(steps) == 4
    assert steps == pytest.approx([steps[0]] * 4, abs=1e-3)
    own = [y for _, y in markers(svg, "s1")]
    assert own == pytest.approx([heights[2]] * 5, abs=1e-3)  # 160 / 4 = 40
    refused = [y for _, y in markers(svg, "s8")]
    assert refused == sorted(refused)  # less and less, so further down
    assert {"planned: 4,096", "1,024", "16,384", "% refused"} <= {*texts(svg)}


def test_a_limit_that_refuses_all_has_no_point() -> None:
    svg = concurrency([Context(1024, 1.0, 100, 0.0), Context(8192, 0.0, 12.5, 20.0)])
    assert len(markers(svg, "s1")) == 1
    assert len(markers(svg, "s2")) == 2


def waste() -> Waste:
    """The well-known picture: 1,400 tokens in 3 x 4,096 slots or in 1,408."""
    static, paged = Slots(1400, 12_288), Slots(1400, 1408)
    return Waste(4096, 16, 0.0, static, paged, static, paged)


def test_waste_is_drawn_in_multiples_of_what_is_used() -> None:
    svg = slots(waste())
    used, wasted = boxes(svg, "s1")[0], boxes(svg, "s2")[0]
    assert wasted.width / used.width == pytest.approx((12_288 - 1400) / 1400, rel=1e-3)
    assert texts(svg).count("88.6% wasted") == 2
    assert texts(svg).count("0.6% wasted") == 2


@pytest.mark.parametrize("svg", [memory(budget()), slots(waste())], ids=["memory", "slots"])
def test_a_plot_says_what_it_shows_and_depends_on_nothing_else(svg: str) -> None:
    assert svg.startswith('<svg role="img" aria-label="')
    assert svg == (memory(budget()) if "Memory" in svg[:60] else slots(waste()))
    for outside in ("<script", "<style", "url(http", "font-family", "<metadata", "CC", "dc:date"):
        assert outside not in svg
    assert not [group for group in elements(svg, "g") if group.get("id")]


def test_matplotlib_is_imported_by_who_paints_only() -> None:
    check = "import sys, headrace.planning.sections; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
