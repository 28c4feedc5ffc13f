"""Pods: GPUs and where they are, shared memory, volumes, rights. Figures are written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from render_kit import (
    EXAMPLES,
    GPU,
    LOCK,
    edited,
    engine_container,
    engine_pod,
    example,
    files,
    kinds,
    objects,
    one,
)

from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError
from headrace.kubernetes.objects.placement import product_labels
from headrace.kubernetes.options import Options, Storage
from headrace.kubernetes.render import render
from headrace.planning.settled import settled

TWO = "tensor_parallel: 2"
OVER_NODES = "tensor_parallel: 8\n    pipeline_parallel: 2"
EIGHT = f"{GPU}, per_node: 8, nodes: 2"


def _volume(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one_ for one_ in pod["volumes"] if one_["name"] == name)
    assert isinstance(found, dict)
    return found


def _terms(pod: dict[str, Any]) -> list[dict[str, Any]]:
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    return list(term["matchExpressions"])


def test_one_gpu(tmp_path: Path) -> None:
    made = files(tmp_path)
    assert engine_container(made)["resources"] == {
        "requests": {"cpu": "4", "memory": "18Gi", "nvidia.com/gpu": 1},  # 8 + 8 + 2 of /dev/shm
        "limits": {"memory": "18Gi", "nvidia.com/gpu": 1},
    }
    assert _terms(engine_pod(made)) == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100-80GB-HBM3"]},
        {"key": "nvidia.com/gpu.count", "operator": "Gt", "values": ["0"]},
    ]
    assert engine_pod(made)["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


def test_two_gpus_of_one_node(tmp_path: Path) -> None:
    made = files(tmp_path, deployment=TWO)
    shm = _volume(engine_pod(made), "shm")["emptyDir"]
    assert shm == {"medium": "Memory", "sizeLimit": "5Gi"}  # 1 + 2 x 2
    mount = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - in the container
    assert mount in engine_container(made)["volumeMounts"]
    limits = engine_container(made)["resources"]["limits"]
    assert limits == {"memory": "29Gi", "nvidia.com/gpu": 2}  # 8 + 2 x 8 + 5
    assert _terms(engine_pod(made))[1]["values"] == ["1"]


def test_products_are_named_as_nodes_label_them() -> None:
    assert "NVIDIA-A100-SXM4-80GB" in product_labels("A100-80GB")
    assert product_labels("NVIDIA-H200") == ["NVIDIA-H200"]
    assert product_labels("Our-Own-GPU") == ["Our-Own-GPU"]


def test_a_replica_over_nodes_is_a_group_of_pods(tmp_path: Path) -> None:
    made = files(tmp_path, hardware=EIGHT, deployment=OVER_NODES)
    assert "Deployment f-d" not in {
        f"{one_['kind']} {one_['metadata']['name']}" for one_ in objects(made) if "metadata" in one_
    }
    group = one(made, "LeaderWorkerSet", "f-d-group")["spec"]["leaderWorkerTemplate"]
    assert (group["size"], group["restartPolicy"]) == (2, "RecreateGroupOnPodRestart")
    leader, worker = (
        group[which]["spec"]["containers"][0] for which in ("leaderTemplate", "workerTemplate")
    )
    for pod in (leader, worker):
        assert pod["resources"]["limits"]["nvidia.com/gpu"] == 8
        args = pod["args"]
        assert args[args.index("--node-rank") + 1] == "$(LWS_WORKER_INDEX)"
        assert args[args.index("--master-addr") + 1] == "$(LWS_LEADER_ADDRESS)"
        assert args[args.index("--nnodes") + 1] == "2"
    assert "--headless" in worker["args"]
    assert "--headless" not in leader["args"]
    probes = {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"}
    assert probes <= leader.keys()
    assert not probes & worker.keys()
    assert one(made, "Service", "f-d")["spec"]["selector"]["headrace.dev/role"] == "leader"


@pytest.mark.parametrize(
    ("hardware", "layout", "words"),
    [
        (GPU, (8, 2), "a replica has 16 GPUs, which are on 2 nodes of 8: say nodes: 2"),
        (f"{GPU}, nodes: 2", (4, 5), "a replica has 20 GPUs, which are on 3 nodes of 8"),
        (f"{GPU}, nodes: 2", (16, 1), "each layer is shared by 16 GPUs, and a node has 8"),
        ("kind: gpu, product: T4", (8, 1), "each layer is shared by 8 GPUs, and a node has 4"),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "trtllm"])
def test_nodes_that_the_file_does_not_give_are_refused(
    tmp_path: Path, hardware: str, layout: tuple[int, int], words: str, engine: str
) -> None:
    how = "tensor_parallel: {}\n    pipeline_parallel: {}".format(*layout)
    with pytest.raises(FleetError, match=f"fleet.yaml:5: hardware.h: deployments.d: {words}"):
        files(tmp_path, hardware=hardware, deployment=f"{how}\n    engine: {{name: {engine}}}")


@pytest.mark.parametrize(
    ("layout", "pods", "gpus"),
    [
        ((4, 3), 3, 4),  # 12 GPUs: two Pods of 6 would split the second stage
        ((4, 5), 5, 4),  # 20 ranks cannot be shared out over the 3 nodes that hold them
        ((2, 6), 2, 6),
        ((8, 3), 3, 8),
        ((1, 9), 3, 3),
    ],
)
def test_each_pod_of_a_replica_has_whole_stages_and_as_many_as_the_others(
    tmp_path: Path, layout: tuple[int, int], pods: int, gpus: int
) -> None:
    how = "tensor_parallel: {}\n    pipeline_parallel: {}".format(*layout)
    made = files(tmp_path, hardware=f"{GPU}, per_node: 8, nodes: 3", deployment=how)
    group = one(made, "LeaderWorkerSet", "f-d-group")["spec"]["leaderWorkerTemplate"]
    assert group["size"] == pods
    for which in ("leaderTemplate", "workerTemplate"):
        (pod,) = group[which]["spec"]["containers"]
        assert pod["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert pod["args"][pod["args"].index("--nnodes") + 1] == str(pods)


def test_the_group_has_a_name_of_its_own_because_lws_makes_a_service_of_it(tmp_path: Path) -> None:
    made = files(tmp_path, hardware=EIGHT, deployment=OVER_NODES)
    services = {one_["metadata"]["name"] for one_ in objects(made) if one_["kind"] == "Service"}
    groups = {
        one_["metadata"]["name"] for one_ in objects(made) if one_["kind"] == "LeaderWorkerSet"
    }
    assert not services & groups


def test_without_lws_a_replica_over_nodes_is_refused_with_its_line(tmp_path: Path) -> None:
    options = Options(without=frozenset({"lws"}))
    with pytest.raises(
        FleetError, match=r"fleet.yaml:9: deployments.d.hardware: .*LeaderWorkerSet"
    ):
        files(tmp_path, options, hardware=EIGHT, deployment=OVER_NODES)
    files(tmp_path, options)  # nobody else needs it


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        (None, "so a rollout needs 2 GPUs more; with none free, the new Pod stays Pending"),
        (8, "3 replicas and one more are 8 of 8 GPUs"),
        (7, "NOT ENOUGH GPUS for a rollout at full scale: 3 replicas and one more need 8"),
    ],
)
def test_surge_is_said_against_the_pool(tmp_path: Path, gpus: int | None, words: str) -> None:
    options = Options(gpus={} if gpus is None else {"h": gpus})
    made = files(tmp_path, options, deployment=f"{TWO}\n    scaling: {{min: 1, max: 3}}")
    strategy = one(made, "Deployment", "f-d")["spec"]["strategy"]
    assert strategy == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    (text,) = (file.text for file in made if file.path == "20-d-engine.yaml")
    assert words in " ".join(line.strip(" #") for line in text.splitlines())


def test_weights_come_by_a_job_and_are_read_only_for_engines(tmp_path: Path) -> None:
    made = files(tmp_path)
    (job,) = (one_ for one_ in objects(made) if one_["kind"] == "Job")
    (puller,) = job["spec"]["template"]["spec"]["containers"]
    assert puller["args"] == ["weights", "pull", "/etc/headrace/fleet.yaml", "--deployment", "d"]
    token = {"name": "hf-token", "key": "token", "optional": True}
    assert {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": token}} in puller["env"]
    (claim,) = (one_ for one_ in objects(made) if one_["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    # 16,060,523,496 bytes are 14.957 GiB; twice and a tenth: 32.9
    assert claim["spec"]["resources"]["requests"]["storage"] == "33Gi"
    pod = engine_pod(made)
    assert _volume(pod, "weights")["persistentVolumeClaim"] == {
        "claimName": claim["metadata"]["name"],
        "readOnly": True,
    }
    mount = {"name": "weights", "mountPath": "/models", "readOnly": True}
    assert mount in engine_container(made)["volumeMounts"]


def test_engines_start_offline_from_the_folder_that_the_lock_names(tmp_path: Path) -> None:
    made = files(tmp_path)
    (wait,) = engine_pod(made)["initContainers"]
    (manifest,) = wait["args"]
    folder = manifest.removesuffix("/.headrace.json")
    assert folder.startswith("/models/weights/")
    assert engine_container(made)["args"][0] == folder
    env = {one_["name"]: one_.get("value") for one_ in engine_container(made)["env"]}
    assert env["HF_HUB_OFFLINE"] == "1"
    assert "HF_TOKEN" not in env


def test_other_weights_are_another_job_and_another_folder(tmp_path: Path) -> None:
    def names(lock_letter: str) -> tuple[str, str]:
        made = files(tmp_path, lock=LOCK.replace("b" * 64, lock_letter * 64))
        (job,) = (one_ for one_ in objects(made) if one_["kind"] == "Job")
        return job["metadata"]["name"], engine_container(made)["args"][0]

    first, second = names("b"), names("c")
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_what_is_not_locked_is_said_to_be_not_ready(tmp_path: Path) -> None:
    (text,) = (file.text for file in files(tmp_path, lock=None) if file.path == "21-d-weights.yaml")
    assert text.count("NOT READY TO APPLY: the lock file lacks m,") == 2


def test_node_local_weights_are_pulled_by_the_first_pod_of_a_node(tmp_path: Path) -> None:
    made = files(tmp_path, Options(storage=Storage("node-local")))
    assert not {"Job", "PersistentVolumeClaim"} & kinds(made)
    pod = engine_pod(made)
    (pull,) = pod["initContainers"]
    assert pull["args"][:2] == ["weights", "pull"]
    assert pull["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert _volume(pod, "weights")["hostPath"]["type"] == "DirectoryOrCreate"
    assert engine_container(made)["securityContext"]["runAsNonRoot"] is True
    labels = one(made, "Namespace", "f")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_a_storage_class_is_used_where_it_is_named(tmp_path: Path) -> None:
    made = files(tmp_path, Options(storage=Storage("rwx", "fast-nfs")))
    assert (
        one(made, "PersistentVolumeClaim", "f-d-weights")["spec"]["storageClassName"] == "fast-nfs"
    )


def _pods(made: Any) -> list[dict[str, Any]]:
    templates = []
    for one_ in objects(made):
        spec = one_.get("spec", {})
        inside = spec.get("leaderWorkerTemplate", {})
        templates += [spec["template"]] if "template" in spec else []
        templates += [inside[k] for k in ("leaderTemplate", "workerTemplate") if k in inside]
    return [template["spec"] for template in templates]


@pytest.mark.parametrize(
    "fleet",
    ["laptop.yaml", "twin.yaml", "kubernetes/five-engines.yaml", "kubernetes/large-405b.yaml"],
)
def test_no_pod_may_more_than_it_needs(fleet: str) -> None:
    made = example(fleet)
    pods = _pods(made)
    assert len(pods) >= 3
    for pod in pods:
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        owner = pod.get("serviceAccountName", "")
        assert pod["automountServiceAccountToken"] is owner.endswith(("-gateway", "-scaler"))
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] > 0
            assert not container["image"].endswith(":latest")
    levels = one(made, "Namespace", made[0].objects[0]["metadata"]["name"])["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_mount_has_its_volume_and_no_volume_is_idle() -> None:
    for fleet in ("laptop.yaml", "kubernetes/five-engines.yaml", "kubernetes/large-405b.yaml"):
        for storage in (Storage(), Storage("node-local")):
            for pod in _pods(example(fleet, Options(storage=storage))):
                names = [volume["name"] for volume in pod["volumes"]]
                containers = (*pod.get("initContainers", ()), *pod["containers"])
                used = {m["name"] for container in containers for m in container["volumeMounts"]}
                assert len(names) == len(set(names))
                assert used == set(names)


def test_files_of_an_engine_are_mounted_each_by_itself() -> None:
    made = example("kubernetes/five-engines.yaml")
    data = one(made, "ConfigMap", "five-triton-a-files")["data"]
    spec = one(made, "Deployment", "five-triton-a")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mounts = [one_ for one_ in container["volumeMounts"] if one_["name"] == "files"]
    assert {one_["subPath"] for one_ in mounts} == set(data)
    assert any(one_["mountPath"].endswith("/config.pbtxt") for one_ in mounts)


def test_no_service_is_named_like_an_engine() -> None:
    for fleet in ("laptop.yaml", "kubernetes/five-engines.yaml"):
        for one_ in objects(example(fleet)):
            if one_["kind"] == "Service":
                assert one_["metadata"]["name"] not in {"vllm", "tgi", "triton", "trtllm", "sglang"}


def test_a_port_is_listed_once() -> None:
    for one_ in objects(example("kubernetes/five-engines.yaml")):
        if one_["kind"] == "Deployment":
            for container in one_["spec"]["template"]["spec"]["containers"]:
                numbers = [port["containerPort"] for port in container["ports"]]
                names = {port["name"] for port in container["ports"]}
                assert len(numbers) == len(set(numbers))
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    check = container.get(probe, {})
                    assert (
                        check.get("httpGet", check.get("tcpSocket", {"port": "grpc"}))["port"]
                        in names
                    )


def test_budgets_never_block_a_rollout(tmp_path: Path) -> None:
    for one_ in objects(files(tmp_path)):
        if one_["kind"] == "PodDisruptionBudget":
            assert one_["spec"]["maxUnavailable"] == 1
            assert "minAvailable" not in one_["spec"]


def test_a_file_of_one_machine_is_refused(tmp_path: Path) -> None:
    source = ("hf://meta-llama/Llama-3.1-8B-Instruct@main", "file:///srv/m")
    with pytest.raises(FleetError, match=r"models.m.weights: file:///srv/m is a file of one mach"):
        edited(tmp_path, source)


def _rename(name: str) -> tuple[tuple[str, str], ...]:
    return ("  d:\n", f"  {name}:\n"), ("deployment: d}", f"deployment: {name}}}")


def test_two_objects_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"Deployment f-gateway would be in .*; rename a deploym"):
        edited(tmp_path, *_rename("gateway"))


def test_a_name_that_kubernetes_has_no_room_for_is_refused(tmp_path: Path) -> None:
    edited(tmp_path, *_rename("a" * 46))
    with pytest.raises(FleetError, match="longer than the 48 letters"):
        edited(tmp_path, *_rename("a" * 47))


def test_reasons_of_the_plan_stand_above_its_flags() -> None:
    file = load_fleet(EXAMPLES / "kubernetes" / "chat-8b.yaml")
    (chosen,) = (one_ for one_ in settled(file).chosen["chat"] if one_.name == "max_num_seqs")
    (text,) = (one_.text for one_ in render(file, Options()) if "engine" in one_.path)
    above, flag, _ = text.partition("- --max-num-seqs\n")
    comment = above.rsplit("\n        - ", 1)[1]
    assert flag
    assert f"max_num_seqs: {chosen.brief}" in " ".join(
        line.strip(" #") for line in comment.splitlines()
    )
