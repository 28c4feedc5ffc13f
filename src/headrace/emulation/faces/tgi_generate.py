"""TGI's own `/generate` and `/generate_stream`, which give each token's id and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.emulation.engine import Finish, Sequence, Wish
from headrace.emulation.faces.tgi_voice import FAILED, INCOMPLETE, refusal
from headrace.emulation.http import Exchange, dumps
from headrace.emulation.text import decode, encode

if TYPE_CHECKING:
    from headrace.emulation.faces.base import Face

_DEFAULT_TOKENS = 100


def generate(exchange: Exchange, face: Face, *, stream: bool = False, compat: bool = False) -> None:
    """Begin to answer; `compat`: at `/`, where the body says whether to stream."""
    body = face.read(exchange)
    given = body.get("parameters")
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    wish = _wish(body, params, face.behaviour.max_model_len)
    stream = stream or (compat and bool(body.get("stream")))
    answer = _Generate(exchange, wish, params, stream=stream, wrapped=compat and not stream)
    if stream:
        exchange.begin(x_accel_buffering="no")
    overload = face.overload()
    if overload is not None:
        answer.fail(overload.status, overload.body)
    else:
        exchange.gone = face.engine.submit(wish, answer).leave


def _wish(body: dict[str, Any], params: dict[str, Any], context: int) -> Wish:
    inputs = body.get("inputs")
    if not isinstance(inputs, str):
        message = "inputs: invalid type: expected a string"
        raise refusal(422, "BadRequestError", message, "inputs")
    prompt = encode(inputs)
    limit = params.get("max_new_tokens") or _DEFAULT_TOKENS
    if not isinstance(limit, int) or limit < 1:
        message = "`max_new_tokens` must be strictly positive"
        raise refusal(422, "BadRequestError", message, "max_new_tokens")
    if len(prompt) + limit > context:
        message = (
            f"`inputs` tokens + `max_new_tokens` must be <= {context}. Given: {len(prompt)} "
            f"`inputs` tokens and {limit} `max_new_tokens`"
        )
        raise refusal(422, "BadRequestError", message, "max_new_tokens")
    stops = tuple(map(str, params.get("stop") or ()))
    return Wish(prompt, limit, stops=stops, keep_stop=True)


class _Generate:
    """One answer in TGI's own shape."""

    def __init__(
        self, exchange: Exchange, wish: Wish, params: dict[str, Any], *, stream: bool, wrapped: bool
    ) -> None:
        self._exchange, self._wish, self._params = exchange, wish, params
        self._stream, self._wrapped = stream, wrapped
        self._text, self._tokens = "", list[dict[str, Any]]()

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Send a token, or keep it for the end."""
        if self._exchange.over:
            return
        self._text += text
        if token is not None:
            own = {"id": token, "text": text, "logprob": -0.01, "special": False}
            self._tokens.append(own)
        if finish in {"error", "abort"}:
            broken = finish == "error"
            kind = "generation" if broken else INCOMPLETE
            error = {"error": FAILED if broken else INCOMPLETE, "error_type": kind}
            self.fail(424 if broken else 500, error)
        elif self._stream:
            self._event(of, finish)
        elif finish is not None:
            self._reply(of, finish)

    def _event(self, of: Sequence, finish: Finish | None) -> None:
        details = self._details(of, finish) if finish and self._params.get("details") else None
        if finish == "stop" and of.stopped_by is None:  # the end of the text is a token, too
            self._tokens.append({"id": 0, "text": "", "logprob": -0.01, "special": True})
        whole = self._whole() if finish else None
        token = self._tokens[-1] if self._tokens else None
        head = {"index": len(self._tokens), "token": token}
        self._send({**head, "generated_text": whole, "details": details})
        if finish:
            self._exchange.end()

    def _whole(self) -> str:
        given = self._params.get("return_full_text")
        return decode(self._wish.prompt) + self._text if given else self._text

    def _reply(self, of: Sequence, finish: Finish) -> None:
        body: dict[str, Any] = {"generated_text": self._whole()}
        if self._params.get("details"):
            details = self._details(of, finish)
            del details["input_length"]
            body["details"] = {**details, "prefill": [], "tokens": self._tokens}
        self._exchange.reply(200, [body] if self._wrapped else body)

    def _details(self, of: Sequence, finish: Finish | None) -> dict[str, Any]:
        ends = {"length": "length", "stop": "eos_token"}
        why = "stop_sequence" if of.stopped_by is not None else ends[finish or "length"]
        counts = {"generated_tokens": of.count, "seed": None}
        return {"finish_reason": why, **counts, "input_length": len(self._wish.prompt)}

    def _send(self, event: dict[str, Any]) -> None:
        self._exchange.send(b"data:%b\n\n" % dumps(event))

    def fail(self, status: int, error: dict[str, Any]) -> None:
        """Answer with an error, as an event where a stream has begun."""
        if self._stream:
            self._send(error)
            self._exchange.end()
        else:
            self._exchange.reply(status, error)

    def reset(self) -> None:
        """Break the connection."""
        self._exchange.reset()

    def garbage(self) -> None:
        """Send bytes that are no event."""
        if self._stream:
            self._exchange.send(b"\xff\x00 not an event \x80\n\n")
