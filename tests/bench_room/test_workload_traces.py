"""Prompts made of a trace share what its own shared; conversations go on; logs are loads as well."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workload_kit import engine_count, folder, hits, ids

from headrace.bench.asks import Ask, Message
from headrace.bench.trace_sessions import Place, places
from headrace.bench.workload import build
from headrace.bench.workload_order import Misfit, WorkloadOrder
from headrace.traffic.arrivals import Constant, Replay
from headrace.traffic.errors import TrafficError
from headrace.traffic.importers import read_traffic
from headrace.traffic.sharing import Sharing
from headrace.traffic.traffic import Traffic

MOONCAKE = (
    (0, 1300, 50, (0, 1, 2)),
    (3000, 1100, 20, (0, 1, 3)),  # shares 1,024 tokens and goes on otherwise
    (3000, 1300, 10, (0, 1, 2)),  # the same again, its part of a block too
    (6000, 512, 5, (0,)),
    (9000, 700, 5, (4, 5)),
)
"""Milliseconds, prompt, answer, hashes: 14 blocks, of which 3 + 2 + 1 + ... are known."""
BAILIAN = (
    {"chat_id": 1, "parent_chat_id": -1, "timestamp": 0.5, "input_length": 40, "output_length": 9,
     "type": "text", "turn": 1, "hash_ids": [7, 8, 9]},
    {"chat_id": 2, "parent_chat_id": 1, "timestamp": 8.0, "input_length": 64, "output_length": 4,
     "type": "text", "turn": 2, "hash_ids": [7, 8, 10, 11]},
)  # fmt: skip


def hit_rate(sharing: Sharing) -> float:
    """Return the share of blocks that a cache without limits has seen when they come."""
    return 1 - len(np.unique(sharing.hashes)) / len(sharing.hashes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


def write(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def mooncake(path: Path) -> str:
    keys = ("timestamp", "input_length", "output_length", "hash_ids")
    return write(path / "m.jsonl", *(dict(zip(keys, one, strict=True)) for one in MOONCAKE))


def tokens(asks: list[Ask], kind: str = "bytes") -> list[list[int]]:
    return [ids(kind, str(ask.prompt)) for ask in asks]


@pytest.mark.parametrize("shrink", [1, 2, 16, 128])
def test_prompts_share_the_blocks_of_mooncake(place: Path, tmp_path: Path, shrink: int) -> None:
    trace = mooncake(tmp_path)
    order = WorkloadOrder(trace=trace, arrivals=Replay(0.1), chat=False, shrink=shrink)
    asks = build(order, folder(place))
    assert [ask.at for ask in asks] == pytest.approx([0, 0.3, 0.3, 0.6, 0.9])
    made = tokens(asks)
    assert [len(one) for one in made] == [-(-prompt // shrink) for _, prompt, *_ in MOONCAKE]
    assert [ask.max_tokens for ask in asks] == [-(-output // shrink) for *_, output, _ in MOONCAKE]
    # known when they come: none, 0 and 1, all three, 0, none
    assert hits(made, 512 // shrink) == (2 + 3 + 1, 3 + 3 + 3 + 1 + 2)
    sharing = read_traffic(Path(trace)).sharing
    assert sharing is not None
    assert hit_rate(sharing) == pytest.approx(6 / 12)
    shared = 1024 // shrink
    assert made[0][:shared] == made[1][:shared]
    assert made[0][shared] != made[1][shared]


@settings(max_examples=25, deadline=None)
@given(
    requests=st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 15)),
        min_size=1,
        max_size=12,
    ),
    shrink=st.sampled_from([1, 2, 4]),
)
def test_any_tree_of_blocks_keeps_its_hit_rate(
    place: Path,
    tmp_path_factory: pytest.TempPathFactory,
    requests: list[tuple[list[int], int]],
    shrink: int,
) -> None:
    # A block's hash stands for all that is before it, and a last part of one for its length.
    numbers: dict[tuple[object, ...], int] = {}
    lines, known, total = [], 0, 0
    for path, short in requests:
        keys = [tuple(path[:end]) for end in range(1, len(path))] + [(*path, "end", short)]
        known += sum(key in numbers for key in keys)
        total += len(keys)
        hashes = [numbers.setdefault(key, len(numbers)) for key in keys]
        lines.append({
            "chat_id": 1, "timestamp": 0.0, "input_length": 16 * len(path) - short,
            "output_length": 1, "hash_ids": hashes,
        })  # fmt: skip
    trace = write(tmp_path_factory.mktemp("trace") / "t.jsonl", *lines)
    asks = build(WorkloadOrder(trace=trace, chat=False, shrink=shrink), folder(place))
    found, blocks = hits(tokens(asks), 16 // shrink)
    assert blocks == total
    # prompts of a single token are all one word; else no block is another's, and no hit is lost
    single = sum(len(path) == 1 and 16 - short <= shrink for path, short in requests)
    assert known <= found <= known + single
    sharing = read_traffic(Path(trace)).sharing
    assert sharing is not None
    assert hit_rate(sharing) == pytest.approx(known / total)


def test_a_chat_has_its_template_on_top(place: Path, tmp_path: Path) -> None:
    order = WorkloadOrder(trace=write(tmp_path / "b.jsonl", *BAILIAN), arrivals=Replay())
    asks = build(order, folder(place))
    template = engine_count("bytes", (Message("user", "the"),)) - 1
    assert [ask.prompt_tokens for ask in asks] == [40 + template, 64 + template]
    assert all(engine_count("bytes", ask.prompt) == ask.prompt_tokens for ask in asks)
    made = [ids("bytes", ask.prompt[0].content) for ask in asks if isinstance(ask.prompt, tuple)]
    assert made[0][:32] == made[1][:32]
    assert made[0][32] != made[1][32]
    assert [ask.session for ask in asks] == [None, None]


def test_blocks_are_divided_evenly_or_not_at_all(place: Path, tmp_path: Path) -> None:
    order = WorkloadOrder(trace=mooncake(tmp_path), shrink=3)
    with pytest.raises(TrafficError, match="blocks of 512 tokens cannot be divided by 3"):
        build(order, folder(place))


def test_a_trace_is_cut_to_the_context(place: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    order = WorkloadOrder(
        trace=mooncake(tmp_path), context=1100, chat=False, misfit=Misfit.CLIP, count=3
    )
    made = tokens(build(order, folder(place), notes))
    assert [len(one) for one in made] == [1050, 1080, 1090]
    assert made[0][:1024] == made[1][:1024]
    assert made[0] == made[2][:1050]
    assert (
        "3 requests clipped: prompt and answer were more than the context of 1,100 tokens" in notes
    )


def test_a_trace_that_is_shorter_than_asked_is_said(place: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    order = WorkloadOrder(trace=mooncake(tmp_path), arrivals=Constant(2), count=9, shrink=8)
    asks = build(order, folder(place), notes)
    assert [ask.at for ask in asks] == [0, 0.5, 1, 1.5, 2]
    assert "the trace has 5 requests only, of 9 asked for" in notes


def test_more_or_fewer_hashes_than_tokens(place: Path, tmp_path: Path) -> None:
    lines = [
        {"timestamp": 0, "input_length": 1000, "output_length": 1, "hash_ids": [1]},
        {"timestamp": 0, "input_length": 100, "output_length": 1, "hash_ids": [1, 2, 3]},
        {"timestamp": 0, "input_length": 1000, "output_length": 1},
    ]
    trace = write(tmp_path / "t.jsonl", *lines)
    made = tokens(build(WorkloadOrder(trace=trace, chat=False), folder(place)))
    assert [len(one) for one in made] == [1000, 100, 1000]
    assert made[0][:100] == made[1]
    assert made[0][:20] != made[2][:20]


@pytest.mark.parametrize(
    ("hashes", "words"), [("x", "is no list"), ([1.5], "no whole number"), ([2**64], "64 bits")]
)
def test_hashes_that_are_none(tmp_path: Path, hashes: object, words: str) -> None:
    line = {"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": hashes}
    with pytest.raises(TrafficError, match=rf"t.jsonl:1: hash_ids .*{words}"):
        read_traffic(Path(write(tmp_path / "t.jsonl", line)))


def test_hashes_follow_their_requests_when_these_are_sorted(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 5, "input_length": 600, "output_length": 1, "hash_ids": [1, 2]},
        {"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": [3]},
        {"timestamp": 1, "input_length": 9, "output_length": 0, "hash_ids": [9]},
    ]
    sharing = read_traffic(Path(write(tmp_path / "t.jsonl", *lines))).sharing
    assert sharing is not None
    assert [sharing.of(0), sharing.of(1)] == [[3], [1, 2]]


BURST = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,s1,3,ChatGPT,100,20,120,Conversation log
6,s2,2,ChatGPT,50,10,60,Conversation log
45,s1,3,ChatGPT,150,30,180,Conversation log
50,,2,GPT-4,70,10,80,API log
60,s1,3,ChatGPT,90,10,100,Conversation log
61,s2,3,ChatGPT,61,0,61,Conversation log
90,s1,3,ChatGPT,120,5,125,Conversation log
"""


