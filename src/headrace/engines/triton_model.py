"""TensorRT-LLM as a Triton model that takes what Triton's OpenAI front end sends; streams deltas.

This file runs inside Triton's container, and nowhere else: `triton_repository.py` mounts its text
as `1/model.py`, so it must stand alone. TensorRT-LLM's own template for Triton has other tensor
names and sends all text so far with each answer, which the front end would show again and again.
`config.pbtxt` has the tensors, `model.yaml` the arguments of `LLM()`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # type: ignore[import-not-found]

_SAMPLING = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_LOOK = 0.05
"""Seconds between two looks whether a client has gone."""


class TritonPythonModel:
    """The model, as Triton's Python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights; Triton says that the model is ready when this returns."""
        import yaml  # type: ignore[import-untyped] # noqa: PLC0415 - the container has it
        from tensorrt_llm import LLM  # type: ignore[import-not-found] # noqa: PLC0415

        folder = Path(args["model_repository"]) / args["model_version"]
        given = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
        self._load = _Load(args["model_name"], given["max_batch_size"])
        self._llm = LLM(**given)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Begin to answer; answers come through each request's sender."""
        for request in requests:
            self._load.change(+1)
            self._spawn(self._answer(request))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _answer(self, request: Any) -> None:
        sender = request.get_response_sender()
        try:
            await self._generate(request, sender)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
            failed = triton.InferenceResponse(error=triton.TritonError(str(error)))
            sender.send(failed, flags=_flags(final=True))
        finally:
            self._load.change(-1)

    async def _generate(self, request: Any, sender: Any) -> None:
        prompt, stream = _text(request, "text_input"), bool(_value(request, "stream"))
        echo = prompt if _value(request, "exclude_input_in_output") is False else ""
        result = self._llm.generate_async(prompt, _sampling(request), streaming=stream)
        watch = asyncio.ensure_future(_abort_when_gone(result, sender))
        ended = False
        try:
            async for step in result:
                if stream or step.finished:
                    sender.send(_said(step, echo, stream=stream), flags=_flags(step.finished))
                    echo, ended = "", step.finished
        finally:
            watch.cancel()
        if not ended:
            sender.send(flags=_flags(final=True))

    def finalize(self) -> None:
        """Stop; by now Triton has waited for what was in flight."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._llm.shutdown()


class _Load:
    """How many requests run and wait, under the names of TensorRT-LLM's C++ backend."""

    def __init__(self, model: str, slots: int) -> None:
        family = triton.MetricFamily(
            name="nv_trt_llm_request_metrics",
            description="TRT LLM request metrics",
            kind=triton.MetricFamily.GAUGE,
        )
        self._gauges = {
            kind: family.Metric(labels={"model": model, "version": "1", "request_type": kind})
            for kind in ("active", "waiting")
        }
        self._family, self._slots, self._now = family, slots, 0
        self._lock = threading.Lock()

    def change(self, by: int) -> None:
        """Count a request that came or went."""
        with self._lock:
            self._now += by
            self._gauges["active"].set(min(self._now, self._slots))
            self._gauges["waiting"].set(max(0, self._now - self._slots))


async def _abort_when_gone(result: Any, sender: Any) -> None:
    """Abort the generation if its client has gone."""
    while not sender.is_cancelled():  # noqa: ASYNC110 - Triton has no event for it
        await asyncio.sleep(_LOOK)
    result.abort()


def _sampling(request: Any) -> Any:
    from tensorrt_llm import SamplingParams  # noqa: PLC0415

    given = {name: _value(request, name) for name in _SAMPLING}
    wanted = {name: value for name, value in given.items() if value is not None}
    guide = _value(request, "guided_decoding_guide")
    if guide is not None:
        from tensorrt_llm.llmapi import (  # type: ignore[import-not-found] # noqa: PLC0415
            GuidedDecodingParams,
        )

        wanted["guided_decoding"] = GuidedDecodingParams(json=guide.decode())
    stops = triton.get_input_tensor_by_name(request, "stop_words")
    words = [] if stops is None else [word.decode() for word in stops.as_numpy().flatten()]
    return SamplingParams(**wanted, stop=[word for word in words if word] or None)


def _value(request: Any, name: str) -> Any:
    """Return an input's one value, or None if the request has no such input."""
    tensor = triton.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().flatten()[0].item()


def _text(request: Any, name: str) -> str:
    tensor = triton.get_input_tensor_by_name(request, name)
    return str(tensor.as_numpy().flatten()[0].decode())


def _flags(final: bool) -> int:
    return int(triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL) if final else 0


def _said(step: Any, echo: str, *, stream: bool) -> Any:
    """Return what is new in a stream, or the whole answer, with the tokens of both."""
    output = step.outputs[0]
    text = echo + (output.text_diff if stream else output.text)
    generated = output.token_ids_diff if stream else output.token_ids
    said = triton.Tensor("text_output", np.array([[text.encode()]], dtype=np.object_))
    counts = {"num_input_tokens": step.prompt_token_ids, "num_output_tokens": generated}
    numbers = {name: np.array([[len(ids)]], dtype=np.int32) for name, ids in counts.items()}
    return triton.InferenceResponse([said, *(triton.Tensor(*one) for one in numbers.items())])
