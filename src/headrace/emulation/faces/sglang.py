"""SGLang's face (0.5.23): its OpenAI API, `/generate`, and a health that costs a token.

* `/health` and `/health_generate` run a request of one token and take at least a second; 503 while
  SGLang stops. `/ready` says the same at once. A wedged scheduler is seen after 20 s.
* SIGTERM drains without a deadline: every 5 s it looks whether requests are left. Meanwhile health
  is 503, and new requests are still taken.
* Beyond `--max-queued-requests` a request gets `The request queue is full.`: 503, or in a stream
  that has begun with 200 as an error event.
* Metrics are there only with `--enable-metrics`, under the names of the version: up to 0.4.8 the
  time between tokens was `time_per_output_token_seconds`, and the time in the queue came after
  0.4.9 (between which releases a name changed is known to about these). The default host is
  127.0.0.1.
* A chat's finish reason comes in an event of its own. `/generate` streams all text so far, again
  and again.

Not known from the sources at hand, and therefore plain: `metadata`, hidden states, reasoning, tool
calls, and what an error in mid-stream says beyond its message.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from packaging.version import Version

from headrace.emulation.dialect import Dialect
from headrace.emulation.engine import Finish, TwinEngine, Wish
from headrace.emulation.exposition import Row
from headrace.emulation.faces.base import METRICS, Face, Paths, openai_models, quiet
from headrace.emulation.faces.sglang_generate import generate
from headrace.emulation.faces.sglang_voice import SglangVoice, flat_error, refusal
from headrace.emulation.http import Exchange, Server
from headrace.emulation.openai import Failure
from headrace.emulation.request import Ask

_QUEUE_FULL = "The request queue is full."
_SLOWEST_PROBE = 20.0
"""Seconds until a health check gives up on the scheduler."""
_LOOK = 0.1
_FLUSH = 5.0
"""Seconds for the last bytes to leave."""
ROWS = (
    Row("gauge", "sglang:num_running_reqs", "running"),
    Row("gauge", "sglang:num_queue_reqs", "waiting"),
    Row("gauge", "sglang:num_retracted_reqs", "zero"),
    Row("gauge", "sglang:token_usage", "kv_usage"),
    Row("gauge", "sglang:full_token_usage", "kv_usage"),
    Row("gauge", "sglang:cache_hit_rate", "prefix_rate"),
    Row("histogram", "sglang:time_to_first_token_seconds", "ttft"),
    Row("histogram", "sglang:request_time_per_output_token_seconds", "tpot"),
    Row("histogram", "sglang:e2e_request_latency_seconds", "e2e"),
    Row("counter", "sglang:num_requests_total", "arrived"),
    Row("counter", "sglang:num_aborted_requests_total", "aborted"),
    Row("counter", "sglang:prompt_tokens_total", "prompt_tokens"),
    Row("counter", "sglang:generation_tokens_total", "generation_tokens"),
    Row("counter", "sglang:cached_tokens_total", "prefix_hits"),
    Row("counter", "sglang:num_retracted_requests_total", "zero"),
)
_ITL = Row("histogram", "sglang:inter_token_latency_seconds", "itl")
_OLD_ITL = Row("histogram", "sglang:time_per_output_token_seconds", "itl")
_QUEUED = Row("histogram", "sglang:queue_time_seconds", "queued")
_RENAMED = "0.4.9"


class SglangFace(Face):
    """SGLang."""

    PORT: ClassVar[int] = 30000
    VERSION: ClassVar[str] = "0.5.23"

    def __init__(self, engine: TwinEngine) -> None:
        super().__init__(engine)
        self.dialect = Dialect(
            refusal, checks_model=False, chat_ids="input_ids", token_ids=True, continues=True
        )
        self.voice = SglangVoice()
        self._stopping = False

    def paths(self) -> Paths:
        """Return SGLang's paths."""
        paths: Paths = {
            ("GET", "/health"): self._health,
            ("GET", "/health_generate"): self._health,
            ("GET", "/ready"): self._ready,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/completions"): self.completion,
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/generate"): lambda exchange: generate(exchange, self),
        }
        if self.behaviour.enable_metrics:
            return {**paths, ("GET", "/metrics"): self._metrics}
        return paths

    async def stop(self, server: Server) -> None:
        """Look now and then whether requests are left, for as long as it takes."""
        self._stopping = True
        while self.engine.books.unfinished:  # noqa: ASYNC110 - SGLang polls, and a drill feels it
            await asyncio.sleep(self.behaviour.poll)
        server.stop_accepting()
        await quiet(server, _FLUSH)

    def overload(self, ask: Ask | None = None) -> Failure | None:
        """Refuse what would wait behind too many."""
        most = self.behaviour.max_queued_requests
        del ask
        full = self.engine.books.running >= self.behaviour.slots
        if most is None or not full or self.engine.books.waiting < most:
            return None
        body = flat_error(_QUEUE_FULL, "SERVICE_UNAVAILABLE", 503)
        return Failure(503, body, {"error": body})

    def _health(self, exchange: Exchange) -> None:
        if not self.well or self._stopping:
            exchange.reply(503, b"")
            return
        probe = _Probe(exchange, self.engine)
        exchange.gone = self.engine.submit(Wish([0], limit=1, ignore_eos=True), probe).leave
        asyncio.get_running_loop().call_later(self.behaviour.probe, probe.look)

    def _ready(self, exchange: Exchange) -> None:
        exchange.reply(200 if self.well and not self._stopping else 503, b"")

    def _models(self, exchange: Exchange) -> None:
        length = self.behaviour.max_model_len
        fields = {"created": int(time.time()), "max_model_len": length}
        exchange.reply(200, openai_models(self.behaviour.names, "sglang", **fields))

    def _metrics(self, exchange: Exchange) -> None:
        page = self.page(_rows(self.behaviour.version), model_name=self.behaviour.names[0])
        exchange.reply(200, page, content_type=METRICS)


def _rows(version: str) -> tuple[Row, ...]:
    now, renamed = Version(version), Version(_RENAMED)
    if now < renamed:
        return (*ROWS, _OLD_ITL)
    return (*ROWS, _ITL, _QUEUED) if now > renamed else (*ROWS, _ITL)


class _Probe:
    """A health check: output of any request counts as life, that of its own one token included."""

    def __init__(self, exchange: Exchange, engine: TwinEngine) -> None:
        self._exchange, self._books = exchange, engine.books
        self._before = engine.books.generation_tokens
        self._began = time.monotonic()

    def look(self) -> None:
        """Answer if something came, or if it takes too long; else look again."""
        if self._exchange.over:
            return
        if self._books.generation_tokens > self._before:
            self._exchange.reply(200, b"")
        elif time.monotonic() - self._began > _SLOWEST_PROBE:
            self._exchange.reply(503, b"")
        else:
            asyncio.get_running_loop().call_later(_LOOK, self.look)

    def step(self, of: object, token: int | None, text: str, finish: Finish | None) -> None:
        """Nothing to do: the books have it."""

    def reset(self) -> None:
        """Break the connection."""
        self._exchange.reset()

    def garbage(self) -> None:
        """Nothing to spoil."""
