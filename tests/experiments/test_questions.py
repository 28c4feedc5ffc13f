"""Questions that come with Headrace and those of a file; what counts as right; page cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.experiments.errors import ExperimentError
from headrace.experiments.prompts import open_asks, repeating_asks
from headrace.experiments.questions import Question, built_in, open_questions, read_questions, right


def test_what_comes_along_can_be_asked() -> None:
    own = built_in()
    assert (len(own.tasks), len(own.texts)) == (42, 24)
    assert all(one.prompt.strip() and one.answer for one in own.tasks)
    # An answer must not stand at the prompt's end already, nor begin with a space to be stripped.
    assert all(one.answer == one.answer.strip() for one in own.tasks if one.answer)
    assert len(open_questions(6)) == 6


@pytest.mark.parametrize(
    ("text", "answer", "want"),
    [
        (" 16, 17", "16", True),
        (" 160", "16", False),
        ("\nParis.", "Paris", True),
        (" Parisian", "Paris", False),
        (' "Eva", "age": 29, "city": "Oslo"}\nTom', '"Eva", "age": 29, "city": "Oslo"}', True),
        (" a + b + c", "a + b", True),
        ("", "x", False),
    ],
)
def test_right_is_what_begins_so_and_is_no_longer_word(text: str, answer: str, want: bool) -> None:
    assert right(text, answer) is want


def test_a_file_of_questions_is_read(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"prompt": "2 + 2 =", "answer": "4"}\n\n{"prompt": "Why?"}\n')
    assert read_questions(file) == [Question("2 + 2 =", "4"), Question("Why?")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has 0 questions"),
        ('{"prompt": "a"}\n{"prompt": 3}', "own.jsonl:2: Expected `str`"),
        ('{"prompt": "a", "anwser": "b"}', "own.jsonl:1: Object contains unknown field `anwser`"),
        ('{"prompt": " "}', "own.jsonl:1: prompt and answer must not be empty"),
        ("[1", "own.jsonl:1:"),
        ('{"prompt": "\\ud800"}', "own.jsonl:1:"),
        ('{"prompt": "a"}\n' * 1001, "has 1001 questions"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(content)
    with pytest.raises(ExperimentError, match=words):
        read_questions(file)


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="No such file"):
        read_questions(tmp_path / "none")


def test_no_two_requests_begin_alike() -> None:
    for asks in (open_asks(40, 8, "1.2", warmup=4), repeating_asks(40, 8, "1.2", warmup=4)):
        starts = [one.prompt[0].content[:12] for one in asks if not isinstance(one.prompt, str)]
        assert len(set(starts)) == 44
        assert [one.warmup for one in asks].count(True) == 4
