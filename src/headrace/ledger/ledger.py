"""Who may come in by what keys and routes have used, for all gateways of a fleet.

    found = ledger.admit(subjects(route, key), prompt_tokens, max_tokens)
    found.settle(prompt_tokens, completion_tokens)      # once, at the request's end

The books are in a file that all gateways write (`books.py`), so that limits hold for the fleet and
after a restart. A gateway that cannot get at the file goes on with what it knew last, and enters
what it let in as soon as it can: neither is everybody refused nor everything let in. When others
have the file for too long this is silent (`missed` counts it); a broken file or a full disk is
said once on standard error.

Requests of which nothing is limited cost no access to the file; their sums go there each second.
Gateways that share no file, as those of a cluster, tell each other (`peers.py`).
While no other gateway has the file open, what is let in is written a tenth of a second later,
together: who opens it then may let in too much for as long, once.
`limiting.py` says whose use a request is, and makes errors and headers of what comes back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

from headrace.ledger.books import HELD_BACK, Books, has_places
from headrace.ledger.file import PATIENCE, Sums
from headrace.ledger.peers import Spending
from headrace.routing.allowance import Ask, Excess, Left, Subject, excess, least_left

Later = Callable[[float, Callable[[], None]], object]
WRITE_AFTER = 0.02
"""Seconds until other gateways know what the answers of this one had in tokens, and which places
they left while at least half of the places were free. (`HELD_BACK` while there are no others.)"""
_MOST = 10**9
"""Tokens that one request can have; an engine that says more is not believed."""


class Ledger:
    """The books as one gateway keeps them; without a path they are its own and end with it.

    `gateway_id` must be unique, and is by default. `clock` gives Unix time, and `patience` bounds
    the wait for other gateways; both in seconds. With `later`, an event loop's `call_later`, token
    counts of requests that end close together are written together.
    """

    def __init__(
        self, path: str | None = None, gateway_id: str | None = None, *,
        clock: Callable[[], float] = time.time, patience: float = PATIENCE,
        later: Later | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self._clock = clock
        self._later = later
        self._scheduled = False
        self._closed = False
        self._books = Books(path, gateway_id, patience)
        self._sums: dict[str, Sums] = {}

    @property
    def missed(self) -> int:
        """How often the file was needed and could not be used."""
        return self._books.missed

    @property
    def broken(self) -> str:
        """Why the file cannot be used; "" if it can."""
        return self._books.broken

    def admit(
        self, subjects: Sequence[Subject], prompt_tokens: int, output_tokens: int | None
    ) -> Grant | Excess:
        """Take a request into the books of all its subjects, or of none and say why.

        `prompt_tokens` is an estimate, `output_tokens` the longest answer that was asked for.
        """
        limited = [subject for subject in subjects if subject.limits is not None]
        if not limited:
            return Grant(self, subjects)
        now = self._clock()
        kept = [subject for subject in limited if subject.remembers]
        later = self._later if kept and self._books.may_wait(kept, now) else None
        from_file = bool(kept) and later is None and self._books.begin(kept, now)
        found = self._judge(subjects, limited, Ask(prompt_tokens, output_tokens, now))
        if from_file:
            self._books.commit(now)
        elif later is not None:
            self._write_after(HELD_BACK, later)
        return found

    def _judge(
        self, subjects: Sequence[Subject], limited: Sequence[Subject], ask: Ask
    ) -> Grant | Excess:
        charged: list[Subject] = []
        noted: list[Excess] = []
        refused: list[Excess] = []
        for subject in limited:
            beyond = excess(subject, self._books.account(subject.row), ask)
            if beyond is not None:
                (refused if _enforced(subject) else noted).append(beyond)
            elif subject.remembers:
                charged.append(subject)
        if refused:
            worst = max(refused, key=_lasts)
            self._sum_of(worst.subject).beyond += 1
            return worst
        for one in noted:
            self._sum_of(one.subject).beyond += 1
        self._books.charge(charged, 1, ask.prompt, 1, now=ask.now)
        bound = _bound(limited) if ask.output is None else None
        grant = Grant(self, subjects, charged, ask.prompt, noted=tuple(noted), output_bound=bound)
        grant.requests, grant.tokens = self._left(charged, ask.now)
        return grant

    def _left(self, charged: Iterable[Subject], now: float) -> tuple[Left | None, Left | None]:
        accounts = [(s.limits, self._books.account(s.row)) for s in charged if s.limits is not None]
        return least_left(accounts, now)

    def settle(self, grant: Grant, prompt: int, completion: int) -> None:
        """Correct the books at a request's end; `Grant.settle` calls this, once."""
        if self._closed:
            return
        prompt, completion = _sane(prompt), _sane(completion)
        for name in dict.fromkeys([subject.name for subject in grant.subjects]):
            one = self._sum_of(name)
            one.requests += 1
            one.prompt += prompt
            one.completion += completion
        more = prompt + completion - grant.estimate
        concerned = [subject for subject in grant.charged if _is_open(subject, more)]
        if concerned:
            now = self._clock()
            self._books.charge(concerned, 0, more, -1, now=now)
            self._write_soon(concerned, now)

    def _write_soon(self, concerned: Iterable[Subject], now: float) -> None:
        """Write a place at once where somebody may wait for it elsewhere; all else together."""
        if self._later is None:
            self._books.flush(now)
        elif self._books.alone:
            self._write_after(HELD_BACK, self._later)
        else:
            if any(map(self._books.is_tight, concerned)):
                self._books.write_places(now)
            self._write_after(WRITE_AFTER, self._later)

    def _write_after(self, seconds: float, later: Later) -> None:
        if not self._scheduled:
            self._scheduled = True
            later(seconds, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._books.flush(self._clock())

    def spending(self) -> Spending:
        """Return what this gateway tells those with which it shares no file."""
        return self._books.spending(self._clock())

    def hear(self, told: Spending) -> None:
        """Take what another gateway told; its own message changes nothing."""
        if not self._closed:
            self._books.hear(told, self._clock())

    def tick(self) -> None:
        """Each second: write sums and a sign of life, release what dead gateways hold."""
        if self._books.tick(self._sums, self._clock()):
            self._sums.clear()

    def close(self) -> None:
        """Write what is to be written and give back what this gateway holds.

        Requests that end later are no longer counted.
        """
        self._closed = True
        self._books.close(self._sums, self._clock())
        self._sums.clear()

    def _sum_of(self, name: str) -> Sums:
        found = self._sums.get(name)
        if found is None:
            found = self._sums[name] = Sums()
        return found


class Grant:
    """A request that was let in, until `settle`.

    `noted` are limits it is beyond that are only counted; `output_bound`, in tokens, is the longest
    answer that it may have when it asked for none in particular; `requests` and `tokens` are what
    is left where least is. `charged` are those of `subjects` whose account it is in, with an
    `estimate` of its prompt.
    """

    __slots__ = (
        "_ledger", "charged", "estimate", "noted", "output_bound", "requests", "subjects", "tokens",
    )  # fmt: skip

    def __init__(
        self, ledger: Ledger, subjects: Sequence[Subject], charged: Sequence[Subject] = (),
        estimate: int = 0, *, noted: tuple[Excess, ...] = (), output_bound: int | None = None,
    ) -> None:  # fmt: skip
        self._ledger: Ledger | None = ledger
        self.subjects = subjects
        self.charged = charged
        self.estimate = estimate
        self.noted = noted
        self.output_bound = output_bound
        self.requests: Left | None = None
        self.tokens: Left | None = None

    def settle(self, prompt: int, completion: int) -> None:
        """Say what the request really used, in tokens; a second time changes nothing.

        0 and 0 for one that no engine got.
        """
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.settle(self, prompt, completion)


def _enforced(subject: Subject) -> bool:
    return subject.limits is not None and subject.limits.enforce


def _lasts(beyond: Excess) -> float:
    return math.inf if beyond.permanent else beyond.retry_after


def _is_open(subject: Subject, tokens: int) -> bool:
    """Whether the end of a request changes anything for the subject."""
    limits = subject.limits
    counts = limits is not None and limits.tokens_per_minute is not None and tokens != 0
    return counts or has_places(limits)


def _bound(limited: Iterable[Subject]) -> int | None:
    bounds = [
        s.limits.max_output
        for s in limited
        if s.limits is not None and s.limits.enforce and s.limits.max_output is not None
    ]
    return min(bounds, default=None)


def _sane(tokens: int) -> int:
    return max(0, min(tokens, _MOST))
