"""What clients do, and what happens to engines, in the situations of `held_out.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import replace

import httpx

from bench.diagnosis.situations import to_zero
from bench.diagnosis.stage import Stage, prefer, together

# -- healthy, and tempting -------------------------------------------------------------------------


async def large_batch(stage: Stage) -> None:
    """Fifty users in a batch of 64, in which a token takes longer, and not too long."""
    await stage.clients(50, lambda: stage.ask(60, stage.chance.randint(30, 90)))


async def endless_answers(stage: Stage) -> None:
    """Ask for answers that all outlast the look."""
    await stage.clients(5, lambda: stage.ask(80, 2500))


async def woken_before(stage: Stage) -> None:
    """Users waited for a sleeping model, and were served; that is over."""
    await to_zero(stage)
    await stage.scale(None)
    await asyncio.gather(*(stage.ask(50, 10) for _ in range(4)))


async def stop_buttons(stage: Stage) -> None:
    """One of six users stops the answer when he has seen enough."""
    chance = stage.chance
    await together(
        stage.clients(5, lambda: stage.ask(60, chance.randint(20, 80)), 0.1),
        stage.clients(1, lambda: stage.ask(60, 400, patience=chance.uniform(0.2, 2.5)), 0.3),
    )


async def three_requests(stage: Stage) -> None:
    """Ask three times in all, once with a long document."""
    await stage.ask(30, 20)
    await stage.ask(4000, 40)
    await stage.ask(30, 60, stream=False)
    await asyncio.Event().wait()


async def patient_readers(stage: Stage) -> None:
    """Documents for which seconds were promised, and seconds it takes."""
    chance = stage.chance
    await stage.clients(2, lambda: stage.ask(chance.randint(3000, 6000), 60), 0.3)


async def promised_waits(stage: Stage) -> None:
    """Twenty come at once where eight have room, and none waits longer than was promised."""
    while True:
        await asyncio.gather(*(stage.ask(60, 20) for _ in range(20)))
        await asyncio.sleep(1.2)


async def wrong_asks(stage: Stage) -> None:
    """Have a third of the users ask for more tokens than the model has."""
    await together(
        stage.clients(4, lambda: stage.ask(60, 40), 0.1),
        stage.clients(2, lambda: stage.ask(60, 99_000), 0.2),
    )


async def unlike_replicas(stage: Stage) -> None:
    """One of three replicas takes a quarter longer, as machines differ."""
    await stage.emulate((await stage.ready())[0], slow=1.25)
    await stage.clients(6, lambda: stage.ask(80, stage.chance.randint(20, 60)), 0.1)


async def one_is_overrun(stage: Stage) -> None:
    """Overrun the one with little room; the other has four users."""
    tight = replace(stage, model="tight")
    await together(
        tight.clients(14, lambda: tight.ask(50, 50)),
        stage.clients(4, lambda: stage.ask(50, 40), 0.1),
    )


# -- admission -------------------------------------------------------------------------------------


async def open_flood(stage: Stage) -> None:
    """Twice what is served in a second comes, whoever waits; answers in one piece."""
    await stage.arrivals(12, lambda: stage.ask(60, 40, stream=False))


async def a_batch_job(stage: Stage) -> None:
    """Fill all room with a batch job of low priority, beside two users who come first."""
    await together(
        stage.clients(20, lambda: stage.ask(100, 120, stream=False)),
        stage.clients(2, lambda: stage.ask(40, 20), 0.3),
    )


async def cut_in_one_piece(stage: Stage) -> None:
    """Have a proxy end long answers in one piece after 2.5 s; short streams live."""
    chance = stage.chance
    long = lambda: stage.ask(80, chance.randint(400, 900), patience=2.5, stream=False)  # noqa: E731
    await together(stage.clients(4, long, 0.1), stage.clients(3, lambda: stage.ask(50, 30), 0.2))


# -- generation ------------------------------------------------------------------------------------


async def all_alike(stage: Stage) -> None:
    """Six users whose prompts are all of the same length: retrieved passages before a question."""
    await stage.clients(6, lambda: stage.ask(2500, 15))


async def reports_among_pieces(stage: Stage) -> None:
    """Now and then a report of 9000 tokens, among short answers in one piece."""
    await together(
        stage.clients(1, lambda: stage.ask(9000, 20, stream=False), 0.7),
        stage.clients(5, lambda: stage.ask(40, 20, stream=False), 0.1),
    )


async def two_routes(stage: Stage) -> None:
    """Documents and chats have routes of their own, and one deployment."""
    await together(
        stage.clients(2, lambda: stage.ask(6000, 30), 0.5),
        stage.clients(5, lambda: stage.ask(60, 40), 0.2),
    )


async def crowded_far_from_full(stage: Stage) -> None:
    """Forty-eight users, room for 128, and three times the promised time for a token."""
    await stage.clients(48, lambda: stage.ask(60, 40))


async def two_full_batches(stage: Stage) -> None:
    """Two replicas with full batches, half of the answers in one piece."""
    await together(
        stage.clients(19, lambda: stage.ask(50, 30)),
        stage.clients(19, lambda: stage.ask(50, 30, stream=False)),
    )


async def growing_conversations(stage: Stage) -> None:
    """Six conversations that grow by 550 tokens a turn, more together than the KV cache holds."""

    async def talk() -> None:
        said = stage.text(600)
        for turn in range(5):
            await stage.ask(said, 250, stream=turn % 2 == 0)
            said += stage.text(550)

    await stage.clients(6, talk, 0.2)


async def two_of_four_slow(stage: Stage) -> None:
    """Two of four replicas share a machine with something else; answers in one piece."""
    for one in (await stage.ready())[2:]:
        await stage.emulate(one, slow=2.5)
    await stage.clients(8, lambda: stage.ask(50, 40, stream=False), 0.05)


async def slow_for_no_reason(stage: Stage) -> None:
    """Have the only replica take four times as long as before; nothing shows why."""
    await stage.emulate((await stage.ready())[0], slow=4.0)
    await stage.clients(2, lambda: stage.ask(50, 40), 0.1)


async def dozing_readers(stage: Stage) -> None:
    """Two readers stop for seconds in the middle of long answers; three others read on."""
    await together(
        stage.clients(2, lambda: _doze(stage)),
        stage.clients(3, lambda: stage.ask(50, 200), 0.1),
    )


async def _doze(stage: Stage) -> None:
    """Read for a moment, look away for four seconds, read the rest."""
    small = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)])
    body = {"model": stage.model, "prompt": "once", "max_tokens": 4000}
    body |= {"stream": True, "ignore_eos": True}
    url = f"http://127.0.0.1:{stage.port}/v1/completions"
    async with (
        httpx.AsyncClient(transport=small, timeout=60) as http,
        http.stream("POST", url, json=body) as answer,
    ):
        dozed = False
        async for _ in answer.aiter_raw():
            if not dozed:
                await asyncio.sleep(4)
            dozed = True


# -- life cycle ------------------------------------------------------------------------------------


async def asleep(stage: Stage) -> None:
    """Nothing is left, and the rules may wake it."""
    await to_zero(stage)
    await stage.scale(None)


async def visitors(stage: Stage) -> None:
    """Somebody comes twice a second and takes the answer in one piece."""
    await stage.arrivals(2, lambda: stage.ask(50, 20, stream=False))


async def talk_about(stage: Stage, papers: list[str], rounds: int) -> None:
    """Ask about each of the documents, so often."""
    for turn in range(rounds):
        for paper in papers:
            await stage.ask(f"{paper} {turn}", 10)


def papers() -> list[str]:
    """Return 24 documents of 1500 tokens, always the same."""
    return [f"{number:02} " + "a page of it " * 154 for number in range(24)]


async def read_then_roll_out(stage: Stage) -> None:
    """Fill the cache with three rounds, then roll out a change."""
    await talk_about(stage, papers(), 3)
    await stage.roll_out()


async def read_on(stage: Stage) -> None:
    """Go on asking about the same documents."""
    await talk_about(stage, papers(), 1000)


async def short_drain(stage: Stage) -> None:
    """One of two replicas is drained for a second, under answers of five seconds in one piece."""
    await stage.until_ready(2)
    task = asyncio.ensure_future(stage.clients(8, lambda: stage.ask(50, 500, stream=False), 0.1))
    await asyncio.sleep(3)
    await stage.scale(1)
    await task


async def killed_once(stage: Stage) -> None:
    """Kill one of three engines, once, as a system without memory does."""
    task = asyncio.ensure_future(stage.clients(6, lambda: stage.ask(50, 80), 0.1))
    await asyncio.sleep(2)
    os.kill((await stage.ready())[0].pid or 0, signal.SIGKILL)
    await task


async def fallen_silent(stage: Stage) -> None:
    """One of two engines says fifteen tokens of each answer and then nothing more."""
    await stage.emulate((await stage.ready())[0], hang_after=15)
    await stage.clients(5, lambda: stage.ask(50, 40), 0.1)


# -- measurement -----------------------------------------------------------------------------------


async def one_page_missing(stage: Stage) -> None:
    """One of three replicas has an empty metrics page."""
    await stage.emulate((await stage.ready())[1], no_metrics=True)
    await stage.clients(6, lambda: stage.ask(60, 60, stream=stage.chance.random() < 0.5), 0.1)


# -- real vLLM -------------------------------------------------------------------------------------


async def one_of_each(stage: Stage) -> None:
    """Two users, one of whom takes answers in one piece."""
    chance = stage.chance
    await together(
        stage.clients(1, lambda: stage.ask(stage.words(30), chance.randint(20, 60)), 0.4),
        stage.clients(1, lambda: stage.ask(stage.words(80), 20, stream=False), 0.8),
    )


async def passages(stage: Stage) -> None:
    """One user sends prompts of 1500 tokens again and again; three chat."""
    await together(
        stage.clients(1, lambda: stage.ask(stage.words(1500), 12)),
        stage.clients(3, lambda: stage.ask(stage.words(25), 20), 0.2),
    )


async def hog(stage: Stage) -> None:
    """Something computes on one of the cores."""
    command = "import os; os.sched_setaffinity(0, {0})\nwhile True: pass"
    one = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, start_new_session=True
    )
    try:
        prefer(one.pid, stage.nice)
        await one_of_each(stage)
    finally:
        with contextlib.suppress(ProcessLookupError):
            one.kill()
        await one.wait()


async def forty(stage: Stage) -> None:
    """Forty users, and a batch of 32."""
    await stage.clients(40, lambda: stage.ask(stage.words(25), 48))
