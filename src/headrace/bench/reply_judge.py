"""Whether an answer is whole, and if not, why: the kind of its failure, and words."""

from __future__ import annotations

from headrace.bench.answers import Failure
from headrace.bench.reply import OK, Reply
from headrace.bench.reply_events import error_text, shown

_ERRORS_FROM = 400
ABORTED = {"abort", "aborted", "cancelled"}
"""Finish reasons of engines that gave a request up, as one that drains does."""


def judge(reply: Reply, broke: str | None) -> tuple[Failure | None, str]:
    """Return why an answer is not whole, in a kind and in words; `broke` says how it was cut off.

    The order is that of trust: what is known to be wrong, what broke, then what is missing.
    """
    if reply.wrong is not None:
        return reply.wrong
    if reply.status is None:
        return Failure.RESET, broke or "closed without an answer"
    if reply.status >= _ERRORS_FROM:
        return Failure.REFUSED, f"{reply.status}: {_refusal(reply)}"
    if reply.status != OK or not reply.headers.get(b"content-type", b"").startswith(b"text/event"):
        kind = shown(reply.headers.get(b"content-type", b"none"))
        return Failure.RUBBISH, f"a stream was asked for and {reply.status}, {kind} came"
    if reply.done is None and not reply.complete:
        return Failure.RESET, broke or "closed before the end"
    return _judge_end(reply)


def _refusal(reply: Reply) -> str:
    if reply.headers.get(b"content-type", b"").startswith(b"text/html"):
        return "a page of HTML came, as from a server that is no OpenAI-compatible API"
    return error_text(reply.plain)


def _judge_end(reply: Reply) -> tuple[Failure | None, str]:
    if reply.finish in ABORTED:
        return Failure.CUT, f"finish reason {reply.finish}"
    if reply.finish == "error":
        return Failure.ERROR, "finish reason error"
    if reply.finish is None:
        return Failure.CUT, "ended without a finish reason"
    if reply.done is None:
        return Failure.CUT, "ended without [DONE]"
    if reply.first is None:
        return Failure.EMPTY, "no token came"
    return None, ""
