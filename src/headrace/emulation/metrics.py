"""The twin's `/metrics`, in vLLM 0.32's names and labels."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_REASONS = ("stop", "length", "abort", "error", "repetition")
_LABELS = ("engine", "model_name")


class Metrics:
    """Counts of one twin; each has its own registry."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        self._model = model
        self.unfinished = 0
        self._running = self._gauge("num_requests_running", "Requests in execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Requests waiting to be processed.")
        self._kv = self._gauge("kv_cache_usage_perc", "KV-cache usage; 1 means 100 percent.")
        self._prompt = self._counter("prompt_tokens", "Prefill tokens processed.")
        self._generated = self._counter("generation_tokens", "Generation tokens processed.")
        for name in ("num_preemptions", "prefix_cache_hits", "prefix_cache_queries"):
            self._counter(name, "Always 0 in the twin.")
        self._ttft = self._histogram("time_to_first_token_seconds")
        self._itl = self._histogram("inter_token_latency_seconds")
        self._tpot = self._histogram("request_time_per_output_token_seconds")
        self._e2e = self._histogram("e2e_request_latency_seconds")
        success = Counter(
            "vllm:request_success",
            "Finished requests.",
            (*_LABELS, "finished_reason"),
            registry=self._registry,
        )
        self._success = {reason: success.labels("0", model, reason) for reason in _REASONS}

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"vllm:{name}", text, _LABELS, registry=self._registry)
        return gauge.labels("0", self._model)

    def _counter(self, name: str, text: str) -> Counter:
        counter = Counter(f"vllm:{name}", text, _LABELS, registry=self._registry)
        return counter.labels("0", self._model)

    def _histogram(self, name: str) -> Histogram:
        histogram = Histogram(f"vllm:{name}", "Seconds.", _LABELS, registry=self._registry)
        return histogram.labels("0", self._model)

    def arrived(self, prompt_tokens: int) -> None:
        """Count a request and its prompt."""
        self.unfinished += 1
        self._prompt.inc(prompt_tokens)

    def waiting(self, change: int) -> None:
        """Count a request into or out of the queue."""
        self._waiting.inc(change)

    def running(self, change: int) -> None:
        """Count a request into or out of a slot."""
        self._running.inc(change)

    def token(self, *, first: bool, since: float) -> float:
        """Count a token that came now, `since` the last or the arrival; return now (monotonic)."""
        now = time.monotonic()
        (self._ttft if first else self._itl).observe(now - since)
        self._generated.inc()
        return now

    def per_token(self, seconds: float) -> None:
        """Count the mean time of a finished request's tokens after the first."""
        self._tpot.observe(seconds)

    def ended(self, reason: str, seconds: float) -> None:
        """Count the end of a request."""
        self.unfinished -= 1
        self._e2e.observe(seconds)
        self._success[reason if reason in self._success else "abort"].inc()

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
