"""A fleet that starts step by step: each is told once, and the end is known for what it is.

The conductor is the display: each line that it is shown may be the cue for what happens next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from apply_kit import FLEET
from twin_kit import cluster_of

from headrace.fleet.load import load_fleet
from headrace.kubernetes.apply import Sent, apply
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.diff import Wanted, find_changes
from headrace.kubernetes.errors import NotReadyError
from headrace.kubernetes.follow import Following, Pace
from headrace.kubernetes.gather import gather
from headrace.kubernetes.options import Options
from headrace.kubernetes.render import KUSTOMIZATION, render
from headrace.kubernetes.resource import EVENTS, PODS
from headrace.kubernetes.status import Subject, fleet_status, reasons
from headrace.kubernetes.twin.controllers import Controllers, make_ready
from headrace.kubernetes.twin.server import Twin
from headrace.kubernetes.verdict import judge
from headrace.view.display import line
from headrace.view.events import Event
from headrace.view.states import State
from headrace.view.status import FleetStatus

PATIENCE = 30.0
SOON = 0.01
Act = Callable[[], None]


class Conductor:
    """A display that does something when it is shown a line with certain words."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cues: dict[str, Act] = {}

    def show(self, happened: Event) -> None:
        said = line(happened).partition(" ")[2]
        self.lines.append(said)
        for words in [cue for cue in self.cues if cue in said]:
            self.cues.pop(words)()

    def serving(self, status: FleetStatus) -> None:
        """Not shown here."""

    async def run(self, status: Callable[[], FleetStatus]) -> None:
        """Not shown here."""


class Stage:
    """A fleet that was applied to a twin whose controllers run."""

    def __init__(self, twin: Twin, cluster: Cluster, file: Path) -> None:
        self.twin, self.cluster = twin, cluster
        self.controllers = Controllers(twin)
        self.display = Conductor()
        self.file = load_fleet(file)

    async def apply(self) -> None:
        files = [one for one in render(self.file, Options()) if one.path != KUSTOMIZATION]
        objects = tuple(one for each in files for one in each.objects)
        changes = await find_changes(self.cluster, Wanted("shop", "shop", objects))
        await apply(self.cluster, changes, Sent(), lambda *_: None)

    def subject(self) -> Subject:
        return Subject(self.file.fleet, str(self.file.path), "shop", time.time())

    async def follow(self, limit: float = PATIENCE) -> None:
        pace = Pace(look=SOON, limit=limit)
        running = asyncio.ensure_future(self.controllers.run())
        try:
            await Following(self.cluster, self.subject, self.display, pace).run()
        finally:
            running.cancel()

    def pod(self, deployment: str = "chat") -> dict[str, Any]:
        found = [
            one
            for one in self.twin.store.all(PODS)
            if one["metadata"]["labels"].get("headrace.dev/deployment") == deployment
        ]
        return found[0]

    def change(self, **status: Any) -> None:
        """Give the engine's Pod another status."""
        one = self.pod()
        one["status"] = {**one["status"], **status}
        self.twin.put(PODS, one, "kubelet")

    def ready(self) -> None:
        one = self.pod()
        make_ready(one)
        self.twin.put(PODS, one, "kubelet")

    def ready_keeping(self, containers: list[dict[str, Any]]) -> Act:
        """Return an act that makes the Pod ready, with its container's own start."""

        def act() -> None:
            self.change(conditions=[*MOUNTED, condition("Ready")], containerStatuses=containers)

        return act


@asynccontextmanager
async def stage(folder: Path, text: str = FLEET) -> AsyncIterator[Stage]:
    file = folder / "fleet.yaml"
    file.write_text(text)
    async with Twin() as twin, cluster_of(twin) as cluster:
        made = Stage(twin, cluster, file)
        await made.apply()
        yield made


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    at = "2026-01-01T00:00:10Z"
    return {"type": kind, "status": status, "lastTransitionTime": at, **more}


