"""The page and the report: what is worth nothing says so first, nothing is fetched, all stays small."""

import re
import time
from html.parser import HTMLParser
from io import StringIO

import pytest
from made_runs_kit import Server, answer, failed, made, run_of
from rich.console import Console

from headrace.bench.answers import Failure
from headrace.bench.judged import judged
from headrace.bench.page import page
from headrace.bench.plots_course import timeline
from headrace.bench.report import html
from headrace.bench.run import Run
from headrace.bench.samples import Sample


class Seen(HTMLParser):
    """Headings, all text, and every attribute that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self._open.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] in {"h1", "h2"}:
            self.headings.append(data)


def seen(run: Run) -> Seen:
    return Seen(html(judged(run)))


def printed(run: Run, width: int = 1000) -> str:
    out = StringIO()
    Console(file=out, width=width).print(page(judged(run)))
    return out.getvalue()


def test_a_fine_run_says_that_the_promise_was_kept_and_why_to_trust_it() -> None:
    run = made(count=1030)
    found = seen(run)
    assert found.headings[1:3] == ["Was the promise kept?", "Admission, generation or life cycle?"]
    assert "The promise was kept: 100 % of requests had TTFT within 1 s" in found.text
    assert "Nothing speaks against the figures: 1,010 answers and 0 failures" in found.text
    assert "doubts" not in printed(run)
    assert "Nothing is wrong.\n" in printed(run)


def test_a_worthless_run_says_so_before_anything_else() -> None:
    run = made(count=200, late=0.2)
    assert seen(run).headings[1] == "This run is worthless"
    assert printed(run).startswith("worthless: 1 request in 100 was sent")


def test_a_saturated_run_names_admission() -> None:
    run = made(rate=16, count=600)
    assert "Admission is at fault" in printed(run)
    found = seen(run)
    assert "The promise was broken" in found.text
    assert "faster than they were answered" in found.text
    assert "queued (gateway)" in found.text


def test_misses_that_are_few_still_say_where_they_waited() -> None:
    run = made(rate=3, count=300, slo={"ttft": 0.5, "tpot": 0.05})
    for number, one in enumerate(run.answers):
        if number % 12 == 0 and one.first is not None:
            one.first, one.queued = one.first + 1.5, (one.queued or 0.0) + 1.5
    assert "queued 1.5 s for room" in printed(run)
    assert "in the mean: admission." in printed(run)


def test_nothing_is_fetched_and_nothing_from_a_run_is_markup() -> None:
    bad = failed(3, 1.0, Failure.RUBBISH, detail='<script>alert("x")</script> $a_b$')
    run = run_of([answer(n, n * 0.3, shape="<b>x</b>") for n in range(30)] + [bad], name="a<i>b")
    found = seen(run)
    assert not {"script", "link", "img", "i", "b"} & set(found.tags)
    assert all(link.startswith("#") for link in found.links)
    assert '<script>alert("x")</script> $a_b$' in found.text


def test_failures_are_shown_with_their_own_words() -> None:
    run = made(count=300, fail={Failure.REFUSED: 0.1, Failure.SILENT: 0.05})
    found = seen(run)
    assert "What failed" in found.headings
    assert "the queue of route chat is full (64)" in found.text
    assert re.search(r"failed: refused \d+ of 280 \(429 Too Many Requests", printed(run))


def test_an_endpoint_cannot_write_to_the_terminal() -> None:
    bad = [failed(n, 0.1 * n, Failure.RUBBISH, detail="\x1b[2J[red]gone[/red]") for n in range(9)]
    assert "\x1b" not in printed(run_of(bad))
    assert "[red]gone[/red]" in printed(run_of(bad))


def test_shapes_and_replicas_only_where_there_is_more_than_one() -> None:
    alone = seen(made(count=120)).headings
    assert "By shape" not in alone
    assert "By replica" not in alone
    several = made(count=120, shapes={"a": (50, 20), "b": (500, 20)}, server=Server(replicas=2))
    assert {"By shape", "By replica"} <= set(seen(several).headings)


@pytest.mark.parametrize(
    "run",
    [
        run_of([]),
        run_of([answer()]),
        run_of([answer(warmup=True)]),
        run_of([failed(1, 0.0)], slo={"ttft": 1.0}),
        run_of([failed(1, 0.0, Failure.STOPPED, after=0.0)]),
        run_of([answer(1, 5.0, first=5.0, last=5.0, ended=5.0, gaps=[0.0, 0.0])]),
        run_of([answer(n, 1.0) for n in range(40)]),
        run_of([answer(1, gaps=[], output_tokens=1, last=0.1)], [Sample(at=0.0, source="gateway")]),
        run_of(
            [answer(1, first=None, last=None, gaps=[])],
            [Sample(at=0.0, source="engine:x", error="no")],
        ),
        run_of([answer(n, 0.1 * n) for n in range(30)], load={"concurrency": 4}),
    ],
)
def test_odd_runs_have_a_page_and_a_report(run: Run) -> None:
    assert len(seen(run).headings) >= 4
    assert printed(run)


def test_twenty_thousand_requests_make_a_small_report_that_says_what_it_leaves_out() -> None:
    run = made(
        rate=40, count=20_000, server=Server(slots=90), fail={Failure.RESET: 0.04}, looks=False
    )
    judgement = judged(run)
    began = time.process_time()
    found = html(judgement)
    assert time.process_time() - began < 10
    assert len(found) < 1_500_000
    assert re.search(r"1,\d\d\d of 19,\d\d\d whole answers are drawn", found)
    assert re.search(r"\d+ of \d+ failures are drawn", found)


def test_the_same_run_gives_the_same_report() -> None:
    assert html(judged(made(count=60))) == html(judged(made(count=60)))


@pytest.mark.parametrize(("width", "wide"), [(80, True), (60, False), (40, False)])
def test_no_figure_is_cut_in_a_narrow_terminal(width: int, wide: bool) -> None:
    lines = printed(made(count=60), width).splitlines()
    columns = ["mean", "p50", "p90", "p95", "p99", "max"] if wide else ["p50", "p95"]
    assert columns in [line.split() for line in lines]
    assert not [line for line in lines if "\N{HORIZONTAL ELLIPSIS}" in line]
    assert max(len(line.rstrip()) for line in lines) <= width


def test_a_closed_loop_has_no_rate_at_which_requests_were_due() -> None:
    run = run_of([answer(n, at=0.0) for n in range(3)], load={"concurrency": 3})
    assert "were due" not in printed(run)
    assert "were due" in printed(made(count=60))
    assert "requests due a second" not in seen(run).text
    assert "requests due a second" in seen(made(count=60)).text


def test_the_share_that_kept_the_promise_is_the_same_number_wherever_it_stands() -> None:
    late = [answer(n, n * 1.0, first=n + 0.13) for n in range(1)]
    run = run_of([*late, *(answer(n, n * 1.0) for n in range(1, 40))], slo={"ttft": 0.12})
    said = printed(run)  # 39 of 40
    assert said.count("97.5 %") == 2
    assert "98 %" not in said


def test_failures_that_no_part_of_the_server_explains_are_counted_in_the_verdict() -> None:
    run = run_of(
        [*(answer(n, at=n / 10) for n in range(30)),
         *(failed(n, at=n / 10, kind=Failure.UNREACHABLE) for n in range(30, 40))]
    )  # fmt: skip
    assert "10 of 40 failed (unreachable 10)." in printed(run)


def test_grey_in_the_timeline_is_a_warm_up_and_not_the_wait_for_the_first_request() -> None:
    grey = "opacity: 0.6"
    later = [answer(number, 5.0 + number) for number in range(5)]
    assert grey not in timeline(run_of(later), 5.0, 10.0)
    assert grey in timeline(run_of([answer(9, 1.0, warmup=True), *later]), 5.0, 10.0)
