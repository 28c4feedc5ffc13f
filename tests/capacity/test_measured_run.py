import re
from typing import Any

import pytest

from headrace.capacity.measured_run import read_run

LINE = {
    "request_id": "a", "input_toks": 10, "output_toks": 3,
    "arrival_time": 100.0, "first_token_ts": 101.0, "last_token_ts": 103.0,
}  # fmt: skip


def test_requests_are_in_the_order_of_arrival_and_time_begins_with_the_first() -> None:
    late = LINE | {
        "arrival_time": 105.0,
        "first_token_ts": 105.5,
        "last_token_ts": 106.5,
        "output_toks": 6,
    }
    run = read_run([late, LINE], "run.jsonl")
    assert run.traffic.arrivals.tolist() == [0.0, 5.0]
    assert run.traffic.outputs.tolist() == [3, 6]
    assert run.ttft.tolist() == [1.0, 0.5]
    assert run.tpot.tolist() == [1.0, 0.2]


def test_arrival_on_the_engine_s_clock_is_taken_where_it_is_known() -> None:
    run = read_run([LINE | {"arrival_time": 1.7e9, "queued_ts": 100.5}], "run.jsonl")
    assert run.ttft.tolist() == [0.5]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"output_toks": None}, "run.jsonl:2: output_toks must be a number, not None"),
        ({"input_toks": "12"}, "input_toks must be a number, not '12'"),
        ({"first_token_ts": float("nan")}, "first_token_ts must be a number, not nan"),
        ({"output_toks": 0}, "must be at least 1"),
        ({"input_toks": -4}, "must be at least 1"),
        ({"first_token_ts": 99.0}, "must follow each other on one clock, not 100.0, 99.0, 103.0"),
        ({"output_toks": True}, "output_toks must be a number, not True"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_run([LINE, LINE | change], "run.jsonl")


def test_an_empty_run() -> None:
    with pytest.raises(ValueError, match=r"run\.jsonl: no requests"):
        read_run([], "run.jsonl")
