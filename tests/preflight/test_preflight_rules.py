"""Rules that need several objects, and those that must stay silent where little is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_kit import MANIFESTS, clean, ids, line_of, look

from headrace.preflight.check import preflight

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, all: llm}}}}
    spec:
      terminationGracePeriodSeconds: 200
      containers:
      - name: engine
        image: {image}
        {start}
        ports: [{{containerPort: {port}, name: http}}]
        lifecycle: {{preStop: {{sleep: {{seconds: 15}}}}}}
        readinessProbe: {{httpGet: {{path: /health, port: http}}, timeoutSeconds: 25}}
        {more}
---
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: all}\nspec: {selector: {all: llm}, ports: [{port: 80, targetPort: http}]}\n---\n"
SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{name: {target}}}
  minReplicaCount: {low}
  maxReplicaCount: 4
  triggers:
  - type: prometheus
    metadata: {{serverAddress: http://p, threshold: "1", ignoreNullValues: "false", query: '{query}'}}
---
"""
QUEUE = 'sum(vllm:num_requests_waiting{pod=~"a-.*"}) + sum(vllm:num_requests_running{pod=~"a-.*"})'


def deployment(
    name: str = "a",
    image: str = "vllm/vllm-openai:v0.32.0",
    start: str = "args: [--model=/m, --max-model-len=4096, --shutdown-timeout=60]",
    port: int = 8000,
    more: str = "",
) -> str:
    return DEPLOYMENT.format(name=name, image=image, start=start, port=port, more=more)


def scaled(name: str = "s", target: str = "a", low: int = 1, query: str = QUEUE) -> str:
    return SCALED.format(name=name, target=target, low=low, query=query)


def test_the_bare_parts_are_silent() -> None:
    text = deployment() + SERVICE + scaled()
    assert [str(one) for one in look(text).findings] == []


def test_two_scalers_on_one_target_and_one_in_two_overlays(tmp_path: Path) -> None:
    assert ids(look(deployment() + scaled() + scaled("t")).open) == ["HR424"]
    hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: Deployment, name: a}, maxReplicas: 3, metrics: []}\n"
    assert ids(look(deployment() + scaled() + hpa).open) == ["HR424"]
    (tmp_path / "base.yaml").write_text(deployment())
    for overlay in ("dev", "prod"):
        (tmp_path / f"{overlay}.yaml").write_text(scaled())
    assert ids(preflight([tmp_path]).open) == []


def test_variants_behind_one_service_but_not_copies_of_one() -> None:
    other = "args: [--model=/n, --max-model-len=4096, --shutdown-timeout=60]"
    longer = "args: [--model=/m, --max-model-len=32768, --shutdown-timeout=60]"
    assert ids(look(deployment() + deployment("b", start=other) + SERVICE).open) == ["HR505"]
    assert ids(look(deployment() + deployment("b", start=longer) + SERVICE).open) == ["HR505"]
    assert ids(look(deployment() + deployment("b") + SERVICE).open) == []


def test_completions_as_the_only_signal() -> None:
    query = 'sum(rate(vllm:request_success_total{pod=~"a-.*"}[5m]))'
    assert ids(look(deployment() + scaled(query=query)).open) == ["HR402"]
    asleep = look(deployment() + scaled(query=query, low=0)).open
    assert sorted(ids(asleep)) == ["HR411", "HR412", "HR414", "HR415", "HR417"]
    # rate() over 5 min is above 0 for 300 s after the last end; then KEDA's 300 s begin
    assert any("600 s of long answers look idle" in str(one) for one in asleep)


def test_an_empty_queue_takes_away_what_a_queue_brought() -> None:
    queue = 'sum(vllm:num_requests_waiting{pod=~"a-.*"})'
    found = look(deployment() + scaled(query=queue)).open
    assert ids(found) == ["HR406"]
    assert "taken away again after 300 s" in str(found[0])
    one = scaled(query=queue).replace("maxReplicaCount: 4", "maxReplicaCount: 1")
    assert ids(look(deployment() + one).open) == []  # nothing comes, nothing goes
    kept = "  - type: external\n    metadata: {scalerAddress: g}\n---"
    beside = scaled(query=queue).replace("---", kept)
    assert ids(look(deployment() + beside).open) == []


