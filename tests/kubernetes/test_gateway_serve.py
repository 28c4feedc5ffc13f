"""The gateway process in a cluster: who gets work, who does not, and what happens to streams."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cluster_kit import (
    PATIENCE,
    SIGKILL,
    SIGTERM,
    Gateway,
    cluster,
    engine,
    gateway,
    text_of,
    until,
    until_so,
    write_fleet,
)

from headrace.kubernetes.twin.requests import Asked

COUNTED = " 4, 5, 6, 7, 8, 9, 10, 11, 12,"
"""What a twin says in 30 tokens."""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return write_fleet(tmp_path / "fleet.yaml")


async def test_it_is_ready_once_it_knows_the_endpoints_and_a_ready_pod_answers(
    tmp_path: Path, fleet: Path
) -> None:
    may_list = asyncio.Event()

    async def hold(asked: Asked) -> None:
        if "endpointslices" in asked.target:
            await may_list.wait()

    async with cluster(tmp_path) as it, engine() as one:
        it.api.before = hold
        async with gateway(it, fleet, wait=False) as serving:
            answer = await serving.look("/readyz")
            assert (answer.status_code, answer.text) == (503, "not synced\n")
            it.pod("d-1", one.port, ready=False)
            may_list.set()
            await serving.ready()
            asked = serving.ask()
            await serving.demanded(held=1, running=0)  # nobody is ready: it is held
            it.pod("d-1", one.port)
            answer = await asked
            assert answer.status_code == 200
            assert answer.headers["x-headrace-replica"] == "d-1"


async def test_a_pod_that_answers_wrongly_gets_nothing_until_it_answers_rightly(
    tmp_path: Path, fleet: Path
) -> None:
    async with cluster(tmp_path) as it, engine("--wrong") as one, gateway(it, fleet) as serving:
        it.pod("d-1", one.port)
        asked = serving.ask()
        said = await serving.child.said(r"Pod d-1 .*WRONG ANSWER.* must be continued")
        assert "asking again in 5 s" in said.string
        await serving.shows('headrace_pods{deployment="d",state="wrong"}', 1)
        assert await serving.figure('headrace_wrong_answers_total{deployment="d"}') >= 1
        await serving.demanded(held=1, running=0)
        await one.faults(wrong=False)
        assert (await asked).status_code == 200
        await serving.shows('headrace_pods{deployment="d",state="ready"}', 1)


async def test_a_terminating_pod_gets_nothing_new_while_its_streams_finish(
    tmp_path: Path, fleet: Path
) -> None:
    async with cluster(tmp_path) as it, engine("--tpot", "0.2") as old, engine() as new:
        it.pod("d-old", old.port)
        async with gateway(it, fleet) as serving:
            stream = serving.ask(stream=True, max_tokens=30)
            await serving.demanded(running=1)
            it.pod("d-old", old.port, terminating=True)
            await serving.shows('headrace_pods{deployment="d",state="terminating"}', 1)
            later = serving.ask()
            await serving.demanded(held=1, running=1)  # rather held than sent there
            it.pod("d-new", new.port)
            assert (await later).headers["x-headrace-replica"] == "d-new"
            assert not stream.done()
            it.gone("d-old")
            await serving.shows('headrace_pods{deployment="d",state="terminating"}', 0)
            answer = await stream
            assert answer.headers["x-headrace-replica"] == "d-old"
            assert text_of(answer.text) == COUNTED
            assert await serving.figure("headrace_continuations_total") == 0


async def test_a_stream_that_breaks_with_its_pod_is_continued_on_another(
    tmp_path: Path, fleet: Path
) -> None:
    async with cluster(tmp_path) as it, engine("--tpot", "0.2") as old, engine() as new:
        it.pod("d-old", old.port)
        async with gateway(it, fleet) as serving:
            stream = serving.ask(stream=True, max_tokens=30)
            await serving.demanded(running=1)
            it.pod("d-new", new.port)
            await serving.shows('headrace_pods{deployment="d",state="ready"}', 2)
            it.pod("d-old", old.port, terminating=True)
            await serving.shows('headrace_pods{deployment="d",state="terminating"}', 1)
            old.child.tell(SIGKILL)
            assert text_of((await stream).text) == COUNTED
            assert await serving.figure("headrace_continuations_total") == 1


async def test_what_a_drain_did_not_finish_moves_to_another_pod(
    tmp_path: Path,
) -> None:
    fleet = write_fleet(tmp_path / "fleet.yaml", drain="500ms")
    async with cluster(tmp_path) as it, engine("--tpot", "0.5") as old, engine() as new:
        it.pod("d-old", old.port)
        async with gateway(it, fleet) as serving:
            stream = serving.ask(stream=True, max_tokens=120)  # a minute at the old Pod
            await serving.demanded(running=1)
            it.pod("d-old", old.port, terminating=True)
            it.pod("d-new", new.port)
            assert text_of((await stream).text).startswith(COUNTED)
            assert await serving.figure("headrace_continuations_total") == 1


async def test_a_pod_that_fails_is_asked_at_once_and_again_until_it_works(
    tmp_path: Path, fleet: Path
) -> None:
    async with cluster(tmp_path) as it, engine() as one, engine() as two:
        it.pod("d-1", one.port)
        it.pod("d-2", two.port)
        async with gateway(it, fleet) as serving:
            await serving.shows('headrace_pods{deployment="d",state="ready"}', 2)
            await one.faults(fail=True)
            # Within less than the minute between two known prompts, as requests fail.
            await until_so(lambda: _found_out(serving))
            await serving.child.said("Pod d-1 .*WRONG ANSWER: the known prompt got HTTP 500")
            answers = [await serving.ask() for _ in range(4)]
            assert {answer.headers["x-headrace-replica"] for answer in answers} == {"d-2"}
            await one.faults(fail=False)
            await serving.child.said("Pod d-1 .*answers rightly again")
            await serving.shows('headrace_pods{deployment="d",state="ready"}', 2)


async def _found_out(serving: Gateway) -> bool:
    await asyncio.gather(*(serving.ask(prompt=f"{n}, {n + 1},") for n in range(4)))
    return await serving.figure('headrace_pods{deployment="d",state="wrong"}') == 1


async def test_what_was_missed_while_the_api_server_was_away_is_made_up_for(
    tmp_path: Path, fleet: Path
) -> None:
    away = False

    async def refuse(asked: Asked) -> None:
        if away and "endpointslices" in asked.target:
            raise ConnectionResetError

    async with cluster(tmp_path) as it, engine() as old, engine() as new:
        it.pod("d-old", old.port)
        async with gateway(it, fleet) as serving:
            assert (await serving.ask()).status_code == 200
            it.api.before, away = refuse, True
            it.api.drop_watches()
            tries = len(it.api.asked)
            await until(lambda: len(it.api.asked) >= tries + 3)
            assert (await serving.ask()).headers["x-headrace-replica"] == "d-old"
            it.gone("d-old")
            it.pod("d-new", new.port)
            it.api.store.compact()  # whoever goes on from before is told 410
            away = False
            await serving.shows('headrace_pods{deployment="d",state="ready"}', 1)
            old.child.tell(SIGKILL)
            assert (await serving.ask()).headers["x-headrace-replica"] == "d-new"


async def test_rights_that_come_late_are_waited_for(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, engine() as one:
        it.pod("d-1", one.port)
        it.api.requests.token, right = "another", it.api.requests.token
        async with gateway(it, fleet, wait=False) as serving:
            await serving.child.said(r"gateway: endpoints: .*401.*trying again")
            assert (await serving.look("/readyz")).status_code == 503
            it.api.requests.token = right
            await serving.ready()
            assert (await serving.ask()).status_code == 200


async def test_an_edited_file_is_served_and_a_wrong_one_refused_whole(
    tmp_path: Path, fleet: Path
) -> None:
    async with cluster(tmp_path) as it, engine() as one:
        it.pod("d-1", one.port)
        async with gateway(it, fleet) as serving:
            assert (await serving.ask("n")).status_code == 404
            link(fleet, FLEET_WITH_A_MISTAKE)
            await serving.child.said("refused whole")
            await serving.child.said(r"fleet.yaml:2: .*drain")
            assert (await serving.ask("m")).status_code == 200
            write_fleet(tmp_path / "next.yaml", aliases="m, n")
            (tmp_path / "next.yaml").replace(fleet)
            await serving.child.said("in force")
            # The Pod was started when nobody called the model n: it is asked by a name it knows.
            assert (await serving.ask("n")).status_code == 200


FLEET_WITH_A_MISTAKE = "fleet: f\ndeployments: {d: {lifecycle: {drain: soon}}}\n"


def link(path: Path, text: str) -> None:
    """Write a file as the kubelet does: a link leads elsewhere."""
    other = path.with_name(f"..{len(text)}")
    other.write_text(text)
    path.with_name("link").symlink_to(other)
    path.with_name("link").replace(path)


async def test_keys_come_from_a_mounted_secret(tmp_path: Path, fleet: Path) -> None:
    # The SHA-256 of "open" and of "sesame", by sha256sum.
    digests = (
        "2348f998744212575d85959674f9607ab26f67708a917157472832386337c904",
        "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272",
    )
    keys = tmp_path / "keys.yaml"
    write_fleet(fleet, more="gateway: {keys: keys.yaml}")
    link(keys, f"- {{name: a, sha256: {digests[0]}}}\n")
    async with cluster(tmp_path) as it, engine() as one:
        it.pod("d-1", one.port)
        async with gateway(it, fleet) as serving:
            serving.client.headers["authorization"] = "Bearer sesame"
            assert (await serving.ask()).status_code == 401
            link(keys, f"- {{name: b, sha256: {digests[1]}}}\n")
            await serving.child.said("in force")
            assert (await serving.ask()).status_code == 200


async def test_sigterm_finishes_what_runs_and_ends(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, engine("--tpot", "0.15") as one:
        it.pod("d-1", one.port)
        async with gateway(it, fleet) as serving:
            stream = serving.ask(stream=True, max_tokens=30)
            await serving.demanded(running=1)
            serving.child.tell(SIGTERM)
            await serving.child.said("takes nothing new")
            assert (await serving.look("/readyz")).text == "draining\n"
            assert (await serving.demand())["running"] == 1  # the scaler still counts it
            answer = await stream
            assert "[DONE]" in answer.text
            assert await asyncio.wait_for(serving.child.ended(), PATIENCE) == 0
        assert (tmp_path / "state" / "requests.db").exists()
