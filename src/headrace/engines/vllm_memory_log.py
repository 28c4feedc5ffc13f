"""What vLLM says of its memory while it starts, whichever version it is, as one record.

The sentences are in `vllm_memory_lines.py`. A version that does not tell a figure leaves None;
`planning/check.py` holds what is told against a plan.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.engines.vllm_memory_lines import (
    ARGUMENTS,
    ENGINE,
    ENGINE_BEGINS,
    ORDINAL,
    PROCESS,
    RANK,
    SERVER_BEGINS,
    STAGE,
    TELLING,
    WORKER,
    Said,
    said,
)

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_INNERMOST = re.compile(r"(?<!^)[\[({<][^\[\](){}<>]*[\])}>]")
_SCALAR = re.compile(r"'(\w+)': (-?\d+\.?\d*|True|False|None|'[^']*')")
_WORDS = ("dtype", "kv_cache_dtype", "quantization")
_COUNTED_TO = 0.005
"""The concurrency is logged with two digits."""


@dataclass(frozen=True)
class RankSaid:
    """One worker: sizes of its device; `requested` is what it may use of `total`.

    `activation` is without CUDA graphs, `non_torch` what is neither weights nor PyTorch's.
    `graphs_estimated` was taken from the budget, `graphs` is what they took.
    """

    stage: int | None = None
    ordinal: int | None = None
    total: Said | None = None
    requested: Said | None = None
    weights: Said | None = None
    activation: Said | None = None
    non_torch: Said | None = None
    graphs_estimated: Said | None = None
    graphs: Said | None = None
    available: Said | None = None


@dataclass(frozen=True)
class MemorySaid:
    """The last start in a log; None where this version does not tell.

    `arguments` are those that differ from the defaults, as vLLM names them: numbers and switches.
    """

    version: str | None = None
    model: str | None = None
    device: str | None = None
    arguments: Mapping[str, int | float | str] = field(default_factory=dict)
    tensor: int | None = None
    pipeline: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str | None = None
    eager: bool | None = None
    checkpoint: Said | None = None
    ranks: tuple[RankSaid, ...] = ()
    blocks: int | None = None
    tokens: int | None = None
    concurrency: float | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing is said of memory at all."""
        told = (self.blocks, self.tokens, self.concurrency)
        return not self.ranks and all(one is None for one in told)

    @property
    def tokens_by_group(self) -> bool:
        """Whether `tokens` are blocks // groups * block, as some versions up to 0.20 wrote.

        Later ones write concurrency * max_model_len. For a model with several groups of layers
        the old figure is far smaller (vllm#40691), so the log itself shows which of both it is.
        """
        if None in (self.tokens, self.concurrency, self.max_model_len):
            return False
        meant = (self.concurrency or 0.0) * (self.max_model_len or 0)
        slack = _COUNTED_TO * (self.max_model_len or 0) + 1
        return abs((self.tokens or 0) - meant) > slack


def memory_said(lines: Iterable[str]) -> MemorySaid:
    """Return what a log says of memory; of several starts the last one."""
    reader = _Reader()
    for line in lines:
        if TELLING.search(line):
            if reader.begins(line):
                reader = _Reader()
            reader.read(_ANSI.sub("", line))
    return reader.result()


