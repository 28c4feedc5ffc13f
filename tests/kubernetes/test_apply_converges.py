"""Whatever ends an apply, and wherever: the next one brings the same cluster, and a third nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from twin_kit import SPACE, cluster_of, config_map, deployment, namespace

from headrace.kubernetes import names
from headrace.kubernetes.apply import Sent, apply
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.diff import Changes, Wanted, find_changes
from headrace.kubernetes.errors import ClusterError
from headrace.kubernetes.twin.requests import Asked
from headrace.kubernetes.twin.server import Twin
from headrace.kubernetes.twin.statuses import Refused, status

End = Literal["reset", "refused", "cancelled", "done but not heard"]
NAMES = ("a", "b", "c")


def fleet(members: dict[str, int], *, counted: bool) -> Wanted:
    """Return a fleet of deployments by name and image number."""
    objects: list[dict[str, Any]] = [namespace()]
    for name, image in members.items():
        work = deployment(name, **({"replicas": 2} if counted else {}))
        work["spec"]["template"]["spec"]["containers"][0]["image"] = f"engine:{image}"
        scaled = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name, "namespace": SPACE},
            "spec": {"scaleTargetRef": {"name": name}, "maxReplicaCount": image},
        }
        objects += [config_map(f"{name}-files", file=f"{image}"), work, scaled]
    for one in objects:
        one["metadata"]["labels"] = names.labels("shop", "x", "engine")
    return Wanted("shop", SPACE, tuple(objects))


async def run(cluster: Cluster, wanted: Wanted) -> Changes:
    changes = await find_changes(cluster, wanted)
    await apply(cluster, changes, Sent(), lambda *_: None)
    return changes


async def interrupted(twin: Twin, cluster: Cluster, wanted: Wanted, at: int, how: End) -> None:
    """Apply, and end it at its request number `at`."""
    task = asyncio.ensure_future(run(cluster, wanted))
    count = 0

    async def end(asked: Asked) -> None:
        nonlocal count
        count += 1
        if count <= at:
            return
        if how == "refused":
            raise Refused(status(503, "ServiceUnavailable", "no leader"), after=0)
        if how == "cancelled":
            task.cancel()
        if how == "done but not heard":
            with contextlib.suppress(Refused):
                twin.requests.handle(asked)
        raise ConnectionResetError

    twin.before = end
    with contextlib.suppress(ClusterError, asyncio.CancelledError):
        await task
    twin.before = None


def state(twin: Twin) -> list[dict[str, Any]]:
    """Return all objects, without what differs between two clusters with the same content."""
    found = twin.store.all()
    for one in found:
        for key in ("uid", "resourceVersion", "creationTimestamp", "generation"):
            one["metadata"].pop(key, None)
        for entry in one["metadata"]["managedFields"]:
            entry.pop("time")
    return sorted(found, key=lambda one: (one["kind"], one["metadata"]["name"]))


members = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), min_size=1)
interruptions = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["reset", "refused", "cancelled", "done but not heard"]),
    ),
    max_size=2,
)


@settings(max_examples=15)
@given(before=members, after=members, ends=interruptions, counted=st.booleans())
def test_an_apply_that_ended_anywhere_is_completed_by_the_next(
    before: dict[str, int], after: dict[str, int], ends: Sequence[tuple[int, End]], *, counted: bool
) -> None:
    async def proof() -> None:
        async with Twin() as straight, cluster_of(straight) as cluster:
            await run(cluster, fleet(before, counted=counted))
            await run(cluster, fleet(after, counted=False))
            expected = state(straight)
        async with Twin() as twin, cluster_of(twin, pauses=(0.0,)) as cluster:
            await run(cluster, fleet(before, counted=counted))
            for at, how in ends:
                await interrupted(twin, cluster, fleet(after, counted=False), at, how)
            await run(cluster, fleet(after, counted=False))
            assert state(twin) == expected
            there = {(one["kind"], one["metadata"]["name"]) for one in expected}
            assert there == {("Namespace", SPACE)} | {
                pair
                for name in after
                for pair in (
                    ("ConfigMap", f"{name}-files"),
                    ("Deployment", name),
                    ("ScaledObject", name),
                )
            }
            version = twin.store.version
            again = await run(cluster, fleet(after, counted=False))
            assert not again.any
            assert twin.store.version == version

    asyncio.run(proof())
