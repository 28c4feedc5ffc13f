"""trtllm-serve's face: the OpenAI API with a strict schema, and metrics in two places.

* Unknown fields are refused with 400 (`Extra inputs are not permitted`): `return_token_ids` and
  `continue_final_message` among them. Token ids come from completions with `detokenize: false`,
  and are taken as a prompt (`prompt_token_ids` in a chat).
* `/metrics` is JSON; Prometheus' page is `/prometheus/metrics`, and only with
  `return_perf_metrics: true`: five series up to 1.1, more since. Its gauges are brought up to date
  only when a request completes.
* `/health` says whether the worker lives; `/health_generate` generates a token.
* SIGTERM: no new connections; open ones finish, without a limit.
* While it loads, nothing listens. Newer releases (which, is not known; `--answers-while-starting`)
  listen and answer everything with 503, `Retry-After: 1` and `x-trtllm-server-state: starting`.

The condition under which the ids are filled is read from the source and not measured. What a stream
gets when the executor fails is not known: here an error event. An abort ends as `cancelled`.
"""

from __future__ import annotations

import time
from typing import ClassVar

from packaging.version import Version

from headrace.emulation.dialect import Dialect
from headrace.emulation.engine import Finish, TwinEngine, Wish
from headrace.emulation.exposition import Row
from headrace.emulation.faces.base import METRICS, Face, Paths, openai_models, quiet
from headrace.emulation.faces.sglang_voice import flat_error
from headrace.emulation.faces.trtllm_voice import KNOWN, TrtllmVoice, refusal
from headrace.emulation.http import Exchange, Handler, Server

_FIRST = (
    Row("histogram", "trtllm_time_to_first_token_seconds", "ttft"),
    Row("histogram", "trtllm_time_per_output_token_seconds", "tpot"),
    Row("histogram", "trtllm_e2e_request_latency_seconds", "e2e"),
    Row("histogram", "trtllm_request_queue_time_seconds", "queued"),
    Row("counter", "trtllm_request_success_total", "finished_well", by="finished_reason"),
)
"""What 1.1 had."""
ROWS = (
    *_FIRST,
    Row("gauge", "trtllm_num_requests_running", "running_seen"),
    Row("gauge", "trtllm_num_requests_waiting", "waiting_seen"),
    Row("gauge", "trtllm_num_paused_requests", "zero"),
    Row("gauge", "trtllm_kv_cache_utilization", "kv_usage"),
    Row("gauge", "trtllm_kv_cache_hit_rate", "prefix_rate"),
    Row("counter", "trtllm_kv_cache_reused_blocks_total", "prefix_hits"),  # blocks of one token
    Row("counter", "trtllm_kv_cache_missed_blocks_total", "prefix_misses"),
    Row("counter", "trtllm_request_error_total", "failed"),
    Row("counter", "trtllm_prompt_tokens_total", "prompt_tokens"),
    Row("counter", "trtllm_generation_tokens_total", "generation_tokens"),
)

_MANY_SINCE = "1.2"


class TrtllmFace(Face):
    """trtllm-serve."""

    PORT: ClassVar[int] = 8000
    VERSION: ClassVar[str] = "1.2.1"

    def __init__(self, engine: TwinEngine) -> None:
        super().__init__(engine)
        self.dialect = Dialect(
            refusal, known=KNOWN, checks_model=False, chat_ids="prompt_token_ids", raw_ids=True
        )
        self.voice = TrtllmVoice()

    @property
    def listens_early(self) -> bool:
        """Whether it is one of the releases that do."""
        return self.behaviour.answers_while_starting

    def paths(self) -> Paths:
        """Return trtllm-serve's paths."""
        paths: Paths = {
            ("GET", "/health"): self._health,
            ("GET", "/health_generate"): self._health_generate,
            ("GET", "/version"): lambda x: x.reply(200, {"version": self.behaviour.version}),
            ("GET", "/v1/models"): self._models,
            ("GET", "/metrics"): self._statistics,
            ("POST", "/v1/completions"): self.completion,
            ("POST", "/v1/chat/completions"): self.chat,
        }
        if self.behaviour.return_perf_metrics:
            return {**paths, ("GET", "/prometheus/metrics"): self._metrics}
        return paths

    def handler(self, paths: Paths) -> Handler:
        """Return what serves these paths, once the weights are loaded."""
        ready = super().handler(paths)

        def handle(exchange: Exchange) -> None:
            if self.starting:
                fields = {"retry_after": "1", "x_trtllm_server_state": "starting"}
                exchange.reply(503, b"", **fields)
            else:
                ready(exchange)

        return handle

    async def stop(self, server: Server) -> None:
        """Wait for open requests, for as long as it takes."""
        server.stop_accepting()
        await quiet(server, None)

    def _health(self, exchange: Exchange) -> None:
        exchange.reply(200 if self.well else 503, b"")

    def _health_generate(self, exchange: Exchange) -> None:
        probe = _Probe(exchange)
        exchange.gone = self.engine.submit(Wish([0], limit=1, ignore_eos=True), probe).leave

    def _models(self, exchange: Exchange) -> None:
        created = int(time.time())
        names = self.behaviour.names
        exchange.reply(200, openai_models(names, "tensorrt_llm", created=created))

    def _statistics(self, exchange: Exchange) -> None:
        """Answer with the iteration statistics, which are JSON."""
        books = self.engine.books
        used = {"usedNumBlocks": self.engine.kv_used(), "tokensPerBlock": 1}
        one = {"numActiveRequests": books.running, "numQueuedRequests": books.waiting}
        exchange.reply(200, [{**one, "kvCacheStats": used}])

    def _metrics(self, exchange: Exchange) -> None:
        few = Version(self.behaviour.version) < Version(_MANY_SINCE)
        labels = {"model_name": self.behaviour.names[0], "engine_type": "pytorch"}
        page = self.page(_FIRST if few else ROWS, **labels)
        exchange.reply(200, page, content_type=METRICS)


class _Probe:
    """A health check by one token."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def step(self, of: object, token: int | None, text: str, finish: Finish | None) -> None:
        """Answer when the token is there."""
        del of, token, text
        if self._exchange.over or finish is None:
            return
        if finish in {"length", "stop"}:
            self._exchange.reply(200, b"")
        else:
            error = flat_error("Health check failed.", "InternalServerError", 500)
            self._exchange.reply(500, error)

    def reset(self) -> None:
        """Break the connection."""
        self._exchange.reset()

    def garbage(self) -> None:
        """Nothing to spoil."""
