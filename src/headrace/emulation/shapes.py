"""The JSON that vLLM 0.32.0 answers with, field by field; tests compare recorded answers.

Of other versions only what is known to differ differs: before 0.10.2 there are no token ids.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from headrace.emulation import logprobs
from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish
from headrace.emulation.openai import Delta, Failure, Result
from headrace.emulation.request import Ask

_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_NO_DETAILS = {"prompt_tokens_details": None, "completion_tokens_details": None}
_NOT_CACHED = {"created_cache_tokens": None, "multimodal_tokens": None}
_TRANSFERS = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
_ABSENT = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
_ALLOWED = ("sampling", "logprobs", "view")
_PERMISSIONS = (
    *("create_engine", "sampling", "logprobs", "search_indices", "view", "fine_tuning"),
)


def new_id(kind: str) -> str:
    """Return an id such as cmpl-0123456789abcdef."""
    return f"{kind}-{uuid.uuid4().hex[:16]}"


def usage(prompt: int, generated: int) -> dict[str, Any]:
    """Return token counts as a stream carries them."""
    total = prompt + generated
    return {"prompt_tokens": prompt, "total_tokens": total, "completion_tokens": generated}


def openai_head(ask: Ask) -> dict[str, Any]:
    """Return id, object, creation time and model of an answer."""
    whole = "chat.completion" if ask.chat else "text_completion"
    return {
        "id": new_id("chatcmpl" if ask.chat else "cmpl"),
        "object": f"{whole}.chunk" if ask.chat and ask.stream else whole,
        "created": int(time.time()),
        "model": ask.model,
    }


def error(message: str, kind: str, code: int, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error shape as vLLM fills it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(status: int, kind: str, message: str, param: str | None) -> RefusedError:
    """Return a refusal; what other engines call unprocessable is a bad request here."""
    status = 400 if status == 422 else status  # noqa: PLR2004 - the HTTP status
    return RefusedError(status, error(message, kind, status, param))


def model_list(
    names: tuple[str, ...], max_model_len: int, adapters: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the answer of /v1/models; a LoRA adapter has a parent, its weights' path as root."""
    base = names[0]
    models = [_model(name, base, None, max_model_len) for name in names]
    loras = [_model(name, f"/adapters/{name}", base, None) for name in adapters]
    return {"object": "list", "data": models + loras}


def _model(name: str, root: str, parent: str | None, max_model_len: int | None) -> dict[str, Any]:
    permission = {
        "id": new_id("modelperm"),
        "object": "model_permission",
        "created": int(time.time()),
        **{f"allow_{what}": what in _ALLOWED for what in _PERMISSIONS},
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
        "permission": [permission],
    }


