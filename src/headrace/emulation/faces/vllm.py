"""vLLM's face, as recorded and measured on 0.32.0, with what differs in older versions.

* Before 0.10.2 there are no token ids. Metrics have the names of the version.
* `/health` only says whether the worker lives, and stays 200 while vLLM drains. A dead worker is
  503; up to 0.10.2 it is 500 (the version of the change is not known).
* Beyond `--max-num-queued-reqs` (since 0.30) a request gets 503; since 0.32 it is counted.
* SIGTERM without a shutdown timeout (and always before 0.18): the socket closes at once, and within
  2 s every stream is aborted, gets an error, or hangs for good. Which of the three is a race;
  `--cut` decides, `--cut race` (the default before 0.18) draws with the odds that were measured.
* SIGTERM with `--shutdown-timeout`: streams run on, everything answers 200, and whoever comes new
  gets 200, no text and `finish_reason: abort`.

Not imitated: guided decoding other than a forced tool call (whose finish reason is `stop`), several
tools at once, `prompt_logprobs`, stop token ids, and the newer APIs. The words of the 503 are not
known.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import ClassVar

from packaging.version import Version

from headrace.emulation.dialect import Dialect
from headrace.emulation.engine import TwinEngine
from headrace.emulation.exposition import Kind, Row
from headrace.emulation.faces.base import METRICS, Face, Paths
from headrace.emulation.http import Exchange, Server
from headrace.emulation.log import phases
from headrace.emulation.openai import Failure
from headrace.emulation.request import Ask, chat_tokens, check_model
from headrace.emulation.shapes import VllmVoice, embedding, model_list, refusal
from headrace.emulation.text import decode, encode
from headrace.engines.vllm import Vllm
from headrace.engines.vllm_flags import has_flag
from headrace.engines.vllm_metrics import unasked_names

_SIZE = 16
"""Numbers in an embedding."""
_SICK_IS_500 = "0.10.2"
_FIRST_V1 = "0.8"
"""From where on every series has the label `engine`."""
_COUNTS_REJECTIONS = "0.32"
_ROWS: dict[str, tuple[Kind, str]] = {
    "running": ("gauge", "running"),
    "waiting": ("gauge", "waiting"),
    "kv_usage": ("gauge", "kv_usage"),
    "ttft": ("histogram", "ttft"),
    "itl": ("histogram", "itl"),
    "tpot": ("histogram", "tpot"),
    "e2e": ("histogram", "e2e"),
    "prompt_tokens": ("counter", "prompt_tokens"),
    "generation_tokens": ("counter", "generation_tokens"),
    "prefix_hits": ("counter", "prefix_hits"),
    "prefix_queries": ("counter", "prefix_queries"),
    "preemptions": ("counter", "preempted"),
    "success": ("counter", "finished"),
}
"""Type and count of each canonical metric; the engine's own file knows the names."""