class _Reader:
    """One start, line by line; a worker is known by its process, and may tell its name late."""

    def __init__(self) -> None:
        self._engine: dict[str, str] = {}
        self._fewest: dict[str, float] = {}
        self._arguments: dict[str, int | float | str] = {}
        self._ranks: dict[str, dict[str, str]] = {}
        self._names: dict[str, str] = {}

    def begins(self, line: str) -> bool:
        """Whether `line` belongs to the next start."""
        if self._ranks and any(mark in line for mark in SERVER_BEGINS):
            return True
        return bool(self._fewest) and any(mark in line for mark in ENGINE_BEGINS)

    def read(self, line: str) -> None:
        """Take what one line tells."""
        if found := ARGUMENTS.search(line):
            self._arguments = arguments(found[1])
        for pattern in ENGINE:
            if found := pattern.search(line):
                self._take(found.groupdict())
        told = [found.groupdict() for pattern in RANK if (found := pattern.search(line))]
        if told:
            self._take_rank(line, told)

    def _take(self, figures: dict[str, str]) -> None:
        """Keep texts; of counts the smallest, as each worker may tell its own."""
        for name, text in figures.items():
            if name in ("tokens", "concurrency", "blocks"):
                value = float(text.replace(",", ""))
                self._fewest[name] = min(value, self._fewest.get(name, value))
            else:
                self._engine[name] = text

    def _take_rank(self, line: str, told: list[dict[str, str]]) -> None:
        names = WORKER.findall(line)
        name = names[-1] if names else ""
        process = PROCESS.search(name)
        key = process[1] if process else name
        self._names[key] = max(name, self._names.get(key, ""), key=len)
        kept = self._ranks.setdefault(key, {})
        for figures in told:
            for figure, text in figures.items():
                if said(text).rounding <= said(kept.get(figure, text)).rounding:
                    kept[figure] = text

    def result(self) -> MemorySaid:
        """Return everything that was told."""
        get, given = self._number, self._engine
        data_parallel = get("data_parallel_size") or 1
        shares = [
            float(rank["utilization"]) for rank in self._ranks.values() if "utilization" in rank
        ]
        share = self._arguments.get("gpu_memory_utilization", shares[0] if shares else None)
        return MemorySaid(
            version=given.get("version"),
            model=given.get("model"),
            device=self._device(),
            arguments=self._arguments,
            tensor=get("tensor_parallel_size"),
            pipeline=get("pipeline_parallel_size"),
            max_model_len=get("longest") or get("max_seq_len") or get("max_model_len"),
            max_num_seqs=get("max_num_seqs"),
            max_num_batched_tokens=get("max_num_batched_tokens"),
            gpu_memory_utilization=share if isinstance(share, float | int) else None,
            kv_cache_dtype=given.get("kv_cache_dtype"),
            eager=self._eager(),
            checkpoint=said(given["checkpoint"]) if "checkpoint" in given else None,
            ranks=tuple(self._rank(key) for key in self._ranks),
            blocks=self._count("blocks") if data_parallel == 1 else None,
            tokens=self._count("tokens"),
            concurrency=self._fewest.get("concurrency"),
        )

    def _number(self, name: str) -> int | None:
        if name in self._engine:
            return int(self._engine[name].replace(",", ""))
        value = self._arguments.get(name)
        return value if isinstance(value, int) else None

    def _count(self, name: str) -> int | None:
        return int(self._fewest[name]) if name in self._fewest else None

    def _eager(self) -> bool | None:
        told = self._engine.get("enforce_eager") or self._arguments.get("enforce_eager")
        return None if told is None else str(told) == "True"

    def _device(self) -> str | None:
        told = self._engine.get("device", "").lower()
        return {"cuda": "gpu"}.get(told, told) or None

    def _rank(self, key: str) -> RankSaid:
        name = self._names[key]
        stage, ordinal = STAGE.search(name), ORDINAL.search(name)
        figures = {k: said(text) for k, text in self._ranks[key].items() if k != "utilization"}
        fixed = self._arguments.get("kv_cache_memory_bytes")
        if isinstance(fixed, int):
            figures["available"] = Said(fixed)
        counted = self._engine.get("graphs_counted") == "enabled"
        return RankSaid(
            stage=int(stage[1]) if stage else None,
            ordinal=int(ordinal[1] or ordinal[2]) if ordinal else None,
            total=figures.get("total"),
            requested=figures.get("requested"),
            weights=figures.get("weights"),
            activation=_activation(figures, counted=counted),
            non_torch=figures.get("non_torch") or _less(figures, "consumed", "weights"),
            graphs_estimated=figures.get("graphs_estimated"),
            graphs=figures.get("graphs"),
            available=figures.get("available"),
        )


def arguments(text: str) -> dict[str, int | float | str]:
    """Return numbers, switches and the words that decide memory; never a key or a path."""
    try:
        found = list(ast.literal_eval(text).items())
    except (ValueError, SyntaxError):  # an object among them: then only what is plain
        found = [(name, ast.literal_eval(one)) for name, one in _SCALAR.findall(_flat(text))]
    return {
        name: one
        for name, one in found
        if isinstance(one, int | float) or (isinstance(one, str) and name in _WORDS)
    }


def _flat(text: str) -> str:
    """Return it without anything in inner brackets."""
    while (shorter := _INNERMOST.sub("", text)) != text:
        text = shorter
    return text


def _activation(figures: Mapping[str, Said], *, counted: bool) -> Said | None:
    """Return the peak without graphs; what the budget leaves tells whether it holds them."""
    if "activation" in figures:
        return figures["activation"]
    if "peak" not in figures:
        return _less(figures, "torch_peak", "weights")
    known = {"requested", "available", "graphs_estimated"} <= figures.keys()
    if not (counted and known):
        return figures["peak"]
    others = _sum(figures, "consumed") or _sum(figures, "weights", "non_torch")
    estimate = figures["graphs_estimated"].bytes
    left = figures["requested"].bytes - others - figures["peak"].bytes
    holds = abs(left - figures["available"].bytes) < abs(
        left - estimate - figures["available"].bytes
    )
    return _less(figures, "peak", "graphs_estimated") if holds else figures["peak"]


def _sum(figures: Mapping[str, Said], *names: str) -> int:
    return sum(figures[name].bytes for name in names if name in figures)


def _less(figures: Mapping[str, Said], whole: str, part: str) -> Said | None:
    if whole not in figures or part not in figures:
        return None
    rounding = figures[whole].rounding + figures[part].rounding
    return Said(figures[whole].bytes - figures[part].bytes, rounding)
