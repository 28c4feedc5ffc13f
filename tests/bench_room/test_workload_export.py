"""An exported load is the load: read back, or by the words of the tools that it is for."""

import json
from pathlib import Path
from typing import Any

import pytest
from workload_kit import engine_count, folder

from headrace.bench.asks import Ask, Message
from headrace.bench.workload import build
from headrace.bench.workload_export import export
from headrace.bench.workload_order import HotPrefix, Length, Sessions, Shape, WorkloadOrder
from headrace.traffic.arrivals import Constant, Replay
from headrace.traffic.errors import TrafficError

SHAPES = (Shape("x", Length(700, 700), Length(9, 9)),)


def lines(tmp_path: Path, name: str, order: WorkloadOrder) -> tuple[list[Ask], list[Any]]:
    tokenizer = folder(tmp_path)
    asks = build(order, tokenizer)
    export(asks, name, tmp_path / "out.jsonl", tokenizer)
    text = (tmp_path / "out.jsonl").read_text()
    return asks, [json.loads(line) for line in text.splitlines()]


def test_mooncake_comes_back_as_it_went(tmp_path: Path) -> None:
    order = WorkloadOrder(
        shapes=SHAPES, count=6, arrivals=Constant(4), chat=False, prefix=HotPrefix(512, 0.5)
    )
    asks, found = lines(tmp_path, "mooncake", order)
    assert [line["timestamp"] for line in found] == [0, 250, 500, 750, 1000, 1250]
    assert [line["input_length"] for line in found] == [ask.prompt_tokens for ask in asks]
    assert {line["output_length"] for line in found} == {9}
    hot = [line["hash_ids"] for line in found if line["input_length"] == 1212]
    assert len(hot) == 3
    assert len({one[0] for one in hot}) == 1
    assert len({tuple(one[1:]) for one in hot}) == 3
    again = WorkloadOrder(trace=str(tmp_path / "out.jsonl"), arrivals=Replay(), chat=False)
    back = build(again, folder(tmp_path))
    assert [(a.at, a.prompt_tokens, a.max_tokens) for a in back] == [
        (a.at, a.prompt_tokens, a.max_tokens) for a in asks
    ]


def test_aiperf_is_given_texts_and_sessions_by_what_is_new(tmp_path: Path) -> None:
    asks, found = lines(
        tmp_path, "aiperf", WorkloadOrder(shapes=SHAPES, count=2, arrivals=Constant(4), chat=False)
    )
    assert found[1] == {"output_length": 9, "text_input": asks[1].prompt, "timestamp": 250}
    order = WorkloadOrder(shapes=SHAPES, count=4, arrivals=Constant(4), sessions=Sessions(2, 2.0))
    asks, found = lines(tmp_path, "aiperf", order)
    first, second = asks[0].prompt[0], asks[1].prompt[0]
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert found[:2] == [
        {"output_length": 9, "session_id": "session-0", "message_mode": "delta", "timestamp": 0,
         "messages": [{"role": "user", "content": first.content}]},
        {"output_length": 9, "session_id": "session-0", "message_mode": "delta",
         "delay": round(asks[1].wait * 1000),
         "messages": [{"role": "user", "content": second.content}]},
    ]  # fmt: skip


def test_guidellm_and_vllm_are_given_one_text_each(tmp_path: Path) -> None:
    order = WorkloadOrder(shapes=SHAPES, count=2)
    asks, found = lines(tmp_path, "guidellm", order)
    assert [line["prompt_tokens_count"] for line in found] == [700, 700]
    assert engine_count("bytes", (Message("user", found[0]["prompt"]),)) == 700
    _, others = lines(tmp_path, "vllm", order)
    assert [line["prompt"] for line in others] == [line["prompt"] for line in found]
    assert [line["output_tokens"] for line in others] == [9, 9]
    # and our own --file reads it
    read = WorkloadOrder(file=str(tmp_path / "out.jsonl"))
    assert [ask.prompt for ask in build(read, folder(tmp_path))] == [ask.prompt for ask in asks]


@pytest.mark.parametrize(
    ("name", "order", "words"),
    [
        ("nothing", WorkloadOrder(shapes=SHAPES, count=1), "known are mooncake, aiperf"),
        ("vllm", WorkloadOrder(shapes=SHAPES, count=2, sessions=Sessions(2)), "no sessions"),
        ("mooncake", WorkloadOrder(shapes=SHAPES, count=2, sessions=Sessions(2)), "no sessions"),
        ("guidellm", WorkloadOrder(shapes=SHAPES, count=1, prefix=HotPrefix(9)), "system messages"),
        (
            "aiperf",
            WorkloadOrder(shapes=SHAPES, count=2, sessions=Sessions(2), chat=False),
            "as chats only",
        ),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, name: str, order: WorkloadOrder, words: str
) -> None:
    with pytest.raises(TrafficError, match=words):
        lines(tmp_path, name, order)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    tokenizer = folder(tmp_path)
    asks = build(WorkloadOrder(shapes=SHAPES, count=1), tokenizer)
    with pytest.raises(TrafficError, match="out: No such file"):
        export(asks, "vllm", tmp_path / "none" / "out", tokenizer)
