"""A lane ejects replicas, tries them again, and says when none is left to trust."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from harness import PLAIN, Engine, Rig, engine, rig, until
from msgspec import structs

from headrace.gateway import control
from headrace.routing.choose import Place
from headrace.routing.ticket import Want
from headrace.routing.work import Work


def place(it: Rig, one: Engine) -> Place:
    found: Place = it.lane().queue.places[f"d-{one.port}"]
    return found


def fail(it: Rig, one: Engine, times: int = 3) -> None:
    for _ in range(times):
        it.lane().ended(place(it, one), ok=False, what="HTTP 500")


def last_stats(it: Rig) -> dict[str, control.ReplicaStats]:
    return [one for one in it.told if isinstance(one, control.Stats)][-1].replicas


async def test_an_ejected_replica_gets_no_work_and_the_runtime_hears_why() -> None:
    async with engine() as bad, engine() as good, rig() as it:
        it.replicas(bad, good)
        fail(it, bad)
        (fault,) = it.faults()
        assert fault.replica == f"d-{bad.port}"
        assert "3 failures in a row, the last: HTTP 500" in fault.what
        for _ in range(3):
            wire = await it.post(PLAIN)
            (await good.next()).answer_json({"choices": []})
            assert (await wire.answer()).headers["x-headrace-replica"] == f"d-{good.port}"
        assert bad.asked.empty()


async def test_waiting_work_is_the_probe_when_its_time_has_come() -> None:
    async with engine() as bad, engine() as good, rig() as it:
        it.replicas(bad, good, room=1)
        fail(it, bad)
        first = await it.post(PLAIN)
        asked = await good.next()
        second = await it.post(PLAIN)
        await until(lambda: it.demand().queued == 1)
        place(it, bad).health.until = monotonic()  # instead of 5 s
        it.lane().reconfigure(it.lane().config)
        (await bad.next()).answer_json({"choices": []})
        assert (await second.answer()).headers["x-headrace-replica"] == f"d-{bad.port}"
        await until(lambda: place(it, bad).health.trusted)
        asked.answer_json({"choices": []})
        assert (await first.answer()).status == 200


async def test_all_suspect_is_said_once_and_work_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with engine() as one, rig(max_wait=0.0) as it:
        it.replicas(one, room=1)
        fail(it, one)
        fail(it, one)
        reason = f"all replicas are suspect (d-{one.port}: 3 failures in a row, the last: HTTP 500)"
        assert it.lane().suspicion in reason
        assert [fault.what for fault in it.faults() if not fault.replica] == [reason]
        assert b'headrace_all_suspect{deployment="d"} 1.0' in it.gateway.metrics.render()
        wire = await it.post(PLAIN)
        asked = await one.next()
        waits = await (await it.post(PLAIN)).answer()
        assert (waits.status, waits.code) == (503, "waited_too_long")
        assert reason in waits.json()["error"]["message"]
        asked.answer_json({"choices": []})
        assert (await wire.answer()).status == 200
        said = capsys.readouterr().err.splitlines()
        assert said == [f"gateway: d: {reason}", "gateway: d: a replica is trusted again"]
        assert b'headrace_all_suspect{deployment="d"} 0.0' in it.gateway.metrics.render()


async def test_statistics_are_told_each_second() -> None:
    """Between ranks: of ten values the median is at 5.5 and the 95th percentile at 9.55."""
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        for number in range(1, 11):
            it.lane().began(place(it, one), number / 10)
            it.lane().ended(place(it, one), ok=number != 3, tpot=number / 100)
        it.lane().began(place(it, two), 99.0, gone_idle=True)
        fail(it, two)
        it.lane().tick(monotonic())
        stats = last_stats(it)
        found = stats[f"d-{one.port}"]
        assert (found.requests, found.failures) == (10, 1)
        assert (found.ttft_p50, found.ttft_p95) == pytest.approx((0.55, 0.955))
        assert (found.tpot_p50, found.tpot_p95) == pytest.approx((0.055, 0.0955))
        ejected = stats[f"d-{two.port}"]
        assert structs.replace(ejected, ejected="") == control.ReplicaStats(requests=3, failures=3)
        assert ejected.ejected.startswith("3 failures in a row")


async def test_a_slow_replica_is_found_by_the_clock() -> None:
    async with engine() as slow, engine() as quick, rig() as it:
        it.replicas(slow, quick)
        for _ in range(5):
            it.lane().began(place(it, slow), 9.0)
            it.lane().began(place(it, quick), 0.2)
        it.lane().tick(monotonic())
        (fault,) = it.faults()
        assert fault.what.endswith("TTFT p50 9 s, above the limit of 2 s by its peers'")


async def test_a_new_process_owes_nothing_to_the_old_one() -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        fail(it, one)
        old = place(it, one)
        again = control.Replica(id=old.id, host="127.0.0.1", port=two.port, room=8)
        same = control.Replica(id=f"d-{two.port}", host="127.0.0.1", port=two.port, room=8)
        kept = place(it, two)
        it.lane().began(kept, 0.5)
        it.lane().set_replicas(control.Replicas(deployment="d", replicas=(again, same)))
        assert it.lane().state(old) is None
        assert place(it, one).health.trusted
        assert place(it, two) is kept
        it.lane().ended(old, ok=False, what="broke")  # late news of the old process
        assert it.lane().stats(monotonic()).replicas[old.id].requests == 0


async def test_the_state_of_a_replica_is_what_the_runtime_says() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        running = await it.post(PLAIN)
        asked = await one.next()
        here = place(it, one)
        for state in ("ready", "draining", "leaving", "failed"):
            it.replicas(one, state=state)
            assert it.lane().state(here) == state
            assert it.lane().queue.any_ready is (state == "ready")
        it.replicas()
        assert it.lane().state(here) is None
        asked.answer_json({"choices": []})
        assert (await running.answer()).status == 200


async def test_a_begun_request_goes_before_those_that_have_not() -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, room=1)
        bound: list[str] = []
        lane = it.lane()

        def wait(name: str) -> Any:
            exchange = SimpleNamespace(
                bind=lambda *_: bound.append(name), guard=lambda action: action()
            )
            want = Want("r", "somebody", "normal", Work(1, 1))
            return lane.queue.submit(exchange, monotonic(), want).ticket

        first, *_ = [wait(name) for name in "abc"]
        lane.reconfigure(lane.config)
        assert bound == ["a"]
        lane.retry(first, blame=True, begun=True)
        it.replicas(two, room=1)
        assert bound == ["a", "a"]
        assert first.patient_from > first.arrived
        lane.queue.abandon(monotonic())
