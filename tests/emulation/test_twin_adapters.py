"""LoRA adapters of a vLLM twin, as its API and its metrics show them."""

import asyncio
import re

from engine_twin_kit import Twin, open_twin, text_of
from engine_twin_kit import streamed as stream

PATH = "/v1/completions"
ADAPTERS = ("law", "tax")


async def info(twin: Twin) -> dict[str, str]:
    page = (await twin.get("/metrics")).text
    (labels,) = re.findall(r"^vllm:lora_requests_info\{(.*)\} [\d.]+$", page, re.MULTILINE)
    return dict(re.findall(r'(\w+)="([^"]*)"', labels))


async def test_adapters_are_listed_below_the_model() -> None:
    async with open_twin(names=("base", "other"), adapters=ADAPTERS) as twin:
        listed = (await twin.get("/v1/models")).json()["data"]
        shown = [(one["id"], one["parent"], one["max_model_len"]) for one in listed]
        assert shown == [
            ("base", None, 2048),
            ("other", None, 2048),
            ("law", "base", None),
            ("tax", "base", None),
        ]


async def test_an_adapter_answers_under_its_name_and_in_its_own_words() -> None:
    async with open_twin(adapters=ADAPTERS) as twin:
        said = {}
        for model in ("twin", *ADAPTERS):
            answer = await twin.json(PATH, model=model, prompt="Rivers", max_tokens=20)
            assert answer["model"] == model
            said[model] = answer["choices"][0]["text"]
        assert len(set(said.values())) == 3


async def test_an_adapters_answer_is_continued_under_its_name_only() -> None:
    ask = {"model": "law", "prompt": "Rivers", "max_tokens": 30, "ignore_eos": True}
    async with open_twin(adapters=ADAPTERS) as twin:
        whole = await stream(twin, **ask, return_token_ids=True)
        ids = [event["choices"][0]["token_ids"][0] for event in whole]
        begun = [*b"Rivers", *ids[:10]]
        rest = await stream(twin, **ask | {"prompt": begun, "max_tokens": 20})
        assert text_of(whole).endswith(text_of(rest))
        other = await stream(twin, **ask | {"prompt": begun, "max_tokens": 20, "model": "twin"})
        assert text_of(rest) != text_of(other)


async def test_an_adapter_still_knows_how_to_count() -> None:
    async with open_twin(adapters=ADAPTERS) as twin:
        answer = await twin.json(PATH, model="tax", prompt="1, 2, 3,", max_tokens=6)
        assert answer["choices"][0]["text"] == " 4, 5,"


async def test_an_unknown_adapter_is_a_404() -> None:
    async with open_twin(adapters=ADAPTERS) as twin:
        answer = await twin.ask(PATH, model="art", prompt="x", max_tokens=1)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == (
            "The model `art` does not exist. Valid aliases: twin."
        )


async def test_those_of_a_third_adapter_wait_while_others_pass() -> None:
    async with open_twin(adapters=ADAPTERS, max_loras=1, tpot=60) as twin:
        books = twin.face.engine.books
        asking = []
        for model, running, waiting in [
            ("law", 1, 0),
            ("tax", 1, 1),
            ("law", 2, 1),
            ("twin", 3, 1),
        ]:
            asking.append(
                asyncio.create_task(twin.ask(PATH, model=model, prompt="x", max_tokens=2))
            )
            while (books.running, books.waiting) != (running, waiting):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
        assert await info(twin) == {
            "max_lora": "1",
            "running_lora_adapters": "law",
            "waiting_lora_adapters": "tax",
        }
        for task in (asking[0], asking[2]):
            task.cancel()
        while books.waiting:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)
        assert (await info(twin))["running_lora_adapters"] == "tax"
        for task in asking:
            task.cancel()


async def test_all_have_room_unless_told_otherwise() -> None:
    async with open_twin(adapters=ADAPTERS) as twin:
        assert (await info(twin))["max_lora"] == "2"
    async with open_twin() as twin:
        assert "lora" not in (await twin.get("/metrics")).text
