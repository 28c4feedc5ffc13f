"""What full and quantized weights are asked: tasks with known answers, open questions, texts.

`questions.json` has them: sums, counting, copying, JSON, facts, opposites, sorting and code, as
plain text to be continued, with examples, so that small models and such without a chat template can
do some of them; and texts of several kinds whose likelihood is compared. `--set questions=FILE`
brings your own: JSON lines with `prompt`, and `answer` where only what begins so is right.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec

from headrace.experiments.errors import ExperimentError
from headrace.experiments.prompts import OPEN

_LARGEST = 10_000_000
"""Bytes of a file of questions."""
_MOST = 1000
"""Questions of a file."""


class Question(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A text to be continued; with `answer` what the continuation must begin with."""

    prompt: str
    answer: str | None = None


class BuiltIn(msgspec.Struct, frozen=True):
    """What comes with Headrace."""

    tasks: tuple[Question, ...]
    texts: tuple[str, ...]


def built_in() -> BuiltIn:
    """Return the tasks, and the texts whose likelihood is compared."""
    raw = resources.files("headrace.experiments").joinpath("questions.json").read_bytes()
    return msgspec.json.decode(raw, type=BuiltIn)


def open_questions(count: int) -> list[Question]:
    """Return questions with no one answer."""
    return [Question(f"Question: {one}\nAnswer:") for one in OPEN[:count]]


def right(text: str, answer: str) -> bool:
    """Whether a continuation begins with the answer, and not only with a longer word or number."""
    said = text.lstrip()
    rest = said[len(answer) :]
    return said.startswith(answer) and not (answer[-1:].isalnum() and rest[:1].isalnum())


def read_questions(path: Path) -> list[Question]:
    """Read a file of questions; ExperimentError names the line."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise ExperimentError(f"{path}: {error.strerror or error}") from error
    lines = [(number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    if len(raw) > _LARGEST or not 0 < len(lines) <= _MOST:
        raise ExperimentError(
            f"{path} has {len(lines)} questions in {len(raw):,} bytes; 1 to {_MOST} in at most"
            f" {_LARGEST:,} can be asked"
        )
    return [_question(path, number, line) for number, line in lines]


def _question(path: Path, number: int, line: bytes) -> Question:
    try:
        one = msgspec.json.decode(line, type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}:{number}: {error}") from error
    if not one.prompt.strip() or (one.answer is not None and not one.answer.strip()):
        raise ExperimentError(f"{path}:{number}: prompt and answer must not be empty")
    return one
