"""The twin's prefix cache: what vLLM's would have, by hand, and by a naive model of it."""

import asyncio
import itertools
from typing import Any

import pytest
from engine_twin_kit import Twin, open_twin, samples, streamed
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulation.cache import PrefixCache

PATH = "/v1/completions"
DETAILS = {"enable_prompt_tokens_details": True}


def letters(count: int, letter: str = "x") -> str:
    """Return a prompt of so many tokens: what is no known word has a token for each byte."""
    return letter * count


async def cached(twin: Twin, **body: Any) -> int:
    answer = await twin.json(PATH, **{"max_tokens": 1, **body})
    tokens: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return tokens


@pytest.mark.parametrize(
    ("length", "again"),
    [
        (1, 0),
        (16, 0),  # the last token is always computed, and with it its block
        (17, 16),
        (32, 16),
        (33, 32),
        (1000, 992),  # 999 // 16 = 62 blocks
    ],
)
async def test_a_second_identical_prompt_is_cached_but_for_its_end(length: int, again: int) -> None:
    async with open_twin(**DETAILS) as twin:
        assert await cached(twin, prompt=letters(length)) == 0
        assert await cached(twin, prompt=letters(length)) == again


async def test_only_a_common_beginning_counts() -> None:
    async with open_twin(**DETAILS) as twin:
        await cached(twin, prompt=letters(40) + "a" * 40)
        assert await cached(twin, prompt=letters(40) + "b" * 40) == 32
        assert await cached(twin, prompt="b" + letters(79)) == 0


async def test_what_was_generated_is_cached_but_for_the_last_token() -> None:
    async with open_twin(**DETAILS) as twin:
        first = await twin.json(PATH, prompt=letters(20), max_tokens=13, return_token_ids=True)
        told = first["choices"][0]["token_ids"]
        whole = [ord("x")] * 20 + told
        # 33 tokens, of which the 33rd was never fed back: two whole blocks.
        assert await cached(twin, prompt=[*whole, 7]) == 32
    async with open_twin(**DETAILS) as twin:
        first = await twin.json(PATH, prompt=letters(20), max_tokens=12, return_token_ids=True)
        whole = [ord("x")] * 20 + first["choices"][0]["token_ids"]
        assert await cached(twin, prompt=[*whole, 7]) == 16  # the 32nd is missing


async def test_the_block_size_is_an_option() -> None:
    async with open_twin(**DETAILS, block_size=64) as twin:
        await cached(twin, prompt=letters(130))
        assert await cached(twin, prompt=letters(130)) == 128


async def test_the_longest_unused_is_evicted_first_and_its_tail_before_its_head() -> None:
    async with open_twin(**DETAILS, kv_tokens=96) as twin:  # room for six blocks
        await cached(twin, prompt=letters(49, "a"))
        await cached(twin, prompt=letters(49, "b"))
        assert await cached(twin, prompt=letters(49, "a")) == 48  # now b is the oldest
        await cached(twin, prompt=letters(33, "c"))
        assert await cached(twin, prompt=letters(17, "b")) == 16  # its head is left
        assert await cached(twin, prompt=letters(49, "a")) == 48


async def test_blocks_of_running_requests_are_not_evicted() -> None:
    async with open_twin(**DETAILS, kv_tokens=64, tpot=60) as twin:
        running = asyncio.create_task(twin.ask(PATH, prompt=letters(49, "a"), max_tokens=9))
        while not twin.face.engine.books.generation_tokens:  # noqa: ASYNC110 - signals nothing
            await asyncio.sleep(0.001)
        for letter in "bcdef":
            await cached(twin, prompt=letters(40, letter))
        assert await cached(twin, prompt=letters(49, "a")) == 48
        running.cancel()


async def test_an_adapter_shares_nothing_with_the_model_or_another_adapter() -> None:
    async with open_twin(**DETAILS, adapters=("law", "tax")) as twin:
        for model in ("twin", "law", "tax"):
            assert await cached(twin, model=model, prompt=letters(33)) == 0
            assert await cached(twin, model=model, prompt=letters(33)) == 32


async def test_a_stream_says_it_in_its_usage_and_nobody_unasked() -> None:
    usage = {"include_usage": True}
    async with open_twin(**DETAILS) as twin:
        for expected in (0, 32):
            found = await streamed(twin, prompt=letters(40), stream_options=usage)
            assert found[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": expected}
    async with open_twin() as twin:
        found = await streamed(twin, prompt=letters(40), stream_options=usage)
        assert "prompt_tokens_details" not in found[-1]["usage"]
        whole = await twin.json(PATH, prompt=letters(40), max_tokens=1)
        assert whole["usage"]["prompt_tokens_details"] is None


async def test_metrics_count_tokens() -> None:
    async with open_twin() as twin:
        for _ in range(3):
            await twin.json(PATH, prompt=letters(40), max_tokens=1)
        found = samples((await twin.get("/metrics")).text)
        labels = '{engine="0",model_name="twin"}'
        assert found[f"vllm:prefix_cache_queries_total{labels}"] == 120
        assert found[f"vllm:prefix_cache_hits_total{labels}"] == 64


async def test_shared_blocks_use_the_cache_once() -> None:
    async with open_twin(kv_tokens=640, tpot=60) as twin:
        asking = [
            asyncio.create_task(twin.ask(PATH, prompt=letters(33), max_tokens=9)) for _ in "ab"
        ]
        while twin.face.engine.books.generation_tokens < 2:  # noqa: ASYNC110 - signals nothing
            await asyncio.sleep(0.001)
        # Two blocks shared; one prompt token and one generated token of each beside them.
        assert twin.face.engine.kv_used() == 32 + 2 * 2
        for task in asking:
            task.cancel()


PROMPTS = st.lists(st.text("ab", min_size=1, max_size=40), min_size=1, max_size=12)


@given(PROMPTS, st.integers(1, 8))
def test_without_want_of_room_the_longest_common_beginning_is_found(
    prompts: list[str], size: int
) -> None:
    cache, seen = PrefixCache(10_000, size), [""]
    for prompt in prompts:
        tokens = list(prompt.encode())
        lease = cache.take("", tokens)
        common = max(
            len(list(itertools.takewhile(same, zip(one, prompt, strict=False)))) for one in seen
        )
        # Whole blocks of what was seen, and not the last token.
        assert lease.cached == min(common, len(tokens) - 1) // size * size
        cache.grow(lease)
        cache.give_back(lease)
        seen.append(prompt)


def same(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


@given(PROMPTS, st.integers(0, 6), st.data())
def test_room_is_kept_and_everything_is_given_back(
    prompts: list[str], blocks: int, data: st.DataObject
) -> None:
    cache, leases = PrefixCache(blocks * 4, 4), []
    for prompt in prompts:
        lease = cache.take("", list(prompt.encode()))
        cache.grow(lease)
        leases.append(lease)
        if data.draw(st.booleans()):
            cache.give_back(leases.pop(data.draw(st.integers(0, len(leases) - 1))))
        assert len(cache._held) + len(cache._free) <= blocks
        assert cache.held == 4 * len({block for one in leases for block in one.blocks})
    for lease in leases:
        cache.give_back(lease)
    assert cache.held == 0


def test_a_cache_that_finds_nothing_counts_its_room_all_the_same() -> None:
    cache, prompt = PrefixCache(1000, 4, finds=False), list(b"water turns wheels")
    first = cache.take("", prompt)
    cache.grow(first)
    again = cache.take("", prompt)
    assert (first.cached, again.cached) == (0, 0)
    assert cache.held == 16