def test_no_cooldown_at_all_is_none_and_not_the_default() -> None:
    text = clean("asleep").replace("cooldownPeriod: 900\n  initial", "cooldownPeriod: 0\n  initial")
    found = look(text).open
    assert ids(found) == ["HR414"]
    assert "cooldown of 0 s" in str(found[0])


@pytest.mark.parametrize(
    "metric",
    [
        "{type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}}",
        "{type: ContainerResource, containerResource: {name: cpu, container: engine}}",
        "{type: Pods, pods: {metric: {name: DCGM_FI_DEV_GPU_UTIL}, target: {type: AverageValue, averageValue: 80}}}",
        "{type: External, external: {metric: {name: gpu_utilization}}}",
    ],
)
def test_an_hpa_on_utilisation(metric: str) -> None:
    hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: Deployment, name: a}, maxReplicas: 3, metrics: [%s]}\n"
    assert ids(look(deployment() + hpa % metric).open) == ["HR401"]
    waiting = "{type: Pods, pods: {metric: {name: vllm_num_requests_waiting}}}"
    assert ids(look(deployment() + hpa % waiting).open) == []


def test_what_wakes_and_what_keeps_awake() -> None:
    asleep = clean("asleep")
    external = '  - type: external-push\n    metadata: {scalerAddress: "scaler.llm:9090", deployment: dev}\n'
    engine = """  - type: prometheus
    metadata: {serverAddress: "http://p", threshold: "4", ignoreNullValues: "false",
      query: 'sum(vllm:num_requests_waiting{pod=~"dev-.*"})'}
"""
    assert external in asleep
    assert ids(look(asleep.replace(external, external + engine)).open) == []
    both = engine.replace("})'", "}) + sum(vllm:num_requests_running)'")
    assert ids(look(asleep.replace(external, both)).open) == ["HR415", "HR411"]
    equal = asleep.replace('threshold: "4"', 'threshold: "4"\n      activationThreshold: "4"')
    assert ids(look(equal).open) == []


def test_a_fallback_to_all_there_may_be_lowers_nothing() -> None:
    fallback = "fallback: {{failureThreshold: 3, replicas: {0}}}\n  triggers"
    for replicas, rules in ((3, ["HR422"]), (4, [])):
        text = deployment() + scaled().replace("triggers", fallback.format(replicas))
        assert ids(look(text).open) == rules


def test_a_dashboard_over_two_versions_may_use_the_names_of_either() -> None:
    board = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  d.json: |\n    {"expr": "vllm:kv_cache_usage_perc or vllm:gpu_cache_usage_perc"}\n---\n'
    old = deployment("b", image="vllm/vllm-openai:v0.8.5").replace(
        "    spec:\n", "    spec:\n      # headrace\n"
    )
    found = {one.rule.id for one in look(deployment() + old + board).open}
    assert not found & {"HR601", "HR602", "HR604"}
    assert "HR601" in ids(look(deployment() + board).open)


def test_a_formula_is_left_alone() -> None:
    text = scaled(query='avg(vllm:kv_cache_usage_perc{pod=~"a-.*"})')
    found = look(deployment() + text).open
    assert ids(found) == ["HR403"]
    assert "at the threshold is 1, also from 4" in str(found[0])  # the file's own maximum
    formula = text.replace(
        "  triggers", "  advanced: {scalingModifiers: {formula: x, target: '1'}}\n  triggers"
    )
    assert ids(look(deployment() + formula).open) == []


def test_a_query_that_adds_up_a_neighbour() -> None:
    everybody = "sum(vllm:num_requests_running)"
    assert ids(look(deployment() + scaled(query=everybody)).open) == []
    both = deployment() + deployment("b") + scaled(query=everybody)
    assert ids(look(both).open) == ["HR405"]
    named = both.replace("num_requests_running)", 'num_requests_running{model_name="m"})')
    assert ids(look(named).open) == []


