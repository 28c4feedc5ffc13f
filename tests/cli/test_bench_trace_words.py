"""A trace is replayed at its own times, scaled as asked, unless other arrivals are named."""

from pathlib import Path

import pytest

from headrace.cli.bench_options import Words
from headrace.cli.bench_plan import filled, read_words
from headrace.traffic.arrivals import Arrivals, Poisson, Replay


@pytest.mark.parametrize(
    ("arrivals", "concurrency", "expected"),
    [
        (None, None, Replay(0.1)),
        ("replay", None, Replay(0.1)),
        ("5", None, Poisson(5)),
        (None, 2, None),
    ],
)
def test_the_time_scale_is_heard(
    arrivals: str | None, concurrency: int | None, expected: Arrivals | None
) -> None:
    words = Words(
        arrivals=arrivals, concurrency=concurrency, count=None, duration=None, shape=None,
        file=None, trace=Path("t"), time_scale=0.1, shrink=1, clip=False, sessions=None,
        prefix=None, context=None, warmup="0", slo=None, patience="60s", most_in_flight=None,
        workers=None, seed=0, completions=False, own_length=False, fresh=False, texts=False,
    )  # fmt: skip
    plan = filled(read_words(words), None, None)
    assert plan.order.arrivals == expected
    assert plan.load.concurrency == concurrency
