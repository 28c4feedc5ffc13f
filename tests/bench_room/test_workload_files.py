"""Prompts from files, and what is wrong with a file."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workload_kit import engine_count, folder

from headrace.bench import prompt_file
from headrace.bench.asks import Message, Prompt
from headrace.bench.prompt_file import read_prompts
from headrace.bench.tokens import FolderTokenizer, TokenizerError
from headrace.bench.workload import build
from headrace.bench.workload_order import Length, Misfit, WorkloadOrder
from headrace.traffic.errors import TrafficError

LINES = (
    {"prompt": "the water flows", "max_tokens": 7},
    {"messages": [{"role": "system", "content": "be short"}, {"role": "user", "content": "a cat"}]},
    {"prompt": "a dog", "output_tokens": 9, "other": [1]},
)


def write(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def test_json_lines_as_chats(tmp_path: Path) -> None:
    notes: list[str] = []
    order = WorkloadOrder(
        file=write(tmp_path / "p.jsonl", *LINES), count=4, output=Length(20, 20), context=500
    )
    asks = build(order, folder(tmp_path), notes)
    assert [ask.prompt for ask in asks] == [
        (Message("user", "the water flows"),),
        (Message("system", "be short"), Message("user", "a cat")),
        (Message("user", "a dog"),),
        (Message("user", "the water flows"),),
    ]
    assert [ask.max_tokens for ask in asks] == [7, 20, 9, 7]
    assert [ask.prompt_tokens for ask in asks] == [
        engine_count("bytes", ask.prompt) for ask in asks
    ]
    assert notes == ["3 prompts for 4 requests: each comes again, and a prefix cache knows it then"]


def test_plain_lines_as_text_once_each(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\ufeffthe water\n\n  a cat \n")
    order = WorkloadOrder(file=str(tmp_path / "p.txt"), chat=False)
    notes: list[str] = []
    assert [ask.prompt for ask in build(order, folder(tmp_path), notes)] == ["the water", "a cat"]
    assert notes == []


def test_a_prompt_whose_tokens_nobody_counts_is_named_by_its_line(tmp_path: Path) -> None:
    class Strict(FolderTokenizer):
        def count(self, prompt: Prompt) -> int:
            if "cat" in str(prompt):
                raise TokenizerError("http://h/tokenize: 413 Request Entity Too Large")
            return super().count(prompt)

    folder(tmp_path)
    plain = tmp_path / "p.txt"
    plain.write_text("the water\n\na cat\n")
    lines = write(tmp_path / "p.jsonl", {"prompt": "a dog"}, {"prompt": "a cat", "place": 9})
    for file, place in ((plain, 3), (Path(lines), 2)):
        order = WorkloadOrder(file=str(file), chat=False)
        with pytest.raises(TrafficError, match=re.escape(f"{file}:{place}: its tokens cannot")):
            build(order, Strict(tmp_path))


def test_a_text_is_never_cut(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(f"the water\n{'the ' * 90}\n{'the ' * 200}\n")
    order = WorkloadOrder(
        file=str(tmp_path / "p.txt"), chat=False, context=100, output=Length(40, 40),
        misfit=Misfit.CLIP,
    )  # fmt: skip
    notes: list[str] = []
    asks = build(order, folder(tmp_path), notes)
    assert [(ask.prompt_tokens, ask.max_tokens) for ask in asks] == [(2, 40), (90, 10)]
    assert notes == [
        "1 request left out: prompt and answer are more than the context of 100 tokens",
        "1 request clipped: prompt and answer were more than the context of 100 tokens",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "there is no prompt in it"),
        (b" \n\n", "there is no prompt in it"),
        (b'{"prompt": "a"}\n{"prompt": 5}', r"p:2: no prompt: Expected `str \| null`, got `int`"),
        (b'{"prompt": "a"}\n\nnot json', "p:3: no prompt"),
        (b'{"text": "a"}', "p:1: neither `prompt` nor `messages`"),
        (b'{"prompt": "a", "max_tokens": 0}', "p:1: no prompt: .*max_tokens"),
        (b'{"messages": [{"role": "user"}]}', "p:1: no prompt: .*content"),
        (b"a\xffb", "no UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(TrafficError, match=words):
        read_prompts(tmp_path / "p")


def test_files_that_are_not_there_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrafficError, match="none: No such file"):
        read_prompts(tmp_path / "none")
    with pytest.raises(TrafficError, match="Is a directory"):
        read_prompts(tmp_path)
    monkeypatch.setattr(prompt_file, "MOST_BYTES", 3)
    (tmp_path / "p").write_text("abcd")
    with pytest.raises(TrafficError, match="larger than 0 MiB; take a part"):
        read_prompts(tmp_path / "p")


def test_messages_are_no_text(tmp_path: Path) -> None:
    order = WorkloadOrder(file=write(tmp_path / "p.jsonl", *LINES), chat=False)
    with pytest.raises(TrafficError, match="which only chats take"):
        build(order, folder(tmp_path))


@given(data=st.binary(max_size=200), begin=st.sampled_from([b"", b"{", b'{"prompt": "a"}\n']))
def test_any_bytes_are_prompts_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, begin: bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "p"
    file.write_bytes(begin + data)
    with contextlib.suppress(TrafficError):
        assert read_prompts(file)