def test_metrics_follow_the_version_of_the_target() -> None:
    query = 'sum(vllm:gpu_cache_usage_perc{pod=~"a-.*"})'
    wait = "lifecycle: {preStop: {exec: {command: [sh, -c, 'while curl -s :8000/metrics | grep num_requests_running; do sleep 1; done']}}}"
    old = deployment(
        image="vllm/vllm-openai:v0.8.5", start="args: [--model=/m, --max-model-len=4096]"
    )
    old = old.replace("lifecycle: {preStop: {sleep: {seconds: 15}}}", wait)
    assert ids(look(old + scaled(query=query)).open) == ["HR602"]
    assert ids(look(deployment() + scaled(query=query)).open) == ["HR601"]
    unknown = deployment(
        image="mirror/my-vllm:7",
        start="command: [vllm, serve, /m, --max-model-len=4096, --shutdown-timeout=60]",
    )
    assert ids(look(unknown + scaled(query=query)).open) == ["HR604"]
    new = 'sum(vllm:kv_cache_usage_perc{pod=~"a-.*"})'
    found = look(old + scaled(query=new)).open
    assert ids(found) == ["HR601"]
    assert "it came with 0.9.2" in found[0].message


def test_old_switches_took_a_value() -> None:
    text = deployment(
        image="vllm/vllm-openai:v0.6.5",
        start="args: [--model=/m, --max-model-len=4096, --enable-chunked-prefill=false]",
    )
    assert "HR103" not in ids(look(text).open)


@pytest.mark.parametrize(
    ("version", "flag", "there"),
    [
        ("0.17.1", "--swap-space=4", True),
        ("0.18.1", "--swap-space=4", False),
        ("0.10.0", "--num-scheduler-steps=8", True),
        ("0.10.2", "--num-scheduler-steps=8", False),
        ("0.16.0", "--disable-log-requests", True),
        ("0.17.1", "--disable-log-requests", False),
        ("0.12.0", "--task=generate", True),
        ("0.13.0", "--task=generate", False),
        ("0.17.1", "--shutdown-timeout=9", False),
        ("0.18.1", "--shutdown-timeout=9", True),
    ],
)
def test_flags_of_sampled_versions(version: str, flag: str, there: bool) -> None:
    text = deployment(image=f"vllm/vllm-openai:v{version}", start=f"args: [--model=/m, {flag}]")
    assert ("HR102" not in ids(look(text).open)) is there


def test_tgi_flags_by_version() -> None:
    start = "args: [--model-id, /data/m, --graceful-termination-timeout, '60']"
    for tag, there in (("2.4.0", False), ("3.3.7", True)):
        image = f"ghcr.io/huggingface/text-generation-inference:{tag}"
        found = ids(look(deployment(image=image, start=start, port=80)).open)
        assert ("HR102" not in found) is there


def test_flags_of_another_engine_after_a_change_of_image() -> None:
    """What nothing is spelt like is named without the hundreds of flags that there are."""
    image = "ghcr.io/huggingface/text-generation-inference:3.3.7"
    start = "args: [--model-id, /data/m, --tensor-parallel-size=1]"
    (found,) = (
        one
        for one in look(deployment(image=image, start=start, port=80)).open
        if one.rule.id == "HR102"
    )
    assert found.message == (
        "TGI 3.3.7 has no --tensor-parallel-size; the container exits with a usage error"
    )
    start = "args: [--model=/m, --max-model-len=4096, --shutdown-timeout=60, --max-best-of=1]"
    (found,) = look(deployment(start=start)).open
    assert found.message == (
        "vLLM 0.32.0 has no --max-best-of; the container exits with a usage error"
    )


def test_tensor_parallelism_needs_gpus_unless_nodes_share_it() -> None:
    start = "args: [--model=/m, --max-model-len=4096, --shutdown-timeout=60, -tp, '4']"
    shm = "volumeMounts: [{name: s, mountPath: /dev/shm}]\n        resources: {limits: {nvidia.com/gpu: 2}}"
    text = deployment(start=start, more=shm)
    assert ids(look(text).open) == ["HR206"]
    over = text.replace("'4']", "'4', --nnodes=2]")
    assert ids(look(over).open) == ["HR207"]


