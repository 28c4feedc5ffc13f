"""Reads the metrics pages of engine and gateway while a run lasts, beside it and not through it.

Each page has a connection and a time limit of its own. Before a page is parsed it is cut down to
the lines that are wanted: vLLM's has thousands, and parsing them all would take a core for as long
as some of the times that are measured. Where somebody can say which pages there are, replicas that
come later are looked at as well, from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from headrace.bench.samples import Sample
from headrace.bench.sources import sources_of
from headrace.bench.target import Page
from headrace.engines.metrics import read_metrics

_LIMIT = 1 << 23
"""Bytes of a page."""
_LONGEST = 5.0
"""Seconds that a page may take, where the time between looks is longer."""
_RELIST = 1.0
"""Seconds at least between two questions which pages there are."""
_GATEWAY = "headrace_"
_UNWANTED = ("_bucket", "_created")

Tell = Callable[[Sequence[Sample]], None]
Listing = Callable[[], Coroutine[Any, Any, Sequence[Page] | None]]
"""Returns the pages that there are now; None where nobody can say. It does not raise."""


class Scraper:
    """Looks at pages every so many seconds, from `begin` to `end`; `listing` says which later."""

    def __init__(
        self, pages: Sequence[Page], every: float, tell: Tell, listing: Listing | None = None
    ) -> None:
        self._pages, self._every, self._tell, self._listing = pages, every, tell, listing
        self._origin = 0.0
        self._client: httpx.AsyncClient | None = None
        self._watched: dict[Page, asyncio.Task[None]] = {}
        self._unseen: set[Page] = set()
        """Those that came later, until the first look."""
        self._follower: asyncio.Task[None] | None = None

    async def begin(self, origin: float) -> None:
        """Look at each page now, and from then on."""
        if not self._pages and self._listing is None:
            return
        self._origin = origin
        limits = httpx.Limits(max_keepalive_connections=None)
        patience = min(max(self._every, 1.0), _LONGEST)
        self._client = httpx.AsyncClient(trust_env=False, timeout=patience, limits=limits)
        self._turn_to(self._pages)
        if self._listing is not None:
            self._follower = asyncio.create_task(self._follow(self._listing))

    async def end(self) -> None:
        """Look once more, and stop."""
        if self._client is None:
            return
        tasks = [*self._watched.values(), *([self._follower] if self._follower else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._look(page) for page in self._watched))
        await self._client.aclose()
        self._client = None

    def _turn_to(self, pages: Sequence[Page]) -> None:
        """Look at these, and no more at others."""
        for gone in self._watched.keys() - set(pages):
            self._watched.pop(gone).cancel()
        for page in pages:
            if page not in self._watched:
                self._watched[page] = asyncio.create_task(self._watch(page))

    async def _follow(self, listing: Listing) -> None:
        while True:
            await asyncio.sleep(max(self._every, _RELIST))
            if (pages := await listing()) is not None:
                self._unseen |= set(pages) - self._watched.keys()
                self._turn_to(pages)

    async def _watch(self, page: Page) -> None:
        due = monotonic()
        while True:
            await self._look(page)
            due = max(due + self._every, monotonic())
            await asyncio.sleep(due - monotonic())

    async def _look(self, page: Page) -> None:
        at = monotonic() - self._origin
        try:
            values = read_page(page, await self._fetch(page.url))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            said = str(error) or type(error).__name__
            if await self._is_there(page):
                self._tell([Sample(at=at, source=page.source, error=said[:200])])
        else:
            new = page in self._unseen
            self._unseen.discard(page)
            self._tell([Sample(at=at, source=page.source, values=values, new=new)])

    async def _is_there(self, page: Page) -> bool:
        """Whether a page that cannot be read should be: else it went with its replica."""
        pages = await self._listing() if self._listing else None
        return pages is None or page in pages

    async def _fetch(self, url: str) -> str:
        assert self._client is not None  # noqa: S101 - between begin and end there is one
        data = bytearray()
        async with self._client.stream("GET", url) as answer:
            answer.raise_for_status()
            async for piece in answer.aiter_bytes():
                data += piece
                if len(data) > _LIMIT:
                    raise ValueError(f"the page has more than {_LIMIT} bytes")
        return data.decode("utf-8", "replace")


def read_page(page: Page, text: str) -> dict[str, float]:
    """Return a page's values by name; ValueError if it cannot be read.

    An engine's by canonical name, a histogram as `<name>_sum` and `<name>_count`; the gateway's by
    its own names, with labels, without buckets.
    """
    if page.source == "gateway":
        return _own_names(text)
    sources = sources_of(page.engine, page.version, text)
    values: dict[str, float] = {}
    for name, sample in read_metrics(_wanted(text, sources), sources).items():
        if sample is not None and sample.count is None:
            values[name] = sample.value
        elif sample is not None:
            values |= {f"{name}_sum": sample.value, f"{name}_count": sample.count or 0.0}
    return values


def _wanted(text: str, sources: Mapping[str, Iterable[str]]) -> str:
    """Return the lines of those metrics alone, a histogram's buckets left out."""
    wires = {
        wire.split("{")[0].removesuffix("_total") for some in sources.values() for wire in some
    }
    begins = tuple(wires) + tuple(f"# TYPE {wire}" for wire in wires)
    lines = (line for line in text.splitlines() if line.startswith(begins))
    return "\n".join(line for line in lines if not _is_bucket(line)) + "\n"


def _is_bucket(line: str) -> bool:
    return line.partition("{")[0].endswith(_UNWANTED)


def _own_names(text: str) -> dict[str, float]:
    begins = (_GATEWAY, f"# TYPE {_GATEWAY}")
    lines = (line for line in text.splitlines() if line.startswith(begins) and not _is_bucket(line))
    values = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for series in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(series.labels.items()))
            values[f"{series.name}{{{labels}}}" if labels else series.name] = series.value
    return values
