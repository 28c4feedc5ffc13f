"""One Pod of an engine, from the first word of its endpoint to the last.

A Pod that is ready for Kubernetes has loaded something and answers its probe; whether it answers
rightly only the known prompt tells. So it gets work when it has, and is asked again now and then,
and when the gateway suspects it. `candidates.py` tells the gateway what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from headrace.gateway import proof
from headrace.gateway.control import ReplicaState
from headrace.gateway.look import Found, look
from headrace.gateway.proof import WrongAnswerError
from headrace.kubernetes.edition import Served
from headrace.kubernetes.loud import started
from headrace.kubernetes.slices import Endpoint

_MODELS_TIMEOUT = 5.0


@dataclass(frozen=True)
class Pace:
    """Seconds; tests bring shorter ones."""

    proof: float = 60.0
    """Between two known prompts for a Pod that nobody suspects."""
    health: float = 2.0
    """For a suspected Pod to say that it is alive."""
    prompt: float = 10.0
    """For a suspected Pod to answer the known prompt."""
    again: float = 5.0
    """Until a Pod that answered wrongly is asked again; each time twice as long, at most `rare`."""
    rare: float = 60.0


@dataclass
class Site:
    """What all Pods of a gateway share; `wrong` counts wrong answers by deployment."""

    client: httpx.AsyncClient
    pace: Pace
    wrong: dict[str, int]


class Candidate:
    """One Pod; `changed` is called when what the gateway is told of it may be another."""

    def __init__(
        self, endpoint: Endpoint, served: Served, site: Site, changed: Callable[[], None]
    ) -> None:
        self.endpoint, self.served = endpoint, served
        self.names = served.served_names
        """What its engine calls the model; it keeps them when the file's routes change."""
        self.was_ready = False
        self.wrong = ""
        """What it last answered wrongly, until it answers rightly."""
        self._site, self._changed = site, changed
        self._right = self._late = False
        self._suspected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._drain: asyncio.TimerHandle | None = None

    @property
    def comes(self) -> bool:
        """Whether it may be ready before long."""
        return not self._right and not self.endpoint.terminating and not self.wrong

    def see(self, endpoint: Endpoint) -> None:
        """Take what Kubernetes says of it now; ask it as soon as it is ready."""
        self.endpoint = endpoint
        wanted = endpoint.ready and not endpoint.terminating
        if wanted and self._task is None:
            self._task = started(self._live())
        elif not wanted:
            self._forget()
        if endpoint.terminating and self._drain is None:
            drain = self.served.deployment.lifecycle.drain
            self._drain = asyncio.get_running_loop().call_later(drain, self._is_late)

    def told(self, *, others: bool) -> ReplicaState | None:
        """Return what the gateway is told of it, None for one that has had no work.

        `others` says whether another Pod can take over what a terminating one did not finish.
        """
        if self.endpoint.terminating:
            if not self.was_ready:
                return None
            return "leaving" if self._late and others else "draining"
        if self._right:
            return "ready"
        return "failed" if self.was_ready else None

    def suspect(self) -> None:
        """Have it asked now; reports that come before the answer ask for no other."""
        self._suspected.set()

    def close(self) -> None:
        """Leave it alone: it is gone."""
        self._forget()
        if self._drain is not None:
            self._drain.cancel()

    def _forget(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._right = False

    def _is_late(self) -> None:
        """Have what the drain did not finish moved to others."""
        self._late = True
        self._changed()

    async def _live(self) -> None:
        while True:
            await self._get_right()
            again = " again" if self.was_ready else ""
            self._say(f"answers rightly{again}, so it gets work")  # `gather.py` reads it
            self._set(right=True)
            why = await self._stay_right()
            self._set(right=False)
            self._say(f"{why}; it gets no work until it answers rightly")

    def _set(self, *, right: bool) -> None:
        self._right = right
        self.was_ready |= right
        self._changed()

    async def _get_right(self) -> None:
        """Return once it has given the known answer; a wrong one is said each time it comes."""
        pace = self._site.pace
        pause = pace.again
        while True:
            try:
                await self._ask()
            except WrongAnswerError as error:
                self._is_wrong(str(error))
                self._say(f"WRONG ANSWER, it gets no work: {error}; asking again in {pause:g} s")
            else:
                self._is_right()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, pace.rare)

    async def _ask(self) -> None:
        client, base = self._site.client, self.endpoint.base
        self.names = await _names(client, base, self.served.served_names)
        await proof.prove(client, base, replace(self.served, served_names=self.names))

    def _is_wrong(self, what: str) -> None:
        self.wrong = what
        name = self.served.name
        self._site.wrong[name] = self._site.wrong.get(name, 0) + 1
        self._changed()

    def _is_right(self) -> None:
        self.wrong = ""
        self._suspected.clear()

    async def _stay_right(self) -> str:
        """Return why it should get no more work."""
        while True:
            suspected = await self._pause()
            why = await self._verdict()
            if why and not suspected:
                why = await self._verdict()  # once more: nobody had complained
            self._suspected.clear()
            if why:
                return why

    async def _verdict(self) -> str:
        """Return what is wrong with it, or nothing: being busy is no fault."""
        pace = self._site.pace
        asked = replace(self.served, served_names=self.names)
        try:
            found = await look(
                *(self._site.client, self.endpoint.base, asked),
                health=pace.health,
                prompt=pace.prompt,
            )
        except WrongAnswerError as error:
            return f"WRONG ANSWER: {error}"
        return "does not answer" if found is Found.UNFIT else ""

    async def _pause(self) -> bool:
        """Wait for the next question; return whether somebody asked for it.

        Gateways that started together do not ask together.
        """
        seconds = self._site.pace.proof * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._suspected.wait(), seconds)
        return self._suspected.is_set()

    def _say(self, text: str) -> None:
        where = f"{self.served.name}: Pod {self.endpoint.pod} at {self.endpoint.address}"
        sys.stderr.write(f"gateway: {where}: {text}\n")


async def _names(client: httpx.AsyncClient, base: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the names that the engine lists; all where it lists none of them.

    While Pods are being replaced, old ones may not know the newest alias.
    """
    try:
        answer = await client.get(f"{base}/v1/models", timeout=_MODELS_TIMEOUT)
        listed = {one["id"] for one in answer.json()["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return wanted
    return tuple(name for name in wanted if name in listed) or wanted
