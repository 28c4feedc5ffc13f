"""Measures full against quantized weights: the same prompts to copies of both, in turns.

Without `weights` the variant is made here (`models/int8.py`) and kept in the cache. The full copy
is asked twice, in other batches: what differs then is noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import httpx
import msgspec

from headrace.bench.load import Load
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.quality import Answered
from headrace.experiments.quantization_seen import FULL, LIMIT, QUANTIZED, Held, Point, Timed
from headrace.experiments.quantization_shown import differences
from headrace.experiments.questions import Question, built_in, open_questions, read_questions
from headrace.experiments.replies import Asker, Reply
from headrace.experiments.settings import Count
from headrace.experiments.turns import in_turns
from headrace.fleet.source import FileSource
from headrace.models.cache import cache_root
from headrace.models.int8 import quantize_folder
from headrace.models.lock import lock_path, read_lock, replace_file
from headrace.models.progress import Progress

FEW, MANY = 2, 16
"""Requests at once when the full weights are asked the first time, and again."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`weights` is the source of a variant, `questions` a file; empty: made and built in.

    `limit` is the share of perplexity that may be lost. `answer` tokens of each of the tasks and
    `open` open questions; speed with `requests` of `prompt` and `output` tokens, `concurrency` at a
    time, `runs` in each of `repeats` visits to a copy.
    """

    weights: str = ""
    questions: str = ""
    limit: Annotated[float, msgspec.Meta(gt=0, le=10)] = LIMIT
    open: Annotated[int, msgspec.Meta(ge=0, le=16)] = 16
    answer: Count = 24
    repeats: Count = 2
    runs: Count = 2
    requests: Count = 24
    concurrency: Count = 8
    prompt: Count = 128
    output: Count = 64


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Time both and ask both, in turns."""
    if lab.case.emulated:
        raise ExperimentError("an engine twin has no weights, so there is nothing to quantize")
    questions = _questions(settings)
    change = Change(QUANTIZED, weights=settings.weights or _made(lab))

    async def body(copy: Copy, change: Change, repeat: int) -> None:
        label = change.label
        for again in range(settings.runs):
            number = repeat * settings.runs + again
            points.append(await _timed(lab, copy, label, number, settings))
        if repeat == 0:
            points.append(_held(copy, label))
        if repeat == 0 or label == FULL:
            lab.tell(f"asking {len(questions)} questions")
            points.append(await _answered(copy, label, questions, settings.answer, points))

    await in_turns(lab, (AS_IT_IS, change), settings.repeats, body)
    _keep(lab, points)


def _questions(settings: Settings) -> list[Question]:
    if settings.questions:
        return read_questions(Path(settings.questions))
    return [*built_in().tasks, *open_questions(settings.open)]


def _made(lab: Lab) -> str:
    """Return the source of an INT8 variant, made unless it is there already."""
    weights = lab.folder_of_weights()
    folder = cache_root() / "variants" / f"{weights.name}-int8"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = quantize_folder(weights, folder, lambda now: lab.doing(_words(now)))
        lab.tell(f"made an INT8 variant of {made.matrices} matrices: {folder}")
    return str(FileSource(str(folder)))


def _words(progress: Progress) -> str:
    """Say how far a long step is."""
    share = f" {progress.done / progress.total:.0%}" if progress.total else ""
    return f"{progress.step} {progress.item}{share}"


async def _timed(lab: Lab, copy: Copy, label: str, number: int, settings: Settings) -> Timed:
    prompt, output = (Length(size, size) for size in (settings.prompt, settings.output))
    shape = Shape("even", prompt, output)
    order = WorkloadOrder(shapes=(shape,), count=settings.requests, seed=number + 1)
    asks = await lab.asks(copy.endpoint, order)
    await lab.warm(copy.endpoint, asks[: settings.concurrency])
    load = Load(concurrency=settings.concurrency, exact_length=True)
    name = f"{label.replace(' ', '-')}-{number + 1}"
    _, figures = await lab.run(copy.endpoint, asks, load, name)
    return Timed(label=label, repeat=number, figures=figures)


def _held(copy: Copy, label: str) -> Held:
    locked = read_lock(lock_path(copy.file.path)).values()
    files = [file for entry in locked for file in entry.files]
    return Held(
        label=label,
        weights=sum(one.size for one in files if one.path.endswith(".safetensors")),
        memory=copy.memory(),
        kv_tokens=copy.kv_tokens,
        started=copy.started,
    )


async def _answered(
    copy: Copy, label: str, questions: list[Question], tokens: int, points: list[Point]
) -> Answered:
    """Ask everything; the answers whose likelihood is asked are the full model's first."""
    said = [one for one in points if isinstance(one, Answered)]
    together = MANY if any(one.label == label for one in said) else FEW
    async with httpx.AsyncClient(trust_env=False) as http:
        asker = Asker(http, copy.direct, together)
        replies = await asker.replies([one.prompt for one in questions], tokens)
        first: tuple[Reply, ...] = said[0].replies if said else tuple(replies)
        return Answered(
            label=label,
            together=together,
            questions=tuple(questions),
            replies=tuple(replies),
            texts=tuple(await asker.likely(built_in().texts)),
            answers=tuple(await asker.likely_answers([one for one in first if one.ids])),
        )


def _keep(lab: Lab, points: list[Point]) -> None:
    """Write every answer that differs, side by side, to be read."""
    said = {one.label: one for one in reversed(points) if isinstance(one, Answered)}
    if len(said) < len((FULL, QUANTIZED)):
        return
    names = ("prompt", "full", "quantized", "right", "same until")
    lines = [
        msgspec.json.encode(dict(zip(names, one, strict=True)))
        for one in differences(said[FULL], said[QUANTIZED])
    ]
    lab.folder.mkdir(parents=True, exist_ok=True)
    replace_file(lab.folder / "differences.jsonl", b"".join(line + b"\n" for line in lines))
    lab.tell(f"answers that differ, to be read: {lab.folder / 'differences.jsonl'}")
