"""A check as a person sees it."""

from __future__ import annotations

from rich.console import Console

from headrace.planning.check import Check
from headrace.planning.check_page import check_page
from headrace.planning.check_row import Planned, Row, row
from headrace.planning.check_settings import Setting

GIB = 2**30


def printed(*rows: Row, settings: tuple[Setting, ...] = ()) -> str:
    found = Check("0.32.0", "0.32.0", "/models/[m]", settings, rows, "one sentence")
    console = Console(width=120)
    with console.capture() as text:
        console.print(check_page(found))
    return text.get()


def test_a_row_has_everything() -> None:
    weights = row("weights", Planned(15 * GIB, 14 * GIB, 16 * GIB, "formula"), 15.5 * GIB)
    blocks = row(
        "KV blocks", Planned(1000, 1000, 1000, "whole"), 900, unit="blocks", blame="weights"
    )
    text = printed(weights, blocks)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "the plan against the log of vLLM 0.32.0, /models/[m]"
    assert lines[2] == (
        "weights 15.00 GiB 14.00 to 16.00 GiB 15.50 GiB +0.50 GiB within the assumption"
    )
    assert lines[3] == "KV blocks 1,000 900 -10.0% off: weights"
    assert lines[-1] == "one sentence"


def test_settings_come_before_the_sentence() -> None:
    text = printed(settings=(Setting("max_model_len", "2,048", "4,096"),))
    assert "another setting: max_model_len is 4,096, planned 2,048\none sentence" in text


def test_rounding_of_the_log_is_no_difference() -> None:
    """15.00 GiB may be 14.995 to 15.005; and 0.2 % are nothing to decide by."""
    exact = Planned(15 * GIB, 15 * GIB, 15 * GIB, "files")
    near = row("weights", exact, 15.004 * GIB, 0.005 * GIB)
    assert (near.exactly, near.verdict, near.apart) == (True, "as planned", "0")
    assert row("weights", exact, 15.02 * GIB).verdict == "as planned"
    assert row("weights", exact, 15.04 * GIB).verdict == "off: weights"


def test_rounding_widens_the_bounds() -> None:
    planned = Planned(15 * GIB, 14 * GIB, 16 * GIB, "formula")
    assert row("weights", planned, 13.98 * GIB).verdict == "within the assumption"
    assert row("weights", planned, 13.96 * GIB).verdict == "off: weights"
    assert row("weights", planned, 13.96 * GIB, 0.05 * GIB).outside == 0


def test_one_block_too_few_is_off_where_the_cache_is_fixed() -> None:
    exact = Planned(273, 273, 273, "whole blocks")
    assert row("KV blocks", exact, 272, unit="blocks").verdict == "off: KV blocks"
    assert row("KV blocks", exact, 273, unit="blocks").verdict == "as planned"