def test_unknown_things_say_nothing() -> None:
    unknown = deployment(image="mirror/our-engine:7", start="command: [/start.sh]")
    assert ids(look(unknown).findings) == []
    script = deployment(start="command: [/opt/serve.sh]", image="vllm/vllm-openai:v0.32.0")
    assert ids(look(script).findings) == []
    other = deployment(
        image="lmcache/vllm-openai:v0.3.9",
        start="command: [vllm, serve, /m, --max-model-len=1024, --shutdown-timeout=60]",
    )
    assert ids(look(other).findings) == []


def test_a_quota_that_cannot_hold_the_surge() -> None:
    quota = 'apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: q}}\nspec: {{hard: {{requests.nvidia.com/gpu: "{0}"}}}}\n---\n'
    gpu = deployment(more="resources: {limits: {nvidia.com/gpu: 1}}")
    gpu = gpu.replace(
        "spec:\n  selector",
        "spec:\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n  selector",
        1,
    )
    assert ids(look(gpu + scaled() + quota.format(4)).open) == ["HR309"]
    assert ids(look(gpu + scaled() + quota.format(5)).open) == []


def test_service_links_and_headless_services_are_no_trap() -> None:
    named = SERVICE.replace("name: all", "name: vllm")
    assert ids(look(deployment() + named).open) == ["HR105"]
    assert ids(look(deployment() + named.replace("spec: {", "spec: {clusterIP: None, ")).open) == []
    quiet = deployment().replace(
        "      containers", "      enableServiceLinks: false\n      containers"
    )
    assert ids(look(quiet + named).open) == []
    sglang = deployment(
        image="lmsysorg/sglang:v0.5.23",
        start="command: [python3, -m, sglang.launch_server, --model-path, /m, --host, 0.0.0.0, --enable-metrics, --context-length, '4096']",
        port=30000,
    )
    assert ids(look(sglang + named).open) == []


def test_a_percentage_of_few_replicas_takes_none_away() -> None:
    # 25 % of 3 is 0.75, rounded down 0; of 4 it is 1 (Kubernetes rounds maxUnavailable down).
    for replicas, rules in ((3, []), (4, ["HR308"])):
        text = deployment().replace(
            "spec:\n  selector", f"spec:\n  replicas: {replicas}\n  selector", 1
        )
        assert ids(look(text).open) == rules


def test_the_course_manifests() -> None:
    wrong = {file.stem: file.read_text("utf-8") for file in (MANIFESTS / "wrong").iterdir()}
    assert sorted(ids(look(wrong["serving-8b"]).open)) == sorted(
        [
            *("HR103", "HR306", "HR426"),  # the Deployment
            *("HR403", "HR406", "HR421", "HR423"),  # the scaler on the queue
            *("HR403", "HR421", "HR423", "HR424", "HR602"),  # the scaler on latency
            *("HR411", "HR412", "HR415", "HR416", "HR417", "HR421", "HR425"),  # the one that sleeps
        ]
    )
    assert sorted(ids(look(wrong["tgi-8b"]).open)) == ["HR104", "HR201", "HR301", "HR307", "HR311"]
    assert sorted(ids(look(wrong["serving-70b"]).open)) == ["HR201", "HR301", "HR306"]
    assert sorted(ids(look(wrong["exercise"]).open)) == [
        "HR306",
        "HR403",
        "HR406",
        "HR421",
        "HR423",
        "HR426",
        "HR503",
        "HR504",  # mending the label alone would leave Prometheus without a target
    ]


def test_the_tutorial_manifests() -> None:
    text = (MANIFESTS / "wrong" / "tutorials.yaml").read_text("utf-8")
    found = {(one.rule.id, one.line) for one in look(text).open}
    start = line_of(text, "--swap-space")
    for rule in ("HR102", "HR201", "HR202", "HR204", "HR205", "HR206"):
        assert (rule, start) in found
    assert ("HR401", line_of(text, "{name: cpu") - 1) in found
    assert ("HR604", line_of(text, "vllm:gpu_cache_usage_perc")) in found
    assert ("HR603", line_of(text, "vllm:num_request_waiting")) in found
    assert ("HR105", line_of(text, "{name: vllm,")) in found


