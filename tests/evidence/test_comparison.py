"""Two results side by side: what they were of first, then figures, ratios and whether it is more than chance."""

from __future__ import annotations

import pytest
from evidence_kit import DAY, plain

from headrace.evidence.comparison import compare
from headrace.evidence.fingerprint import Fingerprint
from headrace.evidence.result import Evidence, Figure, Variant, made
from headrace.evidence.words import amount, figure, lines


def figure_of(value: float, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value=value, unit="s", low=low, high=high)


def kept(*variants: tuple[str, Fingerprint, dict[str, Figure]], **figures: Figure) -> Evidence:
    made_ = tuple(Variant(name=n, fingerprint=f, figures=g) for n, f, g in variants)
    return made(
        experiment="e", deployment="d", variants=made_, figures=figures, taken=DAY,
        conclusion=("It is faster.",), doubts=("The machine was busy.",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((1, 0.9, 1.1), (2, 1.8, 2.2), "differs"),
        ((1, 0.9, 1.1), (1.1, 1.05, 1.2), "may be chance"),
        ((1, 0.9, 1.1), (0.5, 0.4, 0.9), "may be chance"),
        ((1, 0.9, 1.1), (0.5, 0.4, 0.8), "differs"),
        ((1,), (2, 1.8, 2.2), "spread unknown"),
    ],
)
def test_a_difference_is_more_than_chance_where_the_ranges_are_apart(
    old: tuple[float, ...], new: tuple[float, ...], verdict: str
) -> None:
    found = compare(
        kept(("a", plain(), {"ttft": figure_of(*old)})),
        kept(("b", plain(), {"ttft": figure_of(*new)})),
    )
    (row,) = found.rows
    assert (row.verdict, row.ratio) == (verdict, pytest.approx(new[0] / old[0]))
    assert (found.setting, found.workload, found.alone) == ((), (), ())


def test_differences_are_said_once_where_all_have_them() -> None:
    def pair(version: str, seqs: int, **rate: int) -> Evidence:
        short = plain(version=version, flags={"max_model_len": 1}, workload=rate)
        other = plain(version=version, flags={"max_num_seqs": seqs}, workload=rate)
        return kept(("short", short, {}), ("long", other, {}))

    found = compare(pair("1", 16, rate=1), pair("2", 32, rate=2))
    assert found.setting == (
        "engine unknown 1 -> unknown 2",
        "long: max_num_seqs 16 -> 32",
    )
    assert found.workload == ("rate 1 -> 2",)


def test_what_has_no_pair_is_named() -> None:
    one = kept(("a", plain(), {"x": figure_of(1)}), ("b", plain(), {}))
    other = kept(("a", plain(), {"y": figure_of(0)}), ("c", plain(), {}), total=figure_of(3))
    found = compare(one, other)
    assert [name.split()[0] for name in found.alone] == ["b", "c"]
    rows = {row.name: row for row in found.rows}
    assert set(rows) == {"total", "x", "y"}
    assert all(row.ratio is None and row.verdict is None for row in rows.values())


def test_from_nothing_there_is_no_ratio() -> None:
    one, other = (kept(("a", plain(), {"x": figure_of(v)})) for v in (0.0, 1.0))
    assert compare(one, other).rows[0].ratio is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.2104, "s", "210 ms"),
        (3.14159, "s", "3.14 s"),
        (2**30, "bytes", "1.0 GiB"),
        (0.0312, "share", "3.1%"),
        (1234.5, "tokens/s", "1,234 tokens/s"),
        (2, "", "2"),
    ],
)
def test_amounts_have_their_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_a_figure_has_its_range_and_its_number() -> None:
    one = Figure(value=0.2, unit="s", n=1200, low=0.19, high=0.21)
    assert figure(one) == "200 ms (190 ms to 210 ms, n 1,200)"
    assert figure(one, bounds=False) == "200 ms"
    assert figure(Figure(value=2)) == "2"


def test_all_of_a_result_is_shown() -> None:
    one = kept(("a", plain(checksum="c" * 64), {"ttft": figure_of(0.2)}), total=figure_of(3))
    text = "\n".join(lines(one))
    for part in (one.id, "It is faster.", "The machine was busy.", "200 ms", "max_num_seqs 16",
                 "sha256 cccc", "total: 3 s", "unknown: engine, hardware"):  # fmt: skip
        assert part in text
