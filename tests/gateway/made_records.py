"""Records as an account would make them, for tests of what becomes of records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from headrace.gateway.records import Record

PLAIN: dict[str, Any] = {
    "id": "a", "time": "2026-11-23T21:00:00Z", "route": "r", "model": "m", "deployment": "d",
    "replica": "d-0", "path": "/v1/chat/completions", "stream": True, "status": 200,
    "outcome": "ok", "error": None, "held_s": 0.0, "queued_s": 0.0, "ttft_s": 0.1,
    "duration_s": 1.0, "tpot_s": 0.01, "prompt_tokens": 1, "completion_tokens": 2,
    "tokens_from": "usage", "attempts": 1, "continuations": 0, "bytes": 3,
}  # fmt: skip


def record(ident: str = "a", *, ago: float = 0.0, **more: Any) -> Record:
    """A record of a request that ended `ago` seconds ago."""
    made = msgspec.convert(PLAIN | {"id": ident} | more, Record)
    began = datetime.now(UTC) - timedelta(seconds=ago + made.duration_s)
    return msgspec.structs.replace(made, time=began)
