"""The `traceparent` of a request (W3C Trace Context): taken from the client, given to the engine.

This is the part of tracing that is on the way of every request; the spans themselves are made from
records in `spans.py`, off the event loop.
"""

from __future__ import annotations

import random
import re

from headrace.gateway.records import Trace

_HEADER = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_bits = random.getrandbits  # ids have to be unlike each other, not secret


def new_traceparent(given: bytes | None) -> tuple[bytes, Trace]:
    """Return the header for the engine and the ids of this request's span, a child of `given`.

    A missing or malformed header begins a new trace, as the standard asks. What the client did not
    sample is not sampled here either.
    """
    span = f"{_bits(64) or 1:016x}"
    parent = _parse(given) if given else None
    if parent is None:
        trace = f"{_bits(128) or 1:032x}"
        return f"00-{trace}-{span}-01".encode(), Trace(trace, span)
    trace, parent_id, flags = parent
    header = f"00-{trace}-{span}-{flags & 3:02x}"  # sampled, and whether the id is random
    return header.encode(), Trace(trace, span, parent_id, bool(flags & 1))


def _parse(given: bytes) -> tuple[str, str, int] | None:
    """Return trace id, span id and flags; later versions may have more after a dash."""
    found = _HEADER.fullmatch(given)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return trace.decode(), span.decode(), int(flags, 16)
