"""The line that a run of `headrace bench` shows while it lasts."""

from headrace.bench.load import Progress
from headrace.cli.bench_live import line

NOW = Progress(sent=16, running=4, ended=12, failed=0, seconds=3.0, lag=0.0, rate=4.0)


def test_of_how_many_is_said_only_where_their_number_decides() -> None:
    assert "  16/142 sent, 4 in flight" in line(NOW, 142)
    assert "  16 sent, 4 in flight" in line(NOW, None)