def test_helm_output_and_lists_keep_their_lines() -> None:
    text = "---\n# Source: chart/templates/a.yaml\n" + clean("engines").replace(
        "--host 0.0.0.0", ""
    )
    found = look(text).open
    assert ids(found) == ["HR106"]
    assert "sglang.launch_server" in text.splitlines()[found[0].line - 2]


RAY = """
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: big}
spec:
  leaderWorkerTemplate:
    size: 2
    leaderTemplate:
      spec:
        terminationGracePeriodSeconds: 200
        containers:
        - name: leader
          image: vllm/vllm-openai:v0.32.0
          command:
          - sh
          - -c
          - "bash /opt/multi-node-serving.sh leader --ray_cluster_size=$(LWS_GROUP_SIZE);
             vllm serve /models/m --port 8080 --tensor-parallel-size 8 --pipeline_parallel_size 2
             --shutdown-timeout 120 && echo --unknown-flag"
          resources: {limits: {nvidia.com/gpu: "8"}}
          ports: [{containerPort: 8080}]
          lifecycle: {preStop: {sleep: {seconds: 15}}}
          readinessProbe: {tcpSocket: {port: 8080}}
          volumeMounts: [{mountPath: /dev/shm, name: dshm}]
        volumes: [{name: dshm, emptyDir: {medium: Memory}}]
    workerTemplate:
      spec:
        containers:
        - name: worker
          image: vllm/vllm-openai:v0.32.0
          command: [sh, -c, "bash /opt/multi-node-serving.sh worker --ray_address=$(LWS_LEADER_ADDRESS)"]
---
apiVersion: v1
kind: Service
metadata: {name: big}
spec:
  selector: {leaderworkerset.sigs.k8s.io/name: big, leaderworkerset.sigs.k8s.io/worker-index: "0"}
  ports: [{port: 8080}]
"""


def test_a_stage_that_lies_in_two_pods() -> None:
    """Ranks are shared out evenly over the Pods, wherever a stage ends."""
    ranks = "size 4 --pipeline_parallel_size 3 --nnodes 2"
    split = RAY.replace("size 8 --pipeline_parallel_size 2", ranks)
    (found,) = look(split).open
    assert found.rule.id == "HR207"
    assert "a Pod gets 6 ranks, and each layer is split over 4" in found.message
    whole = split.replace("size: 2\n", "size: 3\n").replace("--nnodes 2", "--nnodes 3")
    assert ids(look(whole).open) == []
    data = split.replace("--nnodes 2", "--nnodes 2 --data-parallel-size 2")
    assert ids(look(data).open) == []


def test_a_group_with_ray_and_a_script() -> None:
    assert [str(one) for one in look(RAY).findings] == []
    assert ids(look(RAY.replace("-size 8", "-size 16")).open) == ["HR207"]
    assert ids(look(RAY.replace("big, leader", "huge, leader")).open) == ["HR501"]


def test_workers_of_sglang_need_no_probe() -> None:
    start = "command: [python3, -m, sglang.launch_server, --model-path, /m, --host, 0.0.0.0, --enable-metrics, --tp, '2', --nnodes, '2', --node-rank, $(LWS_WORKER_INDEX), --dist-init-addr, $(LWS_LEADER_ADDRESS)]"
    pod = f"spec: {{containers: [{{name: s, image: 'lmsysorg/sglang:v0.5.23', {start}, volumeMounts: [{{name: s, mountPath: /dev/shm}}]}}], volumes: [{{name: s, emptyDir: {{medium: Memory}}}}]}}"
    text = f"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: s}}\nspec:\n  leaderWorkerTemplate:\n    size: 2\n    leaderTemplate:\n      {pod}\n    workerTemplate:\n      {pod}\n"
    found = look(text).open
    assert ids(found) == ["HR307", "HR311"]
    assert {one.line for one in found} == {8}


def test_a_key_from_a_secret_is_no_plain_key() -> None:
    env = "env: [{name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]"
    start = "args: [--model=/m, --max-model-len=4096, --shutdown-timeout=60, --api-key, {0}]"
    assert ids(look(deployment(start=start.format("$(KEY)"), more=env)).open) == []
    assert ids(look(deployment(start=start.format("KEY"), more=env)).open) == ["HR701"]
