"""An exported load is the load, in the words of the tools that it is for."""

import json
from pathlib import Path

import pytest
from workload_kit import engine_count, folder

from headrace.bench.asks import Ask, Message
from headrace.bench.export import export
from headrace.bench.workload import build
from headrace.bench.workload_order import HotPrefix, Length, Sessions, Shape, WorkloadOrder
from headrace.traffic.errors import TrafficError

SHAPES = (Shape("x", Length(700, 700), Length(9, 9)),)


def test_other_clients_are_given_one_text_each_and_its_lengths(tmp_path: Path) -> None:
    asks = build(WorkloadOrder(shapes=SHAPES, count=2), folder(tmp_path))
    export(asks, tmp_path / "out.jsonl")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    prompts = [one.pop("prompt") for one in found]
    lengths = {"output_tokens": 9, "output_tokens_count": 9, "prompt_tokens_count": 700}
    assert found == [lengths, lengths]
    assert [engine_count("bytes", (Message("user", text),)) for text in prompts] == [700, 700]
    # and our own --file reads it
    read = build(WorkloadOrder(file=str(tmp_path / "out.jsonl")), folder(tmp_path))
    assert [ask.prompt for ask in read] == [ask.prompt for ask in asks]


def test_a_length_that_nobody_could_count_is_not_there(tmp_path: Path) -> None:
    export([Ask(number=0, prompt="water", max_tokens=1)], tmp_path / "out.jsonl")
    assert "prompt_tokens_count" not in (tmp_path / "out.jsonl").read_text()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (WorkloadOrder(shapes=SHAPES, count=4, sessions=Sessions(2, 0.0)), "has no sessions"),
        (WorkloadOrder(shapes=SHAPES, count=4, prefix=HotPrefix(512, 0.5)), "no system messages"),
    ],
)
def test_what_a_file_of_prompts_cannot_hold(
    tmp_path: Path, order: WorkloadOrder, words: str
) -> None:
    with pytest.raises(TrafficError, match=words):
        export(build(order, folder(tmp_path)), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