class VllmFace(Face):
    """vLLM in one version."""

    PORT: ClassVar[int] = 8000
    VERSION: ClassVar[str] = "0.32.0"

    def __init__(self, engine: TwinEngine) -> None:
        super().__init__(engine)
        version = engine.behaviour.version
        ids = Vllm(version).resume.token_ids
        self.dialect = Dialect(
            refusal, json_only=True, token_ids=ids, continues=True, greedy_is_one=True
        )
        details = engine.behaviour.enable_prompt_tokens_details
        self.voice = VllmVoice(version, gives_ids=ids, details=details)
        self._rows = _canonical_rows(version) + _further_rows(version)

    def phases(self, host: str, port: int) -> list[str]:
        """Return vLLM's own lines."""
        del host
        return phases(self.behaviour, port)

    def paths(self) -> Paths:
        """Return vLLM's paths."""
        paths: Paths = {
            ("GET", "/health"): self._health,
            ("GET", "/ping"): self._health,
            ("POST", "/ping"): self._health,
            ("GET", "/version"): self._version,
            ("GET", "/load"): self._load,
            ("GET", "/v1/models"): self._models,
            ("GET", "/metrics"): self._metrics,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/detokenize"): self._detokenize,
        }
        if self.behaviour.embeds:
            return {**paths, ("POST", "/v1/embeddings"): self._embeddings}
        return {
            **paths,
            ("POST", "/v1/completions"): self.completion,
            ("POST", "/v1/chat/completions"): self.chat,
        }

    async def stop(self, server: Server) -> None:
        """Drain for the shutdown timeout, or cut."""
        behaviour = self.behaviour
        drains = has_flag("shutdown-timeout", behaviour.version)
        if behaviour.shutdown_timeout and drains:
            self.engine.draining = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.idle.wait(), behaviour.shutdown_timeout)
            server.stop_accepting()
        else:
            server.stop_accepting()
            await asyncio.sleep(behaviour.cut_after)
        self.engine.cut(behaviour.cut or ("abort" if drains else "race"))
        await server.quiet.wait()  # a stream that hangs keeps the process, as the real one

    def overload(self, ask: Ask | None = None) -> Failure | None:
        """Refuse what would wait behind too many."""
        del ask
        most, books = self.behaviour.max_num_queued_reqs, self.engine.books
        if most is None or books.running < self.behaviour.slots or books.waiting < most:
            return None
        books.rejected["queued_reqs"] += 1
        message = f"The request queue is full: {books.waiting} requests wait."
        raise refusal(503, "ServiceUnavailableError", message, None)

    def _health(self, exchange: Exchange) -> None:
        old = Version(self.behaviour.version) <= Version(_SICK_IS_500)
        exchange.reply(200 if self.well else 500 if old else 503, b"")

    def _version(self, exchange: Exchange) -> None:
        exchange.reply(200, {"version": self.behaviour.version})

    def _load(self, exchange: Exchange) -> None:
        exchange.reply(200, {"server_load": self.engine.books.unfinished})

    def _models(self, exchange: Exchange) -> None:
        of = self.behaviour
        exchange.reply(200, model_list(of.names, of.max_model_len, of.adapters))

    def _metrics(self, exchange: Exchange) -> None:
        labels = {"model_name": self.behaviour.names[0]}
        if Version(self.behaviour.version) >= Version(_FIRST_V1):
            labels["engine"] = "0"
        page = self.page(self._rows, **labels)
        if self.behaviour.adapters:
            page += self.page((self._adapter_row(),))
        exchange.reply(200, page, content_type=METRICS)

    def _adapter_row(self) -> Row:
        running, waiting = self.engine.adapters()
        labels = {
            "max_lora": str(self.behaviour.adapter_room),
            "running_lora_adapters": ",".join(running),
            "waiting_lora_adapters": ",".join(waiting),
        }
        return Row("gauge", "vllm:lora_requests_info", "now", labels)

    def _tokenize(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        check_model(body, self.behaviour, self.dialect)
        tokens = encode(str(body.get("prompt", "")))
        if "messages" in body:
            tokens = chat_tokens(body, self.dialect, self.engine.faults)
        counts = {"count": len(tokens), "max_model_len": self.behaviour.max_model_len}
        exchange.reply(200, counts | {"tokens": tokens, "token_strs": None})

    def _detokenize(self, exchange: Exchange) -> None:
        tokens = self.read(exchange).get("tokens", [])
        try:
            exchange.reply(200, {"prompt": decode(tokens)})
        except (ValueError, TypeError) as wrong:
            raise refusal(400, "BadRequestError", str(wrong), "tokens") from None

    def _embeddings(self, exchange: Exchange) -> None:
        body = self.read(exchange)
        model = check_model(body, self.behaviour, self.dialect)
        given = body.get("input", "")
        texts = [str(text) for text in (given if isinstance(given, list) else [given])]
        wrong = self.engine.faults.wrong
        vectors = [[0.0] * _SIZE if wrong else _vector(text) for text in texts]
        tokens = sum(len(encode(text)) for text in texts)
        exchange.reply(200, embedding(vectors, model, tokens))


def _further_rows(version: str) -> tuple[Row, ...]:
    queued = Row("histogram", "vllm:request_queue_time_seconds", "queued")
    rejected = Row("counter", "vllm:admission_rejections_total", "rejected", by="reason")
    counts = Version(version) >= Version(_COUNTS_REJECTIONS)
    return (queued, rejected) if counts else (queued,)


def _canonical_rows(version: str) -> tuple[Row, ...]:
    return tuple(
        Row(kind, wire, source, by="finished_reason" if source == "finished" else "")
        for name, wires in unasked_names(version).items()
        for wire in wires
        for kind, source in [_ROWS[name]]
    )


def _vector(text: str) -> list[float]:
    return [byte / 255 - 0.5 for byte in hashlib.sha256(text.encode()).digest()[:_SIZE]]
