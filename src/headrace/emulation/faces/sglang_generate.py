"""SGLang's own `/generate`: text or token ids in, text and ids out, cumulative when it streams."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish, Sequence, Wish
from headrace.emulation.http import Exchange, dumps
from headrace.emulation.text import encode, joined

if TYPE_CHECKING:
    from headrace.emulation.faces.base import Face

_DEFAULT_TOKENS = 128


def generate(exchange: Exchange, face: Face) -> None:
    """Begin to answer."""
    body = face.read(exchange)
    wish = _wish(body, face)
    overload = face.overload()
    if overload is not None:
        exchange.reply(overload.status, {"error": overload.body})
        return
    stream = bool(body.get("stream"))
    if stream:
        exchange.begin()
    answer = _Generate(exchange, wish, stream=stream)
    exchange.gone = face.engine.submit(wish, answer).leave


def _wish(body: dict[str, Any], face: Face) -> Wish:
    given = body.get("sampling_params")
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    ids = body.get("input_ids")
    prompt = list(ids) if isinstance(ids, list) else encode(str(body.get("text", "")))
    try:
        joined(prompt)
    except (ValueError, TypeError) as wrong:
        raise _refused(str(wrong)) from None
    room = face.behaviour.max_model_len - len(prompt)
    limit = params.get("max_new_tokens", _DEFAULT_TOKENS)
    if room < 1 or not isinstance(limit, int) or limit < 1:
        raise _refused(f"The input is longer than the model's context, or {limit!r} is no limit.")
    stop = params.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else tuple(map(str, stop))
    ignore_eos = bool(params.get("ignore_eos"))
    return Wish(prompt, min(limit, room), ignore_eos=ignore_eos, stops=stops)


def _refused(message: str) -> RefusedError:
    return RefusedError(400, {"error": {"message": message}})


class _Generate:
    """One answer to `/generate`."""

    def __init__(self, exchange: Exchange, wish: Wish, *, stream: bool) -> None:
        self._exchange, self._wish, self._stream = exchange, wish, stream
        self._text, self._ids = "", list[int]()
        self._id, self._began = uuid.uuid4().hex, time.monotonic()

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Add it up; send everything so far, or wait for the end."""
        self._text += text
        if token is not None:
            self._ids.append(token)
        if self._exchange.over or not (finish or self._stream):
            return
        if finish == "error":
            self._fail()
        elif not self._stream:
            self._exchange.reply(200, self._so_far(finish, of.stopped_by))
        else:
            self._send(self._so_far(finish, of.stopped_by), last=finish is not None)

    def _send(self, event: dict[str, Any], *, last: bool) -> None:
        self._exchange.send(b"data: %b\n\n" % dumps(event))
        if last:
            self._exchange.send(b"data: [DONE]\n\n")
            self._exchange.end()

    def _fail(self) -> None:
        error = {"error": {"message": "Generation failed."}}
        if self._stream:
            self._send(error, last=True)
        else:
            self._exchange.reply(500, error)

    def _so_far(self, finish: Finish | None, stopped_by: str | None) -> dict[str, Any]:
        reason: dict[str, Any] | None = {"type": finish} if finish else None
        if reason and finish == "length":
            reason["length"] = self._wish.limit
        if reason and finish == "stop":
            reason["matched"] = stopped_by
        meta = {
            "id": self._id,
            "finish_reason": reason,
            "prompt_tokens": len(self._wish.prompt),
            "weight_version": "default",
            "completion_tokens": len(self._ids),
            "cached_tokens": 0,
            "e2e_latency": time.monotonic() - self._began,
        }
        return {"text": self._text, "output_ids": self._ids, "meta_info": meta}

    def reset(self) -> None:
        """Break the connection."""
        self._exchange.reset()

    def garbage(self) -> None:
        """Send bytes that are no event."""
        if self._stream:
            self._exchange.send(b"\xff\x00 not an event \x80\n\n")
