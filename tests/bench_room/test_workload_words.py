"""Shapes, prefixes and sessions as people write them, and what is wrong with what they wrote."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bench.workload_order import HotPrefix, Length, Sessions, Shape, WorkloadOrder
from headrace.bench.workload_words import PRESETS, parse_prefix, parse_sessions, parse_shapes
from headrace.traffic.errors import TrafficError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["short=64:32"], [Shape("short", Length(64, 64), Length(32, 32))]),
        (["64-400:32-128"], [Shape("64-400:32-128", Length(64, 400), Length(32, 128))]),
        (
            ["2*chat=64:32", " 0.5*b=9:1 "],
            [
                Shape("chat", Length(64, 64), Length(32, 32), 2),
                Shape("b", Length(9, 9), Length(1, 1), 0.5),
            ],
        ),
        (["short/long"], [PRESETS["short/long"]]),
        (["2*short/short"], [Shape("short/short", Length(64, 64), Length(32, 32), 2)]),
        (["short/short=9:9"], [Shape("short/short", Length(9, 9), Length(9, 9))]),
    ],
)
def test_shapes(words: list[str], expected: list[Shape]) -> None:
    assert parse_shapes(words) == tuple(expected)
    order = WorkloadOrder(shapes=tuple(expected))
    assert msgspec.json.decode(msgspec.json.encode(order), type=WorkloadOrder) == order


def test_mixed_is_all_presets_in_equal_parts() -> None:
    shapes = parse_shapes(["3*mixed"])
    assert [shape.name for shape in shapes] == list(PRESETS)
    assert {shape.weight for shape in shapes} == {1}


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("", "has no ':'"),
        ("x=64", "'64' has no ':' between prompt and answer"),
        ("64:", "'' is no number of tokens"),
        ("0:1", "lengths begin at 1 token"),
        ("64-32:1", "p99 is not below p50"),
        ("6.5:1", "'6.5' is no number of tokens"),
        ("a b=1:1", "'a b' is no name"),
        ("=1:1", "'' is no name"),
        ("0*1:1", "the weight '0' is no number above 0"),
        ("nan*1:1", "the weight 'nan'"),
        ("short", "or short/short, short/long, long/moderate, mixed"),
    ],
)
def test_wrong_shapes_are_named(word: str, wrong: str) -> None:
    with pytest.raises(TrafficError) as caught:
        parse_shapes([word])
    assert wrong in str(caught.value)
    assert str(caught.value).startswith(f"shape {word}: ")


def test_two_shapes_of_one_name() -> None:
    with pytest.raises(TrafficError, match="two shapes are called a"):
        parse_shapes(["a=1:1", "a=2:2"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", HotPrefix(512)),
        ("512:80%", HotPrefix(512, 0.8)),
        ("512:0.8:4", HotPrefix(512, 0.8, 4)),
    ],
)
def test_prefixes(text: str, expected: HotPrefix) -> None:
    assert parse_prefix(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "x", "512:", "512:2", "512:0", "512:.", "5:1:0", "5:1:99999"]
)
def test_wrong_prefixes(text: str) -> None:
    with pytest.raises(TrafficError, match=rf"^prefix {text}: .*expected TOKENS"):
        parse_prefix(text)


def test_sessions() -> None:
    assert parse_sessions("4") == Sessions(4)
    assert parse_sessions("4:1500ms") == Sessions(4, 1.5)


@pytest.mark.parametrize("text", ["", "0", "x", "4:", "4:2", "4:x", "1001", "-1:2s"])
def test_wrong_sessions(text: str) -> None:
    with pytest.raises(TrafficError, match=rf"^sessions {text}: .*expected TURNS"):
        parse_sessions(text)


@given(st.text(max_size=20))
def test_any_text_is_a_part_of_a_load_or_our_error(text: str) -> None:
    for parse in (lambda word: parse_shapes([word]), parse_prefix, parse_sessions):
        try:
            assert parse(text)  # type: ignore[no-untyped-call]
        except TrafficError:
            continue
