"""Bodies that nobody expects, and mistakes of ours: each harms its own request at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import engine, rig, until
from many import answer, chat, configure, hung_up, serve, to

from headrace.gateway import answer as answer_module
from headrace.gateway import control
from headrace.routing.route import Limits, Overflow, Shadow


async def test_a_mistake_with_one_request_does_not_reach_whose_end_made_room_for_it(
    monkeypatch: Any,
) -> None:
    real = answer_module.outgoing

    def fail(request: Any, *rest: Any) -> Any:
        if b"pill" in request.body:
            raise ValueError("a mistake")
        return real(request, *rest)

    monkeypatch.setattr(answer_module, "outgoing", fail)
    async with engine() as one, rig() as it:
        configure(it, [to("d", limits=(Limits(concurrency=3),))])
        serve(it, "d", one, room=1)
        first = await it.post(chat("first"))
        asked = await one.next()
        pill = await it.post(chat("pill"))
        await until(lambda: it.demand_of("d").queued == 1)
        last = await it.post(chat("last"))
        await until(lambda: it.demand_of("d").queued == 2)
        asked.answer_json({"choices": []})
        assert (await first.answer()).status == 200
        await hung_up(pill)
        await answer(one)
        assert (await last.answer()).status == 200
        more = [await it.post(chat("more")) for _ in range(3)]
        for _ in more:
            await answer(one)
        assert [(await wire.answer()).status for wire in more] == [200] * 3


async def test_however_deep_a_body_is_it_is_refused_or_served() -> None:
    """What can be read once can be read again, from deeper in the stack: when it is sent on."""
    async with engine() as one, rig() as it:
        configure(it, [to("d", limits=(Limits(max_output=7),))])
        serve(it, "d", one, names=("own",))
        one.echo = True
        statuses = []
        for depth in range(700, 1000):
            nested = b"[" * depth + b"]" * depth
            wire = await it.post(b'{"x":%b,"messages":%b,"model":"m"}' % (nested, nested))
            statuses.append((await wire.answer()).status)
            wire.writer.close()
        assert set(statuses) == {200, 400}


@pytest.mark.parametrize(
    "fields",
    [
        b'"messages":null', b'"messages":[]', b'"messages":{}', b'"messages":"x"', b'"messages":5',
        b'"messages":[null,[],{"role":5},{"content":{}},{"content":[1,null,{"type":7}]}]',
        b'"prompt":[]', b'"prompt":[[]]', b'"prompt":[1,2,3]', b'"prompt":[[1],[2]]',
        b'"prompt":["a",1,null]', b'"prompt":{}', b'"input":["a","b"]', b'"input":[[1]]',
        b'"prompt":"a","input":"b","messages":[{"role":"user","content":"c"}],"tools":5',
        b'"max_tokens":-1', b'"max_tokens":0', b'"max_tokens":999999999999999999999999',
        b'"n":0', b'"stream":false,"stream_options":null', b'"model":"m"',
        b'"messages":[' + b"1," * 300_000 + b"1]",
        b'"messages":[{"role":"user","content":[' + b"1," * 300_000 + b"1]}]",
    ],
)  # fmt: skip
async def test_odd_bodies_get_an_answer(fields: bytes, tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        bounded = Limits(max_output=2**40, tokens_per_minute=2**40, concurrency=5)
        configure(
            it,
            [
                to(
                    "d", limits=(bounded,), shadow=Shadow("d", 1.0), record_prompts=True,
                    record_answers=True, overflow=(Overflow("e", ("context", "queue", "cold")),),
                )
            ],
            settings={"d": {"counts": False, "resume": control.Resume(context=100)}},
        )  # fmt: skip
        serve(it, "d", one, one, names=("own",))
        serve(it, "e", one)
        one.echo = True
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
            wire = await it.post(b'{"model":"m",' + fields + b"}", path)
            assert (await wire.answer()).status in (200, 400)
            wire.writer.close()
        await until(lambda: not it.gateway._copies)
        assert it.demand_of("d").running == 0
        assert len(it.records_written()) == 3
