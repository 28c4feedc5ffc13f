"""TGI's face (3.3; 2.4 differs in what is named): `/generate`, `/generate_stream`, `/info`, OpenAI.

* Text only: token ids are no prompt (422), and a partial assistant message is not continued.
* Over `--max-concurrent-requests` (128) a request gets 429 `overloaded`; in a stream, which has
  begun with 200 by then, it is an error event.
* `/health` is also `/ping` and `/`; after a failed generation it generates one token itself, and
  says 503 if that fails.
* SIGTERM: no new connections; those that are open finish for up to 90 s
  (`--graceful-termination-timeout`, since 3.3), then everything is killed.
* Metrics are on the API's port, and since 3.3 on one of their own, too (`--prometheus-port`; the
  real one opens 9000 unasked).
* Stop strings stay in the text. JSON events begin `data:` without a space.

Not known, and therefore plain: logprobs in the OpenAI answers, tools, grammars. An abort is not a
word of TGI's: it ends as `Incomplete generation`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from headrace.emulation.dialect import Dialect
from headrace.emulation.engine import TwinEngine
from headrace.emulation.exposition import Row
from headrace.emulation.faces.base import Face, Paths, openai_models, quiet
from headrace.emulation.faces.tgi_generate import generate
from headrace.emulation.faces.tgi_voice import TgiVoice, refusal
from headrace.emulation.http import Exchange, Server
from headrace.emulation.openai import Failure
from headrace.emulation.request import Ask
from headrace.emulation.text import encode, piece

ROWS = (
    Row("gauge", "tgi_batch_current_size", "running"),
    Row("gauge", "tgi_queue_size", "waiting"),
    Row("gauge", "tgi_batch_current_max_tokens", "kv_used"),
    Row("gauge", "tgi_batch_max_total_tokens", "kv_tokens"),
    Row("counter", "tgi_request_count", "arrived"),
    Row("counter", "tgi_request_success", "succeeded"),
    Row("counter", "tgi_request_failure", "failed", {"err": "generation"}),
    Row("histogram", "tgi_request_duration", "e2e"),
    Row("histogram", "tgi_request_queue_duration", "queued"),
    Row("histogram", "tgi_batch_inference_duration", "ttft", {"method": "prefill"}),
    Row("histogram", "tgi_request_mean_time_per_token_duration", "tpot"),
    Row("histogram", "tgi_request_input_length", "prompt_length"),
    Row("histogram", "tgi_request_generated_tokens", "answer_length"),
)
_OVERLOADED = {"error": "Model is overloaded", "error_type": "overloaded"}
_UNHEALTHY = {"error": "unhealthy", "error_type": "healthcheck"}


class TgiFace(Face):
    """TGI."""

    PORT: ClassVar[int] = 3000
    VERSION: ClassVar[str] = "3.3.7"

    def __init__(self, engine: TwinEngine) -> None:
        super().__init__(engine)
        self.dialect = Dialect(
            refusal,
            checks_model=False,
            token_prompts=False,
            logprobs=False,
            keeps_stop=True,
            completion_tokens=100,
        )
        self.voice = TgiVoice(engine.behaviour.version)

    def paths(self) -> Paths:
        """Return TGI's paths."""
        return {
            ("GET", "/"): self._health,
            ("GET", "/health"): self._health,
            ("GET", "/ping"): self._health,
            ("GET", "/info"): self._info,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/v1/models"): self._models,
            ("POST", "/"): lambda exchange: generate(exchange, self, compat=True),
            ("POST", "/generate"): lambda exchange: generate(exchange, self),
            ("POST", "/generate_stream"): lambda exchange: generate(exchange, self, stream=True),
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/v1/completions"): self.completion,
            ("POST", "/v1/chat/completions"): self.chat,
        }

    async def listen(self, server: Server, host: str, port: int) -> int:
        """Open the main port, and the metrics' own if there is to be one."""
        if self.behaviour.prometheus_port is not None:
            metrics = self.handler({("GET", "/metrics"): self._metrics})
            await server.listen(metrics, host, self.behaviour.prometheus_port)
        return await super().listen(server, host, port)

    def unknown(self, exchange: Exchange, *, known: bool) -> None:
        """Answer as axum does: without a body."""
        exchange.reply(405 if known else 404, b"")

    async def stop(self, server: Server) -> None:
        """Let open requests finish, for so long."""
        server.stop_accepting()
        await quiet(server, self.behaviour.graceful_termination_timeout)
        await server.close()

    def overload(self, ask: Ask | None = None) -> Failure | None:
        """Refuse what is more than TGI takes at once."""
        more = 1 if ask is None else len(ask.wishes)
        if self.engine.books.unfinished + more <= self.behaviour.max_concurrent_requests:
            return None
        return Failure(429, _OVERLOADED, _OVERLOADED)

    def _health(self, exchange: Exchange) -> None:
        if self.well:
            exchange.reply(200, b"")
        else:
            exchange.reply(503, _UNHEALTHY)

    def _info(self, exchange: Exchange) -> None:
        behaviour = self.behaviour
        info: dict[str, Any] = {
            "model_id": behaviour.names[0],
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": behaviour.max_concurrent_requests,
            "max_best_of": 2,
            "max_stop_sequences": 4,
            "max_input_tokens": behaviour.max_model_len - 1,
            "max_total_tokens": behaviour.max_model_len,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": behaviour.version,
            "sha": None,
            "docker_label": None,
        }
        exchange.reply(200, info)

    def _models(self, exchange: Exchange) -> None:
        name = self.behaviour.names[0]
        exchange.reply(200, openai_models((name,), name, created=0))

    def _metrics(self, exchange: Exchange) -> None:
        exchange.reply(200, self.page(ROWS), content_type="text/plain; charset=utf-8")

    def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        found, start = [], 0
        for token in encode(str(body.get("inputs", ""))):
            text = piece(token).decode("utf-8", "ignore")
            found.append({"id": token, "text": text, "start": start, "stop": start + len(text)})
            start += len(text)
        exchange.reply(200, found)
