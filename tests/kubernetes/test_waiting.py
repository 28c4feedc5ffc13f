"""Reasons and phases from what real clusters say; messages are those of scheduler and kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.kubernetes.phases import logged_phases, start_of
from headrace.kubernetes.times import stamped
from headrace.kubernetes.waiting import Evidence, is_hopeless, waits_for
from headrace.view.status import Phase

T0 = 1767225600.0  # 2026-01-01T00:00:00Z


def at(seconds: int) -> str:
    return f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def condition(kind: str, seconds: int, **more: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastTransitionTime": at(seconds), **more}


def pod(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": at(0)},
        "spec": {
            "containers": [{"name": "engine"}],
            "volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}],
        },
        "status": {"conditions": list(conditions), **status},
    }


def unscheduled(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    return pod({"type": "PodScheduled", "status": "False", "reason": reason, "message": message})


def waits(container: str, reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    status = {
        "name": container,
        "image": "engine:1",
        "state": {"waiting": {"reason": reason, "message": message}},
        **more,
    }
    return pod(condition("PodScheduled", 1), containerStatuses=[status])


def event(reason: str, message: str, kind: str = "Pod") -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": at(1)},
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": kind},
    }


BOUND = {"weights": {"spec": {}, "status": {"phase": "Bound"}}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            (
                "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 3 node(s) had untolerated "
                "taint {node-role.kubernetes.io/control-plane: }. preemption: 0/4 nodes are available: "
                "1 No preemption victims found for incoming pod, 3 Preemption is not helpful for "
                "scheduling."
            ),
            (
                "no GPU free: 1 of 4 nodes have too little nvidia.com/gpu left, 3 of 4 have a taint "
                "that it does not tolerate (node-role.kubernetes.io/control-plane: )"
            ),
        ),
        (
            (
                "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. no new claims to deallocate, "
                "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
            ),
            "no GPU free: 2 of 2 nodes have too little nvidia.com/gpu left",
        ),
        (
            (
                "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node "
                "affinity/selector. preemption: not eligible due to preemptionPolicy=Never."
            ),
            (
                "no node takes it: 1 of 2 nodes have too little memory left, 1 of 2 are of another "
                "kind (node affinity)"
            ),
        ),
        (
            "no nodes available to schedule pods",
            "no node takes it: no nodes available to schedule pods",
        ),
    ],
)
def test_a_scheduler_that_finds_no_node(message: str, expected: str) -> None:
    assert waits_for(unscheduled(message), Evidence(claims=BOUND)) == expected


def test_a_scheduling_gate() -> None:
    held = unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated")
    assert "scheduling gate" in waits_for(held, Evidence(claims=BOUND))


@pytest.mark.parametrize(
    ("claim", "said", "expected"),
    [
        (None, None, "its volume claim weights is not there; apply again"),
        (
            {"spec": {}, "status": {"phase": "Pending"}},
            "no persistent volumes available for this claim and no storage class is set",
            (
                "volume claim weights is pending: the cluster has no default storage class; name one "
                "with --storage rwx=CLASS"
            ),
        ),
        (
            {"spec": {"storageClassName": "nfs"}, "status": {"phase": "Pending"}},
            None,
            "volume claim weights is pending: nobody has made a volume of class nfs yet",
        ),
        (
            {"spec": {"storageClassName": "nfs"}, "status": {"phase": "Pending"}},
            'failed to provision volume with StorageClass "nfs": access mode not supported',
            (
                'volume claim weights is pending: failed to provision volume with StorageClass "nfs": '
                "access mode not supported"
            ),
        ),
    ],
)
def test_a_volume_claim_that_is_not_bound(
    claim: dict[str, Any] | None, said: str | None, expected: str
) -> None:
    one = unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    events = {"weights": event("ProvisioningFailed", said)} if said else {}
    known = Evidence(claims={"weights": claim} if claim else {}, claim_events=events)
    assert waits_for(one, known) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            (
                'Failed to pull image "engine:1": rpc error: code = NotFound desc = failed to pull and '
                "unpack image: not found"
            ),
            "image engine:1: there is no such image",
        ),
        (
            (
                'Failed to pull image "engine:1": pull access denied, repository does not exist or may '
                "require authorization"
            ),
            "image engine:1: the registry wants credentials (imagePullSecrets)",
        ),
        ('Failed to pull image "engine:1": dial tcp: i/o timeout', "image engine:1 does not come"),
    ],
)
def test_an_image_that_does_not_come_says_why_it_first_failed(said: str, expected: str) -> None:
    stuck = waits("engine", "ImagePullBackOff", 'Back-off pulling image "engine:1"')
    known = Evidence(events=(event("Failed", said), event("Failed", "Error: ImagePullBackOff")))
    assert waits_for(stuck, known).startswith(expected)


def test_a_secret_that_is_not_there() -> None:
    stuck = waits("engine", "CreateContainerConfigError", 'secret "hf-token" not found')
    assert (
        waits_for(stuck, Evidence()) == 'its container cannot be made: secret "hf-token" not found'
    )


def test_a_volume_that_is_not_mounted() -> None:
    stuck = pod(condition("PodScheduled", 1))
    known = Evidence(events=(event("FailedMount", "MountVolume.SetUp failed: timed out"),))
    assert waits_for(stuck, known) == "volume: MountVolume.SetUp failed: timed out"


def crashed(reason: str, code: int, count: int) -> dict[str, Any]:
    return waits(
        "engine",
        "CrashLoopBackOff",
        "back-off 40s restarting failed container",
        restartCount=count,
        lastState={"terminated": {"exitCode": code, "reason": reason}},
        resources={"limits": {"memory": "32Gi"}},
    )


def test_memory_that_was_not_enough() -> None:
    assert waits_for(crashed("OOMKilled", 137, 2), Evidence()) == (
        "OOMKilled: it needed more memory than its limit of 32Gi, 2 restarts"
    )


def test_a_crash_loop_has_the_engines_last_words_and_ends_patience_at_the_third() -> None:
    known = Evidence(words="No available memory for the cache blocks")
    assert waits_for(crashed("Error", 1, 2), known) == (
        "engine ended with status 1, 2 restarts: No available memory for the cache blocks"
    )
    assert not is_hopeless(crashed("Error", 1, 2), known)
    assert is_hopeless(crashed("Error", 1, 3), known)


def test_a_wrong_answer_comes_before_everything_else() -> None:
    ready = pod(condition("PodScheduled", 1), condition("Ready", 9))
    known = Evidence(wrong="it must be continued with ' 7', but came ' 8'")
    assert waits_for(ready, known).startswith("wrong answer to the known prompt: it must be")
    assert is_hopeless(ready, known)


def test_a_pod_that_only_takes_its_time_waits_for_nothing() -> None:
    running = pod(
        condition("PodScheduled", 1),
        condition("PodReadyToStartContainers", 2),
        containerStatuses=[{"name": "engine", "state": {"running": {"startedAt": at(3)}}}],
    )
    assert waits_for(running, Evidence()) == ""


LOG = [
    "2026-01-01T00:01:41.000000123Z INFO non-default args",
    "2026-01-01T00:01:50.500000000Z Starting to load model",
    "2026-01-01T00:02:20.250000000Z Loading weights took 29 s",
    "2026-01-01T00:02:20.300000000Z Loading weights took 29 s",
    "2026-01-01T00:02:30Z KV cache size: 100 tokens",
]


def phase(line: str) -> str | None:
    marks = {"args": "import", "to load": "load", "took": "kv cache", "size": "warm-up"}
    return next((name for mark, name in marks.items() if mark in line), None)


def test_a_whole_start_phase_by_phase() -> None:
    weights = {"startedAt": at(10), "finishedAt": at(70), "exitCode": 0}
    one = pod(
        condition("PodScheduled", 4),
        condition("PodReadyToStartContainers", 7),
        condition("Ready", 170),
        initContainerStatuses=[{"name": "weights", "state": {"terminated": weights}}],
        containerStatuses=[{"name": "engine", "state": {"running": {"startedAt": at(100)}}}],
    )
    start = start_of(one, logged_phases(LOG, phase), T0 + 500)
    assert start.done == (
        Phase("schedule", 4.0),
        Phase("volume", 3.0),
        Phase("image", 3.0),
        Phase("weights", 60.0),
        Phase("image", 30.0),
        Phase("import", 10.5),  # from the container's start at 100 s to the load at 110.5 s
        Phase("load", 29.75),
        Phase("kv cache", 9.75),
        Phase("warm-up", 20.0),
    )
    assert (start.now, start.in_now) == ("", 0.0)


@pytest.mark.parametrize(
    ("one", "now", "seconds"),
    [
        (pod(), "schedule", 30.0),
        (pod(condition("PodScheduled", 4)), "volume", 26.0),
        (
            pod(condition("PodScheduled", 4), condition("PodReadyToStartContainers", 7)),
            "image",
            23.0,
        ),
        (
            pod(
                condition("PodScheduled", 4),
                condition("PodReadyToStartContainers", 7),
                initContainerStatuses=[
                    {"name": "weights", "state": {"running": {"startedAt": at(10)}}}
                ],
            ),
            "weights",
            20.0,
        ),
    ],
)
def test_the_phase_that_runs_and_for_how_long(
    one: dict[str, Any], now: str, seconds: float
) -> None:
    start = start_of(one, [], T0 + 30)
    assert (start.now, start.in_now) == (now, seconds)


def test_times_of_logs_have_nine_digits_and_lines_without_one_are_lines() -> None:
    assert stamped("2026-01-01T00:00:01.123456789Z a b") == (T0 + 1.123456, "a b")
    assert stamped("2026-01-01T00:00:01.5+00:00 a") == (T0 + 1.5, "a")
    assert stamped("Traceback (most recent call last):")[0] is None
