"""Fleets of twins on which something is wrong, or nothing is: the diagnosis sees them as a user's."""

import asyncio

import pytest
from bench.diagnosis.situations import SITUATIONS, Situation, look_at

from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.finding import Diagnosis

NAMES = ("light load", "more users than room", "documents between chats", "stuck metrics")
CHOSEN = {one.name: one for one in SITUATIONS if one.name in NAMES}


@pytest.fixture(scope="module")
def found() -> dict[str, Diagnosis]:
    """All at once, as most of their time is waiting."""

    async def one(situation: Situation) -> Diagnosis:
        return diagnose(await look_at(situation))

    async def all_of_them() -> list[Diagnosis]:
        return await asyncio.gather(*map(one, CHOSEN.values()))

    return dict(zip(CHOSEN, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_comes_first(name: str, found: dict[str, Diagnosis]) -> None:
    causes = [one.cause for one in found[name].findings]
    assert causes[:1] == [one for one in [CHOSEN[name].expected] if one]
