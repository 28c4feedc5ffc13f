"""The JSON that vLLM 0.32.0 answers with, field by field; tests compare recorded answers."""

from __future__ import annotations

import time
import uuid
from typing import Any

VERSION = "0.32.0"
FINGERPRINT = "vllm-0.32.0-twin"


def new_id(kind: str) -> str:
    """Return an id such as cmpl-0123456789abcdef."""
    return f"{kind}-{uuid.uuid4().hex[:16]}"


def usage(prompt: int, generated: int) -> dict[str, Any]:
    """Return token counts as a stream carries them."""
    total = prompt + generated
    return {"prompt_tokens": prompt, "total_tokens": total, "completion_tokens": generated}


def error(message: str, kind: str, code: int, param: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error shape as vLLM fills it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def model_list(names: tuple[str, ...], max_model_len: int) -> dict[str, Any]:
    """Return the answer of /v1/models."""
    return {"object": "list", "data": [_model(name, names[0], max_model_len) for name in names]}


def _model(name: str, root: str, max_model_len: int) -> dict[str, Any]:
    allowed = {
        f"allow_{what}": what in ("sampling", "logprobs", "view")
        for what in (
            "create_engine",
            "sampling",
            "logprobs",
            "search_indices",
            "view",
            "fine_tuning",
        )
    }
    permission = {
        "id": new_id("modelperm"),
        "object": "model_permission",
        "created": int(time.time()),
        **allowed,
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
        "parent": None,
        "max_model_len": max_model_len,
        "permission": [permission],
    }


_NO_DETAILS = {"prompt_tokens_details": None, "completion_tokens_details": None}
_TRANSFERS = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


def completion(head: dict[str, Any], choices: list[dict[str, Any]], used: dict[str, Any]) -> Any:
    """Return a whole completion."""
    rest = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": used | _NO_DETAILS}
    return head | {"choices": choices} | rest | _TRANSFERS


def chat_completion(
    head: dict[str, Any],
    choices: list[dict[str, Any]],
    used: dict[str, Any],
    prompt_ids: list[int] | None,
) -> Any:
    """Return a whole chat completion."""
    prompt = {"prompt_logprobs": None, "prompt_token_ids": prompt_ids, "prompt_text": None}
    rest = {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": used | _NO_DETAILS}
    return head | {"choices": choices} | rest | prompt | _TRANSFERS


def completion_choice(
    index: int, text: str, finish: str, ids: list[int] | None, prompt_ids: list[int] | None
) -> dict[str, Any]:
    """Return one choice of a whole completion."""
    return {
        "index": index,
        "text": text,
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "token_ids": ids,
        "prompt_logprobs": None,
        "prompt_token_ids": prompt_ids,
        "routed_experts": None,
    }


def chat_choice(index: int, text: str, finish: str, ids: list[int] | None) -> dict[str, Any]:
    """Return one choice of a whole chat completion."""
    absent = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    return {
        "index": index,
        "message": {"role": "assistant", "content": text, **absent},
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "token_ids": ids,
        "routed_experts": None,
    }


def completion_delta(
    index: int, text: str, finish: str | None, ids: list[int] | None, prompt_ids: list[int] | None
) -> dict[str, Any]:
    """Return one choice of a completion's stream event."""
    return {
        "index": index,
        "text": text,
        "logprobs": None,
        "finish_reason": finish,
        "stop_reason": None,
        "prompt_token_ids": prompt_ids,
        "token_ids": ids,
    }


def chat_role(index: int) -> dict[str, Any]:
    """Return the choice that opens a chat's stream."""
    delta = {"role": "assistant", "content": ""}
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def chat_delta(index: int, text: str, finish: str | None, ids: list[int] | None) -> dict[str, Any]:
    """Return one choice of a chat's stream event."""
    stop = {"stop_reason": None} if finish else {}
    choice = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    return choice | stop | {"token_ids": ids}


def embedding(vectors: list[list[float]], model: str, tokens: int) -> dict[str, Any]:
    """Return the answer of /v1/embeddings."""
    data = [{"index": i, "object": "embedding", "embedding": v} for i, v in enumerate(vectors)]
    head = {"id": new_id("embd"), "object": "list", "created": int(time.time()), "model": model}
    used = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
    return head | {"data": data, "usage": used | {"prompt_tokens_details": None}}
