"""trtllm-serve's OpenAI answers, as its `postprocess_handlers.py` writes them, and what it takes.

A chat's events leave out what is null, a completion's do not. `trtllm.py` is the rest of the face.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from headrace.emulation import logprobs
from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish
from headrace.emulation.faces.sglang_voice import flat_error
from headrace.emulation.openai import Delta, Failure, Result
from headrace.emulation.request import Ask
from headrace.emulation.shapes import openai_head

_FIELDS = (
    "model prompt messages best_of echo frequency_penalty logit_bias logprobs top_logprobs "
    "max_tokens max_completion_tokens min_tokens n presence_penalty repetition_penalty "
    "length_penalty seed stop stream stream_options suffix temperature top_p top_k top_p_min min_p "
    "user use_beam_search early_stopping stop_token_ids include_stop_str_in_output ignore_eos "
    "skip_special_tokens spaces_between_special_tokens truncate_prompt_tokens add_special_tokens "
    "return_context_logits detokenize prompt_ignore_length prompt_token_ids response_format tools "
    "tool_choice add_generation_prompt documents chat_template chat_template_kwargs "
    "mm_processor_kwargs reasoning_effort lora_request disaggregated_params cache_salt"
)
KNOWN = frozenset(_FIELDS.split())
"""Every other field is refused. Newer releases may know more."""


def refusal(status: int, kind: str, message: str, param: str | None) -> RefusedError:
    """Return a refusal; the parameter is in the message only."""
    del param
    status = 400 if status == 422 else status  # noqa: PLR2004 - the HTTP status
    return RefusedError(status, flat_error(message, kind, status))


@dataclass(frozen=True)
class TrtllmVoice:
    """trtllm-serve's answers."""

    prefix: bytes = b"data: "
    done: bytes = b"data: [DONE]\n\n"
    splits_end: bool = False

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what every answer begins with; ids are numbers."""
        kind = "chatcmpl" if ask.chat else "cmpl"
        return openai_head(ask) | {"id": f"{kind}-{uuid.uuid4().int % 10**9}"}

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return the event with the role."""
        if not ask.chat:
            return None
        return {**head, "choices": [{"index": index, "delta": {"role": "assistant"}}]}

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        finish = _reason(delta.finish)
        top = ask.logprobs
        if ask.chat:
            choice: dict[str, Any] = {"index": delta.index, "delta": self._content(ask, delta)}
            if top is not None:
                choice["logprobs"] = logprobs.for_chat(delta.tokens, top)
            ends = {"finish_reason": finish, "stop_reason": delta.stopped_by}
            choice |= {name: value for name, value in ends.items() if value is not None}
            return {**head, "choices": [choice]}
        scores = None if top is None else logprobs.for_completion(delta.tokens, top, delta.offset)
        choice = {
            "index": delta.index,
            "text": "" if ask.raw_ids else delta.text,
            "token_ids": list(delta.tokens) if ask.raw_ids else None,
            "logprobs": scores,
            "finish_reason": finish,
            "stop_reason": delta.stopped_by,
            "avg_decoded_tokens_per_iter": None,
        }
        return {**head, "choices": [choice], "usage": None}

    def _content(self, ask: Ask, delta: Delta) -> dict[str, Any]:
        if not ask.tool:
            return {"content": delta.text, "reasoning_content": ""}
        function = {"name": ask.tool, "arguments": delta.text}
        return {"tool_calls": [{"index": delta.index, "type": "function", "function": function}]}

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return the usage so far."""
        return {"usage": _usage(ask.prompt_tokens, tokens)}

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event."""
        return {**head, "choices": [], "usage": _usage(ask.prompt_tokens, tokens, cached)}

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        choices = [self._choice(ask, index, result) for index, result in enumerate(results)]
        tokens = sum(len(result.tokens) for result in results)
        used = _usage(ask.prompt_tokens, tokens, results[0].cached)
        return {**head, "choices": choices, "usage": used, "prompt_token_ids": None}

    def _choice(self, ask: Ask, index: int, result: Result) -> dict[str, Any]:
        top = ask.logprobs
        ends = {"finish_reason": _reason(result.finish), "stop_reason": result.stopped_by}
        if ask.chat:
            calls = []
            if ask.tool:
                function = {"name": ask.tool, "arguments": result.text}
                calls = [{"id": uuid.uuid4().hex, "type": "function", "function": function}]
            text = "" if ask.tool else result.text
            message = {"role": "assistant", "content": text, "tool_calls": calls}
            scores = None if top is None else logprobs.for_chat(result.tokens, top)
            return {"index": index, "message": message, "logprobs": scores, **ends}
        scores = None if top is None else logprobs.for_completion(result.tokens, top, 0)
        shown: dict[str, Any] = {"text": result.text, "token_ids": None}
        if ask.raw_ids:
            shown = {"text": "", "token_ids": result.tokens}
        return {"index": index, **shown, "logprobs": scores, "context_logits": None, **ends}

    def failure(self, finish: Finish) -> Failure | None:
        """Return an error for what broke; an abort is an answer like any other."""
        if finish != "error":
            return None
        body = flat_error("The executor failed.", "InternalServerError", 500)
        return Failure(500, body, body)


def _reason(finish: Finish | None) -> str | None:
    return "cancelled" if finish == "abort" else finish


def _usage(prompt: int, generated: int, cached: int = 0) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + generated}
    details = {"prompt_tokens_details": {"cached_tokens": cached}}
    return {**counts, "completion_tokens": generated, **details}