PENDING = condition(
    "PodScheduled",
    "False",
    reason="Unschedulable",
    message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: none.",
)
SCHEDULED = [condition("PodScheduled")]
MOUNTED = [*SCHEDULED, condition("PodReadyToStartContainers")]


def with_status(**status: Any) -> Callable[[dict[str, Any]], None]:
    def treat(pod: dict[str, Any]) -> None:
        pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        pod["status"] = {"phase": "Pending", **status}

    return treat


def waiting(reason: str, message: str, **more: Any) -> list[dict[str, Any]]:
    state = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "engine", "image": "headrace:1", "state": state, **more}]


async def test_a_pod_is_followed_from_a_full_node_to_its_first_answer(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.treat["chat"] = with_status(conditions=[PENDING])
        running = [{"name": "engine", "state": {"running": {"startedAt": "2026-01-01T00:00:30Z"}}}]
        pulled = waiting("ImagePullBackOff", "Back-off pulling image: not found")

        def starts() -> None:
            name = made.pod()["metadata"]["name"]
            made.twin.requests.logs["shop", name, "engine"] = [
                "2026-01-01T00:00:31.000000000Z INFO non-default args: {}",
                "2026-01-01T00:00:40.000000000Z INFO Starting to load model x",
                "2026-01-01T00:00:52.500000000Z INFO Loading weights took 12.50 seconds",
                "2026-01-01T00:00:55.000000000Z INFO GPU KV cache size: 1,000 tokens",
            ]
            made.change(conditions=MOUNTED, containerStatuses=running)

        made.display.cues = {
            "waits: no GPU free": lambda: made.change(conditions=MOUNTED, containerStatuses=pulled),
            "waits: image headrace:1: there is no such image": starts,
            "kv cache 2.5 s": made.ready_keeping(running),
        }
        await made.follow()
    own = [text.partition(": ")[2].strip() for text in made.display.lines if "shop-chat" in text]
    steps = [text for text in own if not text.startswith("waits")]
    assert steps[:5] == [
        "schedule 10.0 s",
        "volume 0.0 s",
        "image 20.0 s",
        "import 10.0 s",
        "load 12.5 s",
    ]
    assert steps[5] == "kv cache 2.5 s"
    assert steps[6].startswith("warm-up ")
    assert steps[7].startswith("ready: after ")
    assert not made.display.cues


async def test_a_crash_loop_ends_with_the_engines_last_words(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        dead = {"terminated": {"exitCode": 1, "reason": "Error"}}
        made.controllers.treat["chat"] = with_status(
            conditions=MOUNTED,
            containerStatuses=waiting(
                "CrashLoopBackOff", "back-off 5m0s", restartCount=3, lastState=dead
            ),
        )
        made.controllers.step()
        name = made.pod()["metadata"]["name"]
        made.twin.requests.logs["shop", name, "engine/previous"] = [
            "Traceback (most recent call last):",
            "ValueError: No available memory for the cache blocks.",
        ]
        with pytest.raises(NotReadyError) as caught:
            await made.follow()
    assert str(caught.value).startswith(f"it will not serve:\n  {name}: engine ended with status 1")


async def test_a_wrong_answer_ends_the_wait_and_says_what_came(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.wrong["chat"] = "it must be continued with ' 7,', but came ' 8'"
        made.controllers.step()
        name = made.pod()["metadata"]["name"]
        with pytest.raises(NotReadyError) as caught:
            await made.follow()
    assert str(caught.value) == (
        f"it will not serve:\n  {name}: wrong answer to the known prompt: "
        "it must be continued with ' 7,', but came ' 8'"
    )


async def test_a_pod_that_one_gateway_has_not_asked_yet_does_not_serve(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.step()
        name = made.pod()["metadata"]["name"]
        logs = made.twin.requests.logs
        first, second = [key for key in logs if key[2] == "gateway"]
        logs[second] = ["gateway: serving on 0.0.0.0:8080"]
        picture = await gather(made.cluster, "shop", made.file.fleet)
        waits = judge(picture, made.file.fleet).waits
        assert waits == (f"{name}: has not answered every gateway's known prompt yet",)
        logs[second] = logs[first]
        picture = await gather(made.cluster, "shop", made.file.fleet)
        assert judge(picture, made.file.fleet).serves


async def test_patience_ends_with_what_it_waits_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.treat["chat"] = with_status(conditions=[PENDING])
        with pytest.raises(NotReadyError) as caught:
            await made.follow(limit=1.0)
    assert str(caught.value) == (
        "not all of it serves after 1 s, but it goes on starting:\n"
        "  chat: 0 of 1 ready: no GPU free: 1 of 1 nodes have too little nvidia.com/gpu left"
    )


async def test_pods_that_cannot_be_made_are_a_reason(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.treat["chat"] = with_status(conditions=[PENDING])
        made.controllers.step()
        picture = await gather(made.cluster, "shop", made.file.fleet)
        (work,) = [
            one for one in picture.of("Deployment") if one["metadata"]["name"] == "shop-chat"
        ]
        quota = 'pods "x" is forbidden: exceeded quota: gpus'
        failed = condition("ReplicaFailure", reason="FailedCreate", message=quota)
        work["status"]["conditions"] = [failed]
        status = fleet_status(picture, made.subject())
    assert status.deployments[0].why == f"Pods cannot be made: {quota}"


async def test_what_may_not_be_read_is_said_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.twin.requests.forbidden |= {("list", "events"), ("get", "pods")}
        made.controllers.treat["chat"] = with_status(conditions=[PENDING])
        made.display.cues = {"waits: no GPU free": made.ready}
        await made.follow()
    told = [text for text in made.display.lines if text.startswith("headrace: ")]
    assert len(told) == len(set(told)) > 0
    assert any('cannot list resource "events"' in text for text in told)


async def test_status_has_the_table_of_one_machine(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.step()
        name = made.pod()["metadata"]["name"]
        demand = (
            '[{"type": "demand", "deployment": "chat", "held": 1, "queued": 2, "running": 3,'
            f' "arrived": 9, "replicas": {{"{name}": 3}}, "routes": {{"chat": [3, 3]}}}}]'
        )
        for one in made.twin.store.all(PODS):
            if one["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway":
                where = f"shop/{one['metadata']['name']}:8081/demand"
                made.twin.requests.pages[where] = demand
        picture = await gather(made.cluster, "shop", made.file.fleet)
        status = fleet_status(picture, made.subject())
        assert list(reasons(picture)) == []
    chat, gateway, scaler = status.deployments
    assert (chat.name, chat.desired, chat.ready, chat.min, chat.max) == ("chat", 1, 1, 1, 3)
    assert (chat.held, chat.queued, chat.running) == (2, 4, 6)  # two gateways
    assert chat.routes == {"chat": (6, 6)}
    (replica,) = chat.replicas
    assert (replica.id, replica.state, replica.in_flight, replica.room) == (name, State.READY, 6, 8)
    assert (gateway.name, gateway.ready, scaler.ready) == ("gateway", 2, 2)
    assert status.address == "http://shop-gateway.shop/v1"


async def test_events_about_the_volume_explain_a_pending_claim(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        made.controllers.treat["chat"] = with_status(conditions=[PENDING])
        made.controllers.step()
        one = made.pod()
        one["spec"]["volumes"] = [{"name": "w", "persistentVolumeClaim": {"claimName": "w"}}]
        made.twin.put(PODS, one)
        picture = await gather(made.cluster, "shop", made.file.fleet)
        assert dict(reasons(picture))[one["metadata"]["name"]] == (
            "its volume claim w is not there; apply again"
        )
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "uid": one["metadata"]["uid"], "name": "x"},
            "reason": "FailedScheduling",
            "message": "no nodes available to schedule pods",
        }
        made.twin.put(EVENTS, event)
        one["status"] = {"phase": "Pending"}
        one["spec"]["volumes"] = []
        made.twin.put(PODS, one)
        picture = await gather(made.cluster, "shop", made.file.fleet)
    assert dict(reasons(picture))[one["metadata"]["name"]] == (
        "no node takes it: no nodes available to schedule pods"
    )
