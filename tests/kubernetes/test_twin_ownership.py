"""The twin against the published rules of server-side apply (kubernetes.io, Server-Side Apply)."""

from __future__ import annotations

import copy
from typing import Any

import httpx2
import pytest
from lightkube.config.kubeconfig import KubeConfig
from twin_kit import SPACE, config_map, deployment, twin_and_cluster

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import ConflictError, FieldConflict, RejectedError
from headrace.kubernetes.resource import DEPLOYMENTS, JOBS, PODS, Resource
from headrace.kubernetes.twin.server import Twin

MAPS = Resource("", "v1", "ConfigMap", "configmaps")


def engine_of(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one["spec"]["template"]["spec"]["containers"][0]
    return found


async def test_applying_the_same_again_writes_nothing() -> None:
    async with twin_and_cluster() as (_, cluster):
        first = await cluster.apply(DEPLOYMENTS, deployment())
        again = await cluster.apply(DEPLOYMENTS, deployment())
    assert again == first
    assert first["metadata"]["generation"] == 1


async def test_a_dry_run_shows_what_would_be_and_changes_nothing() -> None:
    async with twin_and_cluster() as (_, cluster):
        first = await cluster.apply(DEPLOYMENTS, deployment())
        tried = await cluster.apply(DEPLOYMENTS, deployment(replicas=5), dry_run=True)
        after = await cluster.get(DEPLOYMENTS, "web", SPACE)
    assert tried["spec"]["replicas"] == 5
    assert after == first


async def test_a_field_that_another_manager_changed_is_a_conflict_with_its_name() -> None:
    async with twin_and_cluster() as (twin, cluster):
        live = await cluster.apply(DEPLOYMENTS, deployment(replicas=2))
        live["spec"]["replicas"] = 4
        twin.put(DEPLOYMENTS, live, "kubectl-edit")
        with pytest.raises(ConflictError) as caught:
            await cluster.apply(DEPLOYMENTS, deployment(replicas=2))
        assert caught.value.conflicts == (FieldConflict(".spec.replicas", "kubectl-edit"),)
        forced = await cluster.apply(DEPLOYMENTS, deployment(replicas=2), force=True)
        assert forced["spec"]["replicas"] == 2
        managers = [entry["manager"] for entry in forced["metadata"]["managedFields"]]
        assert managers == ["headrace"]  # kubectl-edit owned nothing else


async def test_the_same_value_is_shared_and_no_conflict() -> None:
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(MAPS, config_map("m", a="1"), manager="one")
        await cluster.apply(MAPS, config_map("m", a="1"), manager="two")
        left = await cluster.apply(MAPS, config_map("m"), manager="one")
        assert left["data"] == {"a": "1"}  # two still wants it
        gone = await cluster.apply(MAPS, config_map("m"), manager="two")
        assert not gone.get("data")


async def test_a_count_that_nobody_names_any_more_falls_back_to_one() -> None:
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(DEPLOYMENTS, deployment(replicas=3))
        left = await cluster.apply(DEPLOYMENTS, deployment())
    assert left["spec"]["replicas"] == 1


async def test_a_count_set_through_the_scale_subresource_stays_when_it_is_not_named() -> None:
    async with twin_and_cluster() as (twin, cluster):
        live = await cluster.apply(DEPLOYMENTS, deployment())
        live["spec"]["replicas"] = 3
        twin.store.change(DEPLOYMENTS, live, "kube-controller-manager", "scale")
        left = await cluster.apply(DEPLOYMENTS, deployment())
        assert left["spec"]["replicas"] == 3
        with pytest.raises(ConflictError) as caught:
            await cluster.apply(DEPLOYMENTS, deployment(replicas=1))
    assert caught.value.conflicts[0].manager == "kube-controller-manager (scale)"


async def test_lists_with_keys_merge_item_by_item_and_others_are_one_field() -> None:
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(DEPLOYMENTS, deployment())
        other = deployment()
        container = {"name": "engine", "env": [{"name": "B", "value": "2"}]}
        other["spec"]["template"]["spec"]["containers"] = [container]
        both = await cluster.apply(DEPLOYMENTS, other, manager="injector")
        assert [one["name"] for one in engine_of(both)["env"]] == ["B", "A"]
        assert engine_of(both)["args"] == ["--a", "--b"]
        mine = deployment()
        engine_of(mine)["env"] = []
        engine_of(mine)["args"] = ["--b"]
        after = await cluster.apply(DEPLOYMENTS, mine)
    assert [one["name"] for one in engine_of(after)["env"]] == ["B"]
    assert engine_of(after)["args"] == ["--b"]


async def test_a_conflict_inside_a_list_names_the_item() -> None:
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(DEPLOYMENTS, deployment(), manager="other")
        mine = copy.deepcopy(deployment())
        engine_of(mine)["image"] = "engine:2"
        with pytest.raises(ConflictError) as caught:
            await cluster.apply(DEPLOYMENTS, mine)
    (conflict,) = caught.value.conflicts
    assert conflict.field == '.spec.template.spec.containers[name="engine"].image'


async def test_what_cannot_change_is_refused_with_its_field() -> None:
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(DEPLOYMENTS, deployment())
        other = deployment()
        other["spec"]["selector"]["matchLabels"] = {"app": "web", "more": "x"}
        other["spec"]["template"]["metadata"]["labels"] = {"app": "web", "more": "x"}
        with pytest.raises(RejectedError, match=r"spec\.selector.*field is immutable"):
            await cluster.apply(DEPLOYMENTS, other)
        with pytest.raises(RejectedError, match=r"selector.*does not match template"):
            await cluster.apply(DEPLOYMENTS, deployment(selector={"matchLabels": {"x": "y"}}))


async def test_what_has_no_namespace_is_not_found() -> None:
    async with twin_and_cluster() as (_, cluster):
        one = deployment()
        one["metadata"]["namespace"] = "nowhere"
        with pytest.raises(RejectedError, match="namespace nowhere is not there"):
            await cluster.apply(DEPLOYMENTS, one)


async def test_the_status_of_a_conflict_has_the_published_shape() -> None:
    async with Twin() as twin:
        config = KubeConfig.from_dict(twin.kubeconfig()).get()
        assert config is not None
        async with Cluster(config) as cluster:
            await _conflict(twin, cluster)


async def _conflict(twin: Twin, cluster: Cluster) -> None:
    twin.put(Resource("", "v1", "Namespace", "namespaces", namespaced=False), _space())
    await cluster.apply(MAPS, config_map("m", a="1"), manager="one")
    async with httpx2.AsyncClient(base_url=twin.url) as http:
        answer = await http.patch(
            f"/api/v1/namespaces/{SPACE}/configmaps/m?fieldManager=two",
            json=config_map("m", a="2"),
            headers={
                "Authorization": "Bearer twin",
                "Content-Type": "application/apply-patch+yaml",
            },
        )
    assert answer.status_code == 409
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "one" using v1: .data.a',
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "one" using v1',
                    "field": ".data.a",
                }
            ]
        },
        "code": 409,
    }


