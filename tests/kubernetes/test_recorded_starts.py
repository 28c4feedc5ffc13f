"""What the scaler and `apply` record of Pods' starts: the seconds of their status and of their log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_kit import child, cluster, write_fleet

from headrace.fleet.load import load_fleet
from headrace.fleet.types import Fleet
from headrace.kubernetes.names import COMPONENT, DEPLOYMENT
from headrace.kubernetes.picture import Picture, selector
from headrace.kubernetes.recorded import SAID, Book, other_start, ready_start, said_in, starts_in
from headrace.kubernetes.resource import PODS
from headrace.starts.start import Start

T0 = 1767225600.0  # 2026-01-01T00:00:00Z


def at(seconds: int) -> str:
    return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def condition(kind: str, seconds: int) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastTransitionTime": at(seconds)}


def pod(
    uid: str = "u", ready: int | None = 90, restarts: int = 0, began: int = 40, **status: Any
) -> dict[str, Any]:
    """Schedule 2 s, volume 3 s, image to 20 s, weights 10 s, image to 40 s, then the engine's own."""
    conditions = [condition("PodScheduled", 2), condition("PodReadyToStartContainers", 5)]
    conditions += [] if ready is None else [condition("Ready", ready)]
    weights = {
        "name": "weights",
        "state": {"terminated": {"startedAt": at(20), "finishedAt": at(30)}},
    }
    engine = {
        "name": "engine",
        "restartCount": restarts,
        "state": {"running": {"startedAt": at(began)}},
    }
    labels = dict(part.split("=") for part in selector("f").split(","))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"f-d-{uid}", "namespace": "f", "uid": uid, "creationTimestamp": at(0),
                     "labels": labels | {COMPONENT: "engine", DEPLOYMENT: "d"}},
        "spec": {"containers": [{"name": "engine"}]},
        "status": {"conditions": conditions, "initContainerStatuses": [weights],
                   "containerStatuses": [engine], **status},
    }  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return load_fleet(write_fleet(tmp_path / "fleet.yaml")).fleet


def test_a_ready_pod_by_its_status_alone(fleet: Fleet) -> None:
    start = ready_start(pod(), (), fleet)
    assert start is not None
    assert start.phases == {
        "schedule": 2.0,
        "volume": 3.0,
        "image": 25.0,
        "weights": 10.0,
        "start": 50.0,
    }
    assert (start.total, start.lead) == (90.0, 90.0)
    assert (start.began, start.runtime, start.deployment) == (
        "2026-01-01T00:00:00.000Z",
        "kubernetes",
        "d",
    )
    assert (start.emulated, start.restart, start.outcome) == (True, False, "ready")


def test_a_ready_pod_whose_log_was_read(fleet: Fleet) -> None:
    marks = [(T0 + 41, "import"), (T0 + 60, "load"), (T0 + 70, "kv cache"), (T0 + 72, "warm-up")]
    picture = Picture(objects={"Pod": {"u": pod()}}, marks={"u": marks})
    (start,) = starts_in(picture, fleet)
    assert list(start.phases) == [
        "schedule",
        "volume",
        "image",
        "weights",
        "import",
        "load",
        "kv cache",
        "warm-up",
    ]
    assert start.phases["load"] == 10.0
    assert start.total == 90.0


def test_a_container_that_began_again_has_only_its_own_phases(fleet: Fleet) -> None:
    start = ready_start(pod(restarts=2, began=200, ready=230), (), fleet)
    assert start is not None
    assert (start.phases, start.restart) == ({"start": 30.0}, True)
    assert start.began == "2026-01-01T00:03:20.000Z"


def test_other_pods_are_nobodys_start(fleet: Fleet) -> None:
    other = pod()
    other["metadata"]["labels"][COMPONENT] = "gateway"
    assert ready_start(other, (), fleet) is None
    assert ready_start(pod(ready=None), (), fleet) is None
    gone = pod()
    gone["metadata"]["labels"][DEPLOYMENT] = "removed"
    assert ready_start(gone, (), fleet) is None
    assert other_start(gone, fleet, T0, "stopped") is None


def test_each_start_is_told_once(fleet: Fleet) -> None:
    book = Book()
    assert book.see({"u": pod(ready=None)}, fleet, T0 + 50) == []
    (told,) = book.see({"u": pod()}, fleet, T0 + 91)
    assert told.outcome == "ready"
    assert book.see({"u": pod()}, fleet, T0 + 92) == []
    assert book.see({}, fleet, T0 + 99) == []  # a ready one that goes is no start
    assert book.starts == [told]


def test_a_pod_that_goes_before_it_was_ready_was_stopped(fleet: Fleet) -> None:
    book = Book()
    book.see({"u": pod(ready=None)}, fleet, T0 + 50)
    (told,) = book.see({}, fleet, T0 + 60)
    assert (told.outcome, told.ended_in) == ("stopped", "start")
    assert told.phases["start"] == 20.0


def test_a_container_that_dies_before_it_was_ready_failed(fleet: Fleet) -> None:
    book = Book()
    book.see({"u": pod(ready=None)}, fleet, T0 + 50)
    again = pod(ready=None, restarts=1, began=70)
    again["status"]["containerStatuses"][0]["lastState"] = {
        "terminated": {"reason": "OOMKilled", "exitCode": 137}
    }
    (told,) = book.see({"u": again}, fleet, T0 + 70)
    assert (told.outcome, told.why, told.phases["start"]) == ("failed", "OOMKilled (137)", 30.0)
    (ready,) = book.see({"u": pod(restarts=1, began=70)}, fleet, T0 + 91)
    assert (ready.outcome, ready.restart, ready.id != told.id) == ("ready", True, True)


def test_a_book_is_bounded(fleet: Fleet) -> None:
    book = Book(most=3)
    for number in range(5):
        book.see({f"u{number}": pod(f"u{number}")}, fleet, T0 + 91)
    assert [one.id for one in book.starts] == ["f-d-u2@u2.0", "f-d-u3@u3.0", "f-d-u4@u4.0"]


def test_what_a_scaler_said_is_read_from_its_log(fleet: Fleet) -> None:
    start = ready_start(pod(), (), fleet)
    lines = [
        "scaler: serving KEDA on port 1",
        f"{SAID}{msgspec.json.encode(start).decode()}",
        f"{SAID}{{half",
    ]
    assert said_in(lines) == [start]


async def test_the_scaler_tells_of_every_pod_that_gets_ready(tmp_path: Path) -> None:
    file = write_fleet(tmp_path / "fleet.yaml")
    async with cluster(tmp_path) as it:
        it.api.put(PODS, pod("one"))
        command = (
            "headrace",
            "scaler",
            str(file),
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        )
        async with child(*command, KUBECONFIG=str(it.config)) as scaler:
            found = await scaler.said(re.escape(SAID) + r'(\{"id":"f-d-one@one\.0".*\})')
            assert msgspec.json.decode(found[1], type=Start).total == 90.0
            it.api.put(PODS, pod("two", ready=None))
            it.api.put(PODS, pod("two"))
            await scaler.said(re.escape(SAID) + r'\{"id":"f-d-two@two\.0"')