def test_conversations_of_burstgpt_go_on(place: Path, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(BURST)
    trace = read_traffic(tmp_path / "b.csv")
    assert trace.sessions == ("s1", "s2", "s1", "", "s1", "s1")
    # 150 - 120 tokens are new; 90 are fewer than 180, so that is another conversation
    assert places(trace, 6) == [
        Place(0, 0, 100), Place(1, 0, 50), Place(0, 1, 30), Place(2, 0, 70), Place(3, 0, 90),
        Place(3, 1, 20),
    ]  # fmt: skip
    order = WorkloadOrder(trace=str(tmp_path / "b.csv"), arrivals=Replay(), chat=False)
    asks = build(order, folder(place))
    assert [ask.at for ask in asks] == [0, 1, 40, 45, 55, 85]
    assert [ask.prompt_tokens for ask in asks] == [100, 50, 150, 70, 90, 120]
    assert len(ids("bytes", str(asks[2].prompt))) == 30
    assert [(ask.session, ask.turn) for ask in asks] == [
        (0, 0), (1, 0), (0, 1), (2, 0), (3, 0), (3, 1),
    ]  # fmt: skip
    chats = build(WorkloadOrder(trace=str(tmp_path / "b.csv")), folder(place))
    said = (*chats[0].prompt, Message("assistant", " ".join(["the"] * 20)), *chats[2].prompt)
    assert engine_count("bytes", said) == chats[2].prompt_tokens


def test_a_conversation_of_a_trace_ends_where_it_does_not_fit(place: Path, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(BURST)
    notes: list[str] = []
    order = WorkloadOrder(trace=str(tmp_path / "b.csv"), chat=False, context=118)
    asks = build(order, folder(place), notes)
    # s1 begins with 100 + 20, so its second turn goes too; 90 + 10 fits, 120 + 5 does not
    assert [ask.prompt_tokens for ask in asks] == [50, 70, 90]
    assert notes[-1].startswith("3 requests left out")


def test_logs_and_azure_are_loads(place: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.98,48,10\n"
        "2023-11-16 18:17:04.98,31,8\n"
    )
    log = {"time": "2026-11-20T10:00:00Z", "usage": {"prompt_tokens": 48, "completion_tokens": 10}}
    later = {"time": "2026-11-20T10:00:01Z", "usage": {"prompt_tokens": 31, "completion_tokens": 8}}
    tokenizer = folder(place)
    azure, logged = (
        build(WorkloadOrder(trace=one, arrivals=Replay(2)), tokenizer)
        for one in (str(tmp_path / "a.csv"), write(tmp_path / "l.jsonl", log, later))
    )
    for asks in (azure, logged):
        assert [(ask.at, ask.prompt_tokens, ask.max_tokens) for ask in asks] == [
            (0, 48, 10), (2, 31, 8),
        ]  # fmt: skip
        assert all(engine_count("bytes", ask.prompt) == ask.prompt_tokens for ask in asks)


def test_places_of_a_trace_without_names() -> None:
    trace = Traffic(np.zeros(2), np.array([5, 90]), np.array([1, 1]), "t", sessions=("", ""))
    assert places(trace, 2) == [Place(0, 0, 5), Place(1, 0, 90)]
