"""How a twin behaves: its pace and size, and its faults, which can change at any moment.

`POST /emulate` with a JSON object replaces the faults that it names; `engine.py` and `api.py` obey
them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Manner = Literal["abort", "error", "hang"]
"""What a cut stream gets: an aborted choice, an error event, or nothing ever again."""

Crash = Literal["model", "memory", "flag", "port"]
"""Which of vLLM's own last words a crash at start leaves in the log."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong; a count is the tokens of each request after which it happens."""

    wrong: bool = False
    """Answers garbage, as a model does whose weights are broken."""
    sick: bool = False
    """`/health` says 503."""
    fail: bool = False
    """Every completion gets a 500."""
    slow: float = 1.0
    """Factor on ttft and tpot."""
    die_after: int | None = None
    hang_after: int | None = None
    error_after: int | None = None
    abort_after: int | None = None
    reset_after: int | None = None
    garbage_after: int | None = None


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """A twin; times in seconds, lengths in tokens."""

    names: tuple[str, ...] = ("twin",)
    ttft: float = 0.0
    tpot: float = 0.0
    slots: int = 16
    max_model_len: int = 2048
    kv_tokens: int = 46_592
    shutdown_timeout: float = 0.0
    cut: Manner = "abort"
    """What a stop without a shutdown timeout does to streams; the real one does any."""
    cut_after: float = 0.5
    """Seconds from a stop until streams are cut; the real one needs up to 2."""
    embeds: bool = False
    """Serves `/v1/embeddings` and no completions."""
    faults: Faults = Faults()


def change(faults: Faults, body: bytes) -> Faults:
    """Return the faults with those in a JSON object replaced; MsgspecError if it is wrong."""
    names = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    changed = msgspec.json.decode(body, type=Faults)
    return msgspec.structs.replace(faults, **{name: getattr(changed, name) for name in names})
