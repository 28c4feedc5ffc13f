"""Triton's `generate` and `generate_stream`: text for text, or ids for ids from the raw model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish, Sequence, Wish
from headrace.emulation.http import Exchange, dumps
from headrace.emulation.text import encode, joined

if TYPE_CHECKING:
    from headrace.emulation.faces.base import Face

RAW = "tensorrt_llm"
"""The model behind the tokenizer, which takes and gives token ids."""
_DEFAULT_TOKENS = 16


def generate(face: Face, model: str, stream: bool, exchange: Exchange) -> None:
    """Begin to answer."""
    body = face.read(exchange)
    wish = _wish(body, face.behaviour.max_model_len, raw=model == RAW)
    if stream:
        exchange.begin()
    answer = _Generate(exchange, model, stream=stream)
    exchange.gone = face.engine.submit(wish, answer).leave


def _wish(body: dict[str, Any], context: int, *, raw: bool) -> Wish:
    needed = "input_ids" if raw else "text_input"
    given = body.get(needed)
    if not isinstance(given, list if raw else str) or not given:
        message = f"expected 1 inputs but got 0 inputs: missing '{needed}'"
        raise RefusedError(400, {"error": message})
    prompt = encode(given) if isinstance(given, str) else list(given)
    try:
        joined(prompt)
    except (ValueError, TypeError) as wrong:
        raise RefusedError(400, {"error": str(wrong)}) from None
    limit = body.get("request_output_len" if raw else "max_tokens", _DEFAULT_TOKENS)
    if not isinstance(limit, int) or limit < 1 or len(prompt) >= context:
        message = f"Prompt length ({len(prompt)}) exceeds maximum input length ({context - 1})"
        raise RefusedError(400, {"error": message})
    words = body.get("stop_words") or ()
    stops = (words,) if isinstance(words, str) else tuple(map(str, words))
    return Wish(prompt, min(limit, context - len(prompt)), stops=stops)


class _Generate:
    """One answer in Triton's own shape."""

    def __init__(self, exchange: Exchange, model: str, *, stream: bool) -> None:
        self._exchange, self._model, self._stream = exchange, model, stream
        self._text, self._ids = "", list[int]()

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Send a piece, or keep it for the end."""
        del of
        if self._exchange.over:
            return
        self._text += text
        self._ids += [] if token is None else [token]
        if finish in {"error", "abort"}:
            self._fail()
        elif self._stream:
            self._send(self._said([] if token is None else [token], text))
            if finish:
                self._exchange.end()
        elif finish:
            self._exchange.reply(200, self._said(self._ids, self._text))

    def _said(self, ids: list[int], text: str) -> dict[str, Any]:
        head = {"model_name": self._model, "model_version": "1"}
        if self._model == RAW:
            return {**head, "output_ids": ids, "sequence_length": len(ids)}
        flags = {"sequence_end": False, "sequence_id": 0, "sequence_start": False}
        return {**head, **flags, "text_output": text}

    def _fail(self) -> None:
        error = {"error": "in ensemble 'ensemble', the model failed"}
        if self._stream:
            self._send(error)
            self._exchange.end()
        else:
            self._exchange.reply(500, error)

    def _send(self, event: dict[str, Any]) -> None:
        self._exchange.send(b"data: %b\n\n" % dumps(event))

    def reset(self) -> None:
        """Break the connection."""
        self._exchange.reset()

    def garbage(self) -> None:
        """Send bytes that are no event."""
        if self._stream:
            self._exchange.send(b"\xff\x00 not an event \x80\n\n")