def _space() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}


async def test_deletion_waits_for_finalizers_and_dependants() -> None:
    async with twin_and_cluster() as (twin, cluster):
        live = await cluster.apply(DEPLOYMENTS, deployment())
        owner = {"uid": live["metadata"]["uid"], "kind": "Deployment", "name": "web"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": SPACE, "ownerReferences": [owner]},
            "spec": {"containers": [], "terminationGracePeriodSeconds": 70},
        }
        twin.put(PODS, pod)
        twin.removal.slow = True
        await cluster.delete(DEPLOYMENTS, live, "Foreground")
        marked = await cluster.get(DEPLOYMENTS, "web", SPACE)
        assert marked is not None
        assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert "deletionTimestamp" in marked["metadata"]
        twin.removal.finish()
        assert await cluster.get(DEPLOYMENTS, "web", SPACE) is None
        assert await cluster.get(PODS, "p", SPACE) is None


async def test_an_object_of_the_same_name_made_since_is_not_deleted() -> None:
    async with twin_and_cluster() as (_, cluster):
        old = await cluster.apply(DEPLOYMENTS, deployment())
        await cluster.delete(DEPLOYMENTS, old)
        new = await cluster.apply(DEPLOYMENTS, deployment())
        await cluster.delete(DEPLOYMENTS, old)
        assert await cluster.get(DEPLOYMENTS, "web", SPACE) == new


async def test_a_foreign_finalizer_holds_an_object() -> None:
    async with twin_and_cluster() as (twin, cluster):
        one = config_map("m")
        one["metadata"]["finalizers"] = ["finalizer.keda.sh"]
        live = twin.put(MAPS, one)
        await cluster.delete(MAPS, live)
        held = await cluster.get(MAPS, "m", SPACE)
        assert held is not None
        assert held["metadata"]["finalizers"] == ["finalizer.keda.sh"]


async def test_a_job_keeps_its_template() -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pull", "namespace": SPACE},
        "spec": {"template": {"spec": {"containers": [{"name": "pull", "image": "a:1"}]}}},
    }
    async with twin_and_cluster() as (_, cluster):
        await cluster.apply(JOBS, job)
        other = copy.deepcopy(job)
        other["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"  # type: ignore[index]
        with pytest.raises(RejectedError, match=r"spec\.template.*immutable"):
            await cluster.apply(JOBS, other)


async def test_long_lists_come_in_pages() -> None:
    async with twin_and_cluster() as (twin, cluster):
        for number in range(501):
            twin.put(MAPS, config_map(f"m{number}"))
        found = await cluster.find(MAPS, SPACE)
    assert len(found.items) == 501
    assert {one["kind"] for one in found.items} == {"ConfigMap"}