@dataclass(frozen=True)
class VllmVoice:
    """vLLM's answers; `gives_ids` False before 0.10.2.

    `details`: usage says how much of the first prompt was cached (`--enable-prompt-tokens-details`;
    of the other details, those of newly cached and of multimodal tokens, nothing is said).
    """

    version: str = "0.32.0"
    gives_ids: bool = True
    details: bool = False
    prefix: bytes = b"data: "
    done: bytes = b"data: [DONE]\n\n"
    splits_end: bool = False

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what every answer begins with."""
        return openai_head(ask)

    @property
    def _fingerprint(self) -> dict[str, Any]:
        return {"system_fingerprint": f"vllm-{self.version}-twin"}

    def _ids(self, ask: Ask, tokens: tuple[int, ...] | list[int]) -> dict[str, Any]:
        return {"token_ids": list(tokens) if ask.ids else None} if self.gives_ids else {}

    def _prompt_ids(self, ask: Ask, index: int, *, shown: bool = True) -> dict[str, Any]:
        ids = ask.prompt(index) if ask.ids and shown else None
        return {"prompt_token_ids": ids} if self.gives_ids else {}

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return the event with the role."""
        if not ask.chat:
            return None
        delta = {"role": "assistant", "content": ""}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        text = {"prompt_text": None} if self.gives_ids else {}
        return {**head, "choices": [choice], **self._prompt_ids(ask, index), **text}

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        choice = (self._chat_delta if ask.chat else self._completion_delta)(ask, delta)
        # With a usage event to come, vLLM puts the fingerprint there instead of on the last token.
        tail = self._fingerprint if delta.finish and not ask.usage else {}
        return {**head, "choices": [choice], **tail}

    def _chat_delta(self, ask: Ask, delta: Delta) -> dict[str, Any]:
        top = ask.logprobs
        stop = {"stop_reason": delta.stopped_by} if delta.finish else {}
        content = self._call(ask, delta) if ask.tool else {"content": delta.text}
        return {
            "index": delta.index,
            "delta": content,
            "logprobs": None if top is None else logprobs.for_chat(delta.tokens, top),
            "finish_reason": delta.finish,
            **stop,
            **self._ids(ask, delta.tokens),
        }

    def _call(self, ask: Ask, delta: Delta) -> dict[str, Any]:
        """Return a piece of a tool call; only the first one has its id and name."""
        named = {"id": new_id("chatcmpl-tool"), "type": "function"} if delta.first else {}
        name = {"name": ask.tool} if delta.first else {}
        function = {**name, "arguments": delta.text}
        return {"tool_calls": [{**named, "index": 0, "function": function}]}

    def _completion_delta(self, ask: Ask, delta: Delta) -> dict[str, Any]:
        top = ask.logprobs
        scores = None if top is None else logprobs.for_completion(delta.tokens, top, delta.offset)
        return {
            "index": delta.index,
            "text": delta.text,
            "logprobs": scores,
            "finish_reason": delta.finish,
            "stop_reason": delta.stopped_by,
            **self._prompt_ids(ask, delta.index, shown=delta.first),
            **self._ids(ask, delta.tokens),
        }

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return the usage so far."""
        return {"usage": usage(ask.prompt_tokens, tokens)}

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event."""
        used = usage(ask.prompt_tokens, tokens)
        if self.details:
            used["prompt_tokens_details"] = {"cached_tokens": cached}
        return {**head, "choices": [], "usage": used, **self._fingerprint}

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        used = usage(ask.prompt_tokens, sum(len(result.tokens) for result in results)) | _NO_DETAILS
        if self.details:
            used["prompt_tokens_details"] = {**_NOT_CACHED, "cached_tokens": results[0].cached}
        make = self._chat_choice if ask.chat else self._completion_choice
        choices = [make(ask, index, result) for index, result in enumerate(results)]
        prompt: dict[str, Any] = {}
        if ask.chat:
            prompt = {"prompt_logprobs": None, **self._prompt_ids(ask, 0), "prompt_text": None}
        rest = {"service_tier": None, **self._fingerprint, "usage": used}
        return {**head, "choices": choices, **rest, **prompt, **_TRANSFERS}

    def _completion_choice(self, ask: Ask, index: int, result: Result) -> dict[str, Any]:
        top = ask.logprobs
        return {
            "index": index,
            "text": result.text,
            "logprobs": None if top is None else logprobs.for_completion(result.tokens, top, 0),
            "finish_reason": result.finish,
            "stop_reason": result.stopped_by,
            **self._ids(ask, result.tokens),
            "prompt_logprobs": None,
            **self._prompt_ids(ask, index),
            "routed_experts": None,
        }

    def _chat_choice(self, ask: Ask, index: int, result: Result) -> dict[str, Any]:
        top = ask.logprobs
        message: dict[str, Any] = {"role": "assistant", "content": result.text, **_ABSENT}
        if ask.tool:
            function = {"name": ask.tool, "arguments": result.text}
            call = {"id": new_id("chatcmpl-tool"), "type": "function", "function": function}
            message |= {"content": None, "tool_calls": [call]}
        return {
            "index": index,
            "message": message,
            "logprobs": None if top is None else logprobs.for_chat(result.tokens, top),
            "finish_reason": result.finish,
            "stop_reason": result.stopped_by,
            **self._ids(ask, result.tokens),
            "routed_experts": None,
        }

    def failure(self, finish: Finish) -> Failure | None:
        """Return the error of a dead EngineCore; an abort is an answer like any other."""
        if finish != "error":
            return None
        body = error(_DEAD, "InternalServerError", 500)
        return Failure(500, body, body)


def embedding(vectors: list[list[float]], model: str, tokens: int) -> dict[str, Any]:
    """Return the answer of /v1/embeddings."""
    data = [{"index": i, "object": "embedding", "embedding": v} for i, v in enumerate(vectors)]
    head = {"id": new_id("embd"), "object": "list", "created": int(time.time()), "model": model}
    used = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
    return head | {"data": data, "usage": used | {"prompt_tokens_details": None}}
