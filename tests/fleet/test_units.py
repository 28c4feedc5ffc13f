"""Durations and sizes: numbers by hand."""

import pytest

from headrace.fleet.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("1d", 86400.0), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2147483648), ("500MB", 500_000_000), ("1.5KiB", 1536), ("7B", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["90", 90, "90 s", "-1s", "s", "", None, "1w", "1e3s", "90s\n", "\u0663s"]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2", "2Gi", "GiB", "-1GiB", "1 GiB", 2])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="size with its unit"):
        parse_size(text)


def test_sizes_are_written_for_people() -> None:
    assert [format_size(n) for n in (5, 1536, 2**31)] == ["5 B", "1.5 KiB", "2.0 GiB"]


def test_durations_are_written_as_they_are_read() -> None:
    assert [format_duration(n) for n in (0.25, 1, 90, 300, 7200, 0)] == [
        "250ms", "1s", "90s", "5m", "2h", "0ms",
    ]  # fmt: skip
