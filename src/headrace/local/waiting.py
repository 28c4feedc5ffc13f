"""Waiting for whichever comes first, and ending waits that nobody needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def first(*events: Awaitable[object], within: float | None = None) -> None:
    """Return when one of the events has happened, or after `within` seconds.

    A future or task that was given goes on; what had to be made to wait for a coroutine is ended.
    """
    waits = [asyncio.ensure_future(one) for one in events]
    own = [wait for wait, given in zip(waits, events, strict=True) if wait is not given]
    limit = None if within is None else max(0.0, within)
    try:
        await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(*own)


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """End the tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
