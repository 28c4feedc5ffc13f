"""What replicas are believed to have cached, against a plain model of an engine's cache."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.routing import prefix
from headrace.routing.prefix import Mark, Prefix, PrefixIndex


def prompt(*path: int, step: int = 100) -> Prefix:
    """Marks every `step` tokens; a digest says everything before it, as a hash does."""
    return tuple(Mark(hash(path[:n]), n * step) for n in range(1, len(path) + 1))


def test_the_longest_common_beginning_counts() -> None:
    index = PrefixIndex()
    index.note("a", prompt(1, 2, 3))
    index.note("b", prompt(1, 2))
    index.note("c", prompt(9, 2, 3))
    assert index.cached(prompt(1, 2, 3, 4)) == {"a": 300, "b": 200}
    assert index.cached(prompt(1, 5)) == {"a": 100, "b": 100}
    assert index.cached(prompt(5)) == {}
    assert index.cached(()) == {}


def test_a_cache_evicts_what_was_unused_longest_and_tails_before_heads() -> None:
    """600 tokens of room; both prompts take 300, the first is used again, a third takes 200."""
    index = PrefixIndex()
    index.resize("a", 600)
    for path in ((1, 1, 1), (2, 2, 2), (1, 1, 1), (3, 3)):
        index.note("a", prompt(*path))
    assert index.cached(prompt(1, 1, 1)) == {"a": 300}
    assert index.cached(prompt(2, 2, 2)) == {"a": 100}
    assert index.cached(prompt(3, 3)) == {"a": 200}
    index.resize("a", 300)
    assert index.cached(prompt(2, 2, 2)) == {}
    assert index.cached(prompt(1, 1, 1)) == {"a": 100}


def test_of_a_prompt_larger_than_the_cache_the_head_stays() -> None:
    index = PrefixIndex()
    index.resize("a", 250)
    index.note("a", prompt(1, 2, 3, 4))
    assert index.cached(prompt(1, 2, 3, 4)) == {"a": 200}


def test_a_replaced_replica_begins_empty_and_its_bit_is_used_again() -> None:
    index = PrefixIndex()
    index.note("a", prompt(1, 2))
    index.note("b", prompt(1))
    index.forget("a")
    index.forget("never seen")
    assert index.cached(prompt(1, 2)) == {"b": 100}
    index.note("c", prompt(1, 2))
    assert index.cached(prompt(1, 2)) == {"b": 100, "c": 200}
    assert len(index._ids) == 2


def test_many_holders_are_all_found() -> None:
    index = PrefixIndex()
    for number in range(256):
        index.note(f"r{number}", prompt(*range(1 + number % 3)))
    expected = {f"r{number}": 100 * (1 + number % 3) for number in range(256)}
    assert index.cached(prompt(0, 1, 2)) == expected


def test_once_enough_have_most_only_those_asked_for_are_looked_up() -> None:
    """30 have two marks, 30 others one."""
    index = PrefixIndex()
    for number in range(60):
        index.note(f"r{number}", prompt(1, 2) if number < 30 else prompt(1))
    most = {f"r{number}": 200 for number in range(30)}
    assert index.cached(prompt(1, 2), ["r3", "r40", "unknown"]) == most | {"r40": 100}
    assert len(index.cached(prompt(1, 2))) == 60
    assert list(index.cached(prompt(1, 2)).values()) == [200] * 30 + [100] * 30


def test_marks_of_one_replica_are_bounded() -> None:
    """Marks of 1 token count as a block of 16; of 62.5k tokens 4096 marks fit."""
    index = PrefixIndex()
    index.resize("a", 10**9)
    for number in range(prefix.MOST_MARKS + 10):
        index.note("a", (Mark(number, 1),))
    assert index.cached((Mark(9, 1),)) == {}
    assert index.cached((Mark(10, 1),)) == {"a": 1}
    index.resize("b", 32)
    for number in range(3):
        index.note("b", (Mark(number, 1),))
    assert [bool(index.cached((Mark(n, 1),)).get("b")) for n in range(3)] == [False, True, True]


def test_trust_follows_what_engines_report() -> None:
    """0.95 ** 100 is 0.6 %: below the least trust."""
    index = PrefixIndex()
    marks = (Mark(1, 10_000),)
    index.note("a", marks)
    for _ in range(100):
        index.learn(index.cached(marks)["a"], 0)
    assert index.cached(marks) == {"a": int(10_000 * prefix.LEAST_TRUST)}
    for _ in range(200):
        index.learn(index.cached(marks)["a"], 10_000)
    assert index.cached(marks)["a"] > 9_900
    before = index.trust
    index.learn(100, 0)
    assert index.trust == before


PATHS = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from("abc"), PATHS), max_size=40), st.integers(100, 1500))
def test_it_agrees_with_a_list(sent: list[tuple[str, list[int]]], room: int) -> None:
    """The model keeps, for each replica, the beginnings in the order of their last use."""
    index = PrefixIndex()
    model: dict[str, list[tuple[int, ...]]] = {name: [] for name in "abc"}
    for name in "abc":
        index.resize(name, room)
    for name, path in sent:
        index.note(name, prompt(*path))
        beginnings = [tuple(path[:n]) for n in range(len(path), 0, -1)]
        kept = [one for one in model[name] if one not in beginnings] + beginnings
        model[name] = kept[max(0, len(kept) - room // 100) :]
        for other, held in model.items():
            for one in held:
                assert one[:-1] == () or one[:-1] in held, "a tail without its head"
                assert index.cached(prompt(*one))[other] == 100 * len(one)
    for path in (entry[1] for entry in sent):
        expected = {
            name: 100 * max(len(one) for one in held if tuple(path[: len(one)]) == one)
            for name, held in model.items()
            if tuple(path[:1]) in held
        }
        assert index.cached(prompt(*path)) == expected
    for name in "abc":
        index.forget(name)
    assert not index._holders
