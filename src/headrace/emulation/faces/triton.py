"""Triton's face with a TensorRT-LLM model: KServe's `generate`, metrics on a port of their own.

* `/v2/health/*` and `/v2/models/M/ready` say what is loaded; nothing is generated for them, so a
  broken worker is ready all the same.
* `/v2/models/M/generate` and `generate_stream` take `text_input`; the model `tensorrt_llm` takes
  and gives token ids (`input_ids`, `output_ids`).
* Metrics are on port 8002. `--openai-port` (9000) opens its OpenAI front end, too: one choice, no
  token ids, no logprobs, unknown fields are 422, and every finish reason is `stop`.
* SIGTERM: no new connections; open requests finish for up to `--exit-timeout-secs` (30).

Not imitated: gRPC, `infer`, model loading. Not known: what a stream gets when the worker fails
(here an error event) and the order of keys in the front end's answers.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from headrace.emulation.dialect import Dialect
from headrace.emulation.engine import TwinEngine
from headrace.emulation.exposition import Row
from headrace.emulation.faces.base import Face, Paths, openai_models, quiet
from headrace.emulation.faces.triton_generate import RAW, generate
from headrace.emulation.faces.triton_voice import KNOWN, TritonVoice, refusal
from headrace.emulation.http import Exchange, Handler, Server

_MS, _US = 1000.0, 1_000_000.0
_REQUESTS = "nv_trt_llm_request_metrics"
_BLOCKS = "nv_trt_llm_kv_cache_block_metrics"
_BATCHER = "nv_trt_llm_inflight_batcher_metrics"
ROWS = (
    Row("gauge", _REQUESTS, "running", {"request_type": "active"}),
    Row("gauge", _REQUESTS, "waiting", {"request_type": "waiting"}),
    Row("gauge", _BATCHER, "zero", {"inflight_batcher_specific_metric": "paused_requests"}),
    Row("gauge", _BLOCKS, "kv_usage", {"kv_cache_block_type": "fraction"}),
    Row("gauge", _BLOCKS, "kv_used", {"kv_cache_block_type": "used"}),
    Row("gauge", _BLOCKS, "kv_free", {"kv_cache_block_type": "free"}),
    Row("gauge", _BLOCKS, "kv_tokens", {"kv_cache_block_type": "max"}),
    Row("gauge", _BLOCKS, "prefix_hits", {"kv_cache_block_type": "reused"}),
    Row("gauge", "nv_inference_pending_request_count", "waiting"),
    Row("histogram", "nv_inference_first_response_histogram_ms", "ttft", factor=_MS),
    Row("counter", "nv_inference_request_duration_us", "e2e", factor=_US),
    Row("counter", "nv_inference_queue_duration_us", "queued", factor=_US),
    Row("counter", "nv_inference_request_success", "succeeded"),
    Row("counter", "nv_inference_request_failure", "failed"),
    Row("histogram", "nv_llm_input_token_len", "prompt_length"),
    Row("histogram", "nv_llm_output_token_len", "answer_length"),
)


class TritonFace(Face):
    """Triton."""

    PORT: ClassVar[int] = 8000
    VERSION: ClassVar[str] = "2.51.0"

    def __init__(self, engine: TwinEngine) -> None:
        super().__init__(engine)
        self.dialect = Dialect(
            refusal,
            known=KNOWN,
            token_prompts=False,
            batches=False,
            prompts_chats=True,
            many=False,
            logprobs=False,
        )
        self.voice = TritonVoice()
        self.ports: dict[str, int] = {}
        """Where `metrics` and `openai` are."""

    def paths(self) -> Paths:
        """Return KServe's paths."""
        paths: dict[tuple[str, str], Handler] = {
            ("GET", "/v2"): self._server,
            ("GET", "/v2/health/live"): self._ready,
            ("GET", "/v2/health/ready"): self._ready,
        }
        for name in (*self.behaviour.names, RAW):
            at = f"/v2/models/{name}"
            paths["GET", at] = partial(self._model, name)
            paths["GET", f"{at}/ready"] = self._ready
            paths["POST", f"{at}/generate"] = partial(generate, self, name, False)
            paths["POST", f"{at}/generate_stream"] = partial(generate, self, name, True)
        return paths

    async def listen(self, server: Server, host: str, port: int) -> int:
        """Open the main port, the metrics' and the front end's."""
        metrics: Paths = {("GET", "/metrics"): self._metrics}
        front: Paths = {
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completion,
            ("GET", "/v1/models"): self._models,
            ("GET", "/health/ready"): self._ready,
            **metrics,
        }
        wanted = {"metrics": (self.behaviour.metrics_port, metrics)}
        wanted["openai"] = (self.behaviour.openai_port, front)
        for name, (where, paths) in wanted.items():
            if where is not None:
                self.ports[name] = await server.listen(self.handler(paths), host, where)
        return await super().listen(server, host, port)

    async def stop(self, server: Server) -> None:
        """Let open requests finish, for so long."""
        server.stop_accepting()
        await quiet(server, self.behaviour.exit_timeout)
        await server.close()

    def unknown(self, exchange: Exchange, *, known: bool) -> None:
        """Answer as Triton does."""
        if known:
            exchange.reply(405, b"")
        else:
            exchange.reply(404, {"error": "Not Found"})

    def _ready(self, exchange: Exchange) -> None:
        exchange.reply(400 if self.engine.faults.sick else 200, b"")

    def _server(self, exchange: Exchange) -> None:
        named = {"name": "triton", "version": self.behaviour.version}
        exchange.reply(200, {**named, "extensions": ["generate", "statistics"]})

    def _model(self, name: str, exchange: Exchange) -> None:
        platform = "tensorrt_llm" if name == RAW else "ensemble"
        exchange.reply(200, {"name": name, "versions": ["1"], "platform": platform})

    def _models(self, exchange: Exchange) -> None:
        owner = "Triton Inference Server"
        exchange.reply(200, openai_models(self.behaviour.names, owner, created=0))

    def _metrics(self, exchange: Exchange) -> None:
        page = self.page(ROWS, model=RAW, version="1")
        exchange.reply(200, page, content_type="text/plain; charset=utf-8")
