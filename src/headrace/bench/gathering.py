"""Brings together what the senders of a run report, and says how the run is going."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from headrace.bench.answers import Answer
from headrace.bench.exchange import OWN
from headrace.bench.frames import News
from headrace.bench.load import Progress
from headrace.bench.run import Run
from headrace.bench.samples import Sample

if TYPE_CHECKING:
    from headrace.bench.measure import Keep

_WINDOW = 2.0
"""Seconds over which rates and the worst lag are told."""


class Gathering:
    """Fills a run; `trouble` is what keeping it suffered."""

    def __init__(self, run: Run, tell: Callable[[Progress], None], keep: Keep | None) -> None:
        self._run, self._tell, self._keep = run, tell, keep
        self._origin = monotonic()
        self._latest: dict[int, News] = {}
        self._window: deque[tuple[float, int, int, float]] = deque()
        self._failed = 0
        self.trouble: list[str] = []

    def begin(self, origin: float) -> None:
        """Note when the run began, on the monotonic clock."""
        self._origin = origin

    def hear(self, worker: int, news: News) -> None:
        """Take a sender's news."""
        self._latest[worker] = news
        self._run.answers += news.answers
        for answer in news.answers:
            if answer.failure is not None:
                self._failed += 1
                self._blame(answer)
        if news.answers:
            self._kept(lambda keep: keep.answers(news.answers))
        self.samples(news.samples)
        tokens = sum(answer.output_tokens or 0 for answer in news.answers)
        self._window.append((monotonic(), len(news.answers), tokens, news.lag))
        self._tell(self._progress())

    def samples(self, samples: Sequence[Sample]) -> None:
        """Take samples, of senders or of metrics pages."""
        self._run.samples += samples
        if samples:
            self._kept(lambda keep: keep.samples(samples))

    def end(self, lost: Sequence[str], *, interrupted: bool) -> None:
        """Put the run in order; `lost` are senders that died."""
        about = self._run.about
        about.seconds = max(monotonic() - self._origin, 0.0)
        about.interrupted = interrupted
        about.lost, about.trouble = list(lost), list(self.trouble)
        self._run.answers.sort(key=lambda answer: answer.number)
        self._run.samples.sort(key=lambda sample: sample.at)

    def _kept(self, give: Callable[[Keep], None]) -> None:
        """Give something to who keeps it; after the first failure no more."""
        if self._keep is None:
            return
        try:
            give(self._keep)
        except OSError as error:
            self._keep = None
            self.trouble.append(
                f"from {self._seconds:.0f} s on nothing was kept on disk: {error.strerror}"
            )

    def _blame(self, answer: Answer) -> None:
        """Say once if a failure is not the server's."""
        said = f"a request had no connection for a reason {answer.detail}"
        if answer.detail.startswith(OWN) and said not in self.trouble:
            self.trouble.append(said)

    @property
    def _seconds(self) -> float:
        return max(monotonic() - self._origin, 0.0)

    def _progress(self) -> Progress:
        now, window = monotonic(), self._window
        while window and window[0][0] < now - _WINDOW:
            window.popleft()
        span = max(min(_WINDOW, self._seconds), 0.1)
        return Progress(
            sent=sum(news.sent for news in self._latest.values()),
            running=sum(news.running for news in self._latest.values()),
            ended=len(self._run.answers),
            failed=self._failed,
            seconds=self._seconds,
            lag=max((lag for *_, lag in window), default=0.0),
            rate=sum(ended for _, ended, *_ in window) / span,
            tokens=sum(tokens for *_, tokens, _ in window) / span,
            trouble=self.trouble[-1] if self.trouble else "",
        )
