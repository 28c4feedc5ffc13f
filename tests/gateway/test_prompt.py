"""Work, marks and identity of prompts, from bodies as clients send them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway import prompt as prompts
from headrace.gateway.errors import Failure
from headrace.gateway.prompt import Prompt, TokenRatio, TypicalAnswer
from headrace.gateway.request import peek

TEXT = "The quick brown fox jumps over the lazy dog. " * 400
"""18 000 bytes."""


def of(adapter: str | None = None, **body: Any) -> Prompt:
    seen = peek(json.dumps({"model": "m"} | body).encode())
    assert not isinstance(seen, Failure)
    return Prompt.of(seen, adapter)


def chat(*texts: Any, **more: Any) -> Prompt:
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    said = zip(roles, texts, strict=False)
    return of(messages=[{"role": role, "content": text} for role, text in said], **more)


def shared(one: Prompt, two: Prompt) -> int:
    """Return the size up to which both have the same marks."""
    both = set(one._marks) & set(two._marks)
    return max((size for _, size in both), default=0)


def test_tokens_are_bytes_by_the_learned_ratio() -> None:
    ratio, long = TokenRatio(), of(prompt="x" * 3998)  # and its two quotes
    assert (long.size, long.tokens(ratio)) == (4000, 1000)
    for _ in range(300):
        ratio.learn(4000, 2000)
    assert long.tokens(ratio) == pytest.approx(2000, rel=0.01)
    ratio.learn(0, 5)
    ratio.learn(5, 0)
    assert long.tokens(ratio) == pytest.approx(2000, rel=0.01)
    for _ in range(1000):
        ratio.learn(1, 10**6)
    assert ratio.value == 0.5


@pytest.mark.parametrize(
    ("ids", "tokens"), [([1, 22, 333], 3), ([7], 1), ([], 0), ([[1, 2], [3]], 3), ([[]], 0)]
)
def test_token_ids_are_counted(ids: list[Any], tokens: int) -> None:
    ratio = TokenRatio()
    ratio.learn(10**9, 10**8)
    assert of(prompt=ids).tokens(ratio) == tokens


def test_marks_of_token_ids_end_at_their_count() -> None:
    marks = of(prompt=[123456] * 10_000).prefix(TokenRatio())
    assert marks[-1].tokens == pytest.approx(10_000, rel=0.13)
    assert marks[-1].tokens <= 10_000


def test_several_prompts_are_text() -> None:
    assert of(prompt=["x" * 396, "y" * 396]).tokens(TokenRatio()) == 200  # 4 quotes, 4 more


@pytest.mark.parametrize("indent", [b"[ ", b"[\n  "])
def test_texts_in_a_list_are_text_however_they_are_laid_out(indent: bytes) -> None:
    """Taken for token ids they would count as one token for each comma."""
    seen = peek(b'{"model":"m","prompt":' + indent + json.dumps(TEXT + "5").encode() + b"]}")
    assert not isinstance(seen, Failure)
    assert Prompt.of(seen).exact is None
    assert Prompt.of(seen).tokens(TokenRatio()) >= len(TEXT) // 4


@pytest.mark.parametrize("said", [lambda many: many, lambda many: [{"content": many}]])
def test_what_has_too_many_items_is_taken_as_a_whole(said: Any) -> None:
    found = of(messages=said([1] * 250_000))
    assert len(found._segments) == 1
    assert found.size >= 500_000
    assert len(found.identity(None)) == 16


def test_inputs_of_embeddings_and_tools_count() -> None:
    assert of(input="x" * 398).tokens(TokenRatio()) == 100
    tools = [{"type": "function", "function": {"name": "f" * 4000}}]
    plain = chat("be kind", "hello")
    assert chat("be kind", "hello", tools=tools).size == plain.size + len(json.dumps(tools))


def test_what_is_not_there_is_no_work() -> None:
    nothing = of()
    assert nothing.work(TokenRatio(), TypicalAnswer(100)) == (0, 100, ())
    assert nothing.identity("k") == of().identity("k")


def test_an_answer_is_expected_to_be_typical_and_within_its_bound() -> None:
    answer = TypicalAnswer(200)
    asked = [chat("", "hi", **more) for more in ({}, {"max_tokens": 16}, {"max_tokens": 9999})]
    assert [one.work(TokenRatio(), answer).output for one in asked] == [200, 16, 200]
    assert chat("", "hi", max_completion_tokens=5).work(TokenRatio(), answer).output == 5
    for _ in range(500):
        answer.learn(1000)
    assert answer.expected(None) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("kind", ["image_url", "input_audio"])
def test_media_count_as_much_whatever_their_size(kind: str) -> None:
    def asking(payload: str) -> Prompt:
        parts = [{"type": "text", "text": "What is this?"}, {"type": kind, kind: {"url": payload}}]
        return chat("be kind", parts)

    large, small = asking("data:image/png;base64," + "A" * 10**6), asking("https://x.test/a.png")
    assert large.size == small.size
    assert prompts.MEDIA_BYTES < small.size < prompts.MEDIA_BYTES + 300
    assert shared(large, small) < prompts.MEDIA_BYTES  # they are different pictures all the same


def test_text_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": TEXT}]
    assert chat("be kind", parts).size > len(TEXT)
    assert len(chat("be kind", parts)._marks) > 10


def test_a_conversation_shares_all_that_was_said() -> None:
    """Up to the last mark, which is at most 12 % before the end of what was said."""
    first = chat("be kind", TEXT)
    second = chat("be kind", TEXT, "an answer", "a second question")
    assert first.size / 1.12 <= shared(first, second) <= first.size
    assert first._marks == second._marks[: len(first._marks)]


def test_prompts_share_what_they_have_in_common_and_no_more() -> None:
    """Within one message: the grid has a mark at least every 20 %, less 12 % for a skipped one."""
    one, two = chat("be kind", TEXT + "one" * 999), chat("be kind", TEXT + "two" * 999)
    common = len('{"role": "system", "content": "be kind"}{"role": "user", "content": "' + TEXT)
    assert common / (1.2 * 1.12) <= shared(one, two) <= common
    assert shared(chat("be kind", TEXT), chat("be rude", TEXT)) == 0


def test_adapters_and_tools_share_nothing() -> None:
    said: dict[str, Any] = {"messages": [{"role": "user", "content": TEXT}]}
    plain = of(**said)
    assert shared(plain, of(**said)) > 15_000
    assert shared(plain, of("other", **said)) == 0
    one, two = (of(**said, tools=[{"type": "function", "name": name}]) for name in "ab")
    assert shared(one, one) > 15_000
    assert shared(one, two) == 0


def test_marks_are_few_even_for_many_messages() -> None:
    """ln(400 000 / 512) / ln(1.12) = 58.8, and the first one."""
    texts = [{"role": "user", "content": "x" * 150}] * 2200
    many = of(messages=texts)
    assert 390_000 < many.size < 440_000
    assert len(many._marks) <= 60
    assert len(chat("", TEXT * 22)._marks) <= 60


def test_identity_is_what_all_turns_share() -> None:
    first = chat("be kind", "hello", temperature=0)
    later = chat("be kind", "hello", "hi", "and now?", max_tokens=5)
    assert first.identity("anna") == later.identity("anna")
    assert len(first.identity("anna")) == 16
    assert first.identity("anna") != first.identity("ben")
    assert first.identity("anna") != chat("be kind", "hello you").identity("anna")
    assert of(prompt=TEXT).identity("k") == of(prompt=TEXT + "more").identity("k")
    assert of(prompt="a").identity("k") != of(prompt="b").identity("k")


def test_the_role_is_found_wherever_it_stands() -> None:
    def late(last: str) -> Prompt:
        first = {"content": TEXT + '"role": "user"', "role": "user"}
        return of(messages=[first, {"role": "assistant", "content": last}])

    assert late("one").identity(None) == late("two").identity(None)


@settings(max_examples=200)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    ),
    st.sampled_from(["messages", "prompt", "tools", "input"]),
)
def test_no_json_breaks_it(value: Any, where: str) -> None:
    """What makes no sense is for the engine to refuse."""
    odd = of(**{where: value})
    work = odd.work(TokenRatio(), TypicalAnswer())
    assert work.prompt >= 0
    assert odd.identity("k")
    assert list(work.prefix) == sorted(work.prefix, key=lambda mark: mark.tokens)


@given(
    st.lists(st.text(max_size=3000), min_size=1, max_size=8),
    st.lists(st.text(max_size=3000), max_size=4),
)
def test_whatever_was_said_before_has_the_same_marks(said: list[str], more: list[str]) -> None:
    def messages(texts: list[str]) -> list[dict[str, str]]:
        return [{"role": "user", "content": text} for text in texts]

    before, after = of(messages=messages(said)), of(messages=messages(said + more))
    assert after._marks[: len(before._marks)] == before._marks
    sizes = [size for _, size in after._marks]
    assert all(late >= early * 1.11 for early, late in pairwise(sizes))
    assert all(size <= after.size for size in sizes)
