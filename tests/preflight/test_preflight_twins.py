"""Every rule against a mistake and its repaired twin: the clean manifest, which must be silent.

A case takes a clean manifest, writes one mistake into it and says which rules must strike, at which
line. That the manifest without the mistake has no finding at all is a test of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from preflight_kit import clean, ids, line_of, look

from headrace.preflight.rules.all_rules import RULES
from headrace.preflight.rules.evidence import EVIDENCE_RULES


class Case(NamedTuple):
    rule: str
    manifest: str
    right: str
    wrong: str
    at: str
    """Text on the line where the rule must strike."""
    also: tuple[str, ...] = ()
    """Rules that the same mistake breaks too."""


CHAT_LABELS = "metadata: {name: chat, namespace: llm, labels: {app: chat}}"
SHUTDOWN = "--shutdown-timeout=120"
QUEUE = 'query: sum(vllm:num_requests_waiting{namespace="llm",pod=~"chat-.*"})'
FALLBACK = "fallback: {failureThreshold: 3, replicas: 2, behavior: currentReplicasIfHigher}"
ASLEEP = 'type: external-push\n    metadata: {scalerAddress: "scaler.llm:9090", deployment: dev}'
PROM = "type: prometheus\n    metadata: {{serverAddress: http://p, query: {0}, threshold: '4', ignoreNullValues: 'false'}}"
GUARD = "\n  fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}"
RUNNING = PROM.format("'sum(vllm:num_requests_running{pod=~\"dev-.*\"})'")
WAITING = PROM.format("'sum(vllm:num_requests_waiting{pod=~\"dev-.*\"})'")
GATEWAY = 'sum(gateway_requests_pending{model="dev2"}) + sum(gateway_requests_running{model="dev2"}) or vector(0)'

CASES = [
    Case("HR101", "chat", "vllm-openai:v0.32.0", "vllm-openai", "image:", ("HR306",)),
    Case("HR101", "chat", "vllm-openai:v0.32.0", "vllm-openai:nightly", "nightly"),
    Case("HR102", "chat", "--max-num-seqs=64", "--swap-space=16", "--swap-space"),
    Case("HR102", "chat", "--max-num-seqs=64", "--max-num-sequences=64", "--max-num-sequences"),
    Case("HR102", "chat", "--max-num-seqs=64", "--task=generate", "--task"),
    Case("HR102", "chat", "--max-num-seqs=64", "--quantization=gguf", "--quantization"),
    Case(
        "HR103",
        "chat",
        "--enable-prefix-caching",
        "--disable-log-stats=false",
        "--disable-log-stats",
    ),
    Case("HR103", "chat", "--enable-prefix-caching", "--enable-prefix-caching=true", "=true"),
    Case(
        "HR104",
        "engines",
        "env: [{name: HF_TOKEN, v",
        "env: [{name: HUGGING_FACE_HUB_TOKEN, v",
        "HUGGING",
    ),
    Case(
        "HR105", "chat", CHAT_LABELS, CHAT_LABELS.replace("name: chat", "name: vllm"), "name: vllm,"
    ),
    Case("HR106", "engines", "--host 0.0.0.0 --port 30000", "--port 30000", "Qwen3-32B"),
    Case("HR106", "engines", "--host 0.0.0.0 --port 30000", "--host 127.0.0.1", "127.0.0.1"),
    Case("HR106", "engines", "[--host, 0.0.0.0, --port", "[--port", "[trtllm-serve"),
    Case("HR107", "engines", "\n              --enable-metrics", "", "Qwen3-32B"),
    Case("HR107", "chat", "--enable-prefix-caching", "--disable-log-stats", "--disable-log-stats"),
    Case("HR107", "engines", ", --config, /etc/trtllm/config.yaml", "", "[trtllm-serve"),
    Case("HR201", "chat", "mountPath: /models,", "mountPath: /other,", "vllm, serve"),
    Case(
        "HR201", "chat", "persistentVolumeClaim: {claimName: models}", "emptyDir: {}", "vllm, serve"
    ),
    Case("HR201", "engines", "mountPath: /data", "mountPath: /elsewhere", "--model-id"),
    Case("HR202", "chat", "--max-model-len=8192", "--max-model-len=131072", "131072"),
    Case("HR202", "engines", "--context-length 16384", "", "Qwen3-32B"),
    Case("HR203", "chat", "--max-model-len=8192", "--max-model-len=600000", "600000", ("HR202",)),
    Case("HR203", "chat", "Llama-3.1-8B-Instruct", "Llama-3.1-405B-Instruct", "--max-model-len"),
    Case(
        "HR204",
        "engines",
        "{name: shm, mountPath: /dev/shm}",
        "{name: shm, mountPath: /shm}",
        "--tp 2",
    ),
    Case(
        "HR204",
        "engines",
        "{name: shm, emptyDir: {medium: Memory}}",
        "{name: shm, emptyDir: {}}",
        "--tp 2",
    ),
    Case("HR205", "engines", "--tp 2", "--tp 3", "--tp 3", ("HR206",)),
    Case("HR206", "engines", "{nvidia.com/gpu: 2}", "{nvidia.com/gpu: 1}", "--tp 2"),
    Case("HR207", "many-nodes", "--tensor-parallel-size 8", "--tensor-parallel-size 16", "- >-"),
    Case(
        "HR208",
        "chat",
        "accessModes: [ReadOnlyMany]",
        "accessModes: [ReadWriteOnce]",
        "claimName: models",
    ),
    Case("HR209", "chat", 'nvidia.com/gpu: "1"', 'nvidia.com/gpu: "2"', "resources: {limits"),
    Case("HR301", "chat", "readinessProbe:", "x-readinessProbe:", "- name: vllm"),
    Case(
        "HR302",
        "chat",
        "readinessProbe: {httpGet: {path: /health, port: http},",
        "readinessProbe: {exec: {command: [cat, /tmp/up]},",
        "readinessProbe",
    ),
    Case("HR302", "engines", "path: /v2/health/ready", "path: /v2/health/live", "/v2/health/live"),
    Case(
        "HR302",
        "engines",
        "readinessProbe: {httpGet: {path: /health, port: http}, timeoutSeconds: 25}",
        "readinessProbe: {tcpSocket: {port: http}}",
        "tcpSocket",
    ),
    Case(
        "HR303",
        "chat",
        "readinessProbe: {httpGet: {path: /health, port: http}",
        "readinessProbe: {httpGet: {path: /health, port: 8080}",
        "8080",
    ),
    Case(
        "HR304",
        "chat",
        "failureThreshold: 120, periodSeconds: 10",
        "periodSeconds: 10",
        "startupProbe",
    ),
    Case("HR305", "engines", "port: http}, timeoutSeconds: 25}", "port: http}}", "readinessProbe"),
    Case("HR306", "chat", SHUTDOWN, "--seed=1", "image:"),
    Case("HR306", "chat", SHUTDOWN, "--shutdown-timeout=0", "--shutdown-timeout=0"),
    Case(
        "HR307",
        "chat",
        "terminationGracePeriodSeconds: 145",
        "terminationGracePeriodSeconds: 135",
        "135",
    ),
    Case(
        "HR307", "chat", "terminationGracePeriodSeconds: 145", "hostNetwork: false", "containers:"
    ),
    Case(
        "HR307",
        "engines",
        "terminationGracePeriodSeconds: 120",
        "terminationGracePeriodSeconds: 60",
        "terminationGracePeriodSeconds: 60",
    ),
    Case(
        "HR307",
        "engines",
        "terminationGracePeriodSeconds: 180",
        "terminationGracePeriodSeconds: 40",
        "terminationGracePeriodSeconds: 40",
    ),
    Case(
        "HR308",
        "chat",
        "maxUnavailable: 0, maxSurge: 1",
        "maxUnavailable: 1, maxSurge: 1",
        "maxUnavailable: 1",
    ),
    Case(
        "HR308",
        "chat",
        "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}",
        "type: Recreate",
        "Recreate",
    ),
    Case(
        "HR309",
        "chat",
        "maxUnavailable: 0, maxSurge: 1",
        "maxUnavailable: 0, maxSurge: 0",
        "maxSurge: 0",
    ),
    Case(
        "HR310",
        "chat",
        "spec: {maxUnavailable: 1, selector",
        "spec: {minAvailable: 2, selector",
        "minAvailable",
    ),
    Case(
        "HR310",
        "chat",
        "spec: {maxUnavailable: 1, selector",
        "spec: {maxUnavailable: 0, selector",
        "maxUnavailable: 0, selector",
    ),
    Case(
        "HR310",
        "chat",
        "selector: {matchLabels: {app: chat}}}",
        "selector: {matchLabels: {app: chap}}}",
        "app: chap",
    ),
    Case("HR311", "chat", "lifecycle:", "x-lifecycle:", "- name: vllm"),
    Case(
        "HR401",
        "chat",
        'sum(vllm:num_requests_waiting{namespace="llm",pod=~"chat-.*"})',
        'avg(DCGM_FI_DEV_GPU_UTIL{pod=~"chat-.*"})',
        "DCGM",
    ),
    Case("HR403", "chat", QUEUE, QUEUE.replace("sum(", "avg("), "avg("),
    Case(
        "HR403",
        "chat",
        "  - type: prometheus\n    metricType: Value",
        "  - type: prometheus",
        "query: >-",
    ),
    Case(
        "HR404",
        "chat",
        QUEUE,
        QUEUE.replace("vllm:num_requests_waiting", "sglang:num_queue_reqs"),
        "sglang:",
    ),
    Case("HR405", "chat", QUEUE, QUEUE.replace('"chat-.*"', '"other-.*"'), '"other-.*"'),
    Case("HR405", "chat", QUEUE, QUEUE.replace('"llm"', '"prod"'), '"prod"'),
    Case("HR407", "chat", QUEUE, QUEUE.replace("sum(", "(", 1), "query: (vllm:num"),
    Case("HR407", "chat", QUEUE, QUEUE.replace("sum(", "sum by (pod) (", 1), "sum by (pod)"),
    Case("HR411", "asleep", ASLEEP, RUNNING, "vllm:num", ("HR415",)),
    Case(
        "HR411",
        "asleep",
        ASLEEP,
        RUNNING.replace("dev-.*\"})'", "dev-.*\"}) or vector(0)'"),
        "vllm:num",
        ("HR415", "HR421"),
    ),
    Case("HR412", "asleep", ASLEEP, WAITING, "vllm:num", ("HR406", "HR411", "HR415")),
    Case(
        "HR413",
        "asleep",
        'threshold: "4"',
        'threshold: "4"\n      activationThreshold: "5"',
        'activationThreshold: "5"',
        (),
    ),
    Case(
        "HR414",
        "asleep",
        "cooldownPeriod: 900\n  initial",
        "cooldownPeriod: 30\n  initial",
        "cooldownPeriod: 30",
    ),
    Case(
        "HR414",
        "asleep",
        "cooldownPeriod: 900\n  initial",
        "cooldownPeriod: 300\n  initial",
        "cooldownPeriod: 300",
    ),
    Case(
        "HR415",
        "asleep",
        ASLEEP,
        PROM.format("'sum(gateway_requests_held) + sum(gateway_running)'"),
        "triggers:",
    ),
    Case(
        "HR416",
        "asleep",
        "maxReplicaCount: 2",
        "maxReplicaCount: 2\n  idleReplicaCount: 0",
        "idleReplicaCount",
    ),
    Case("HR416", "chat", "minReplicaCount: 2", "minReplicaCount: 9", "minReplicaCount: 9"),
    Case(
        "HR417",
        "asleep",
        "  initialCooldownPeriod: 900\n  triggers",
        "  triggers",
        "minReplicaCount: 0",
    ),
    Case(
        "HR421",
        "chat",
        'threshold: "5"\n      ignoreNullValues: "false"',
        'threshold: "5"',
        "num_requests_waiting",
    ),
    Case("HR422", "chat", FALLBACK, "fallback: {failureThreshold: 3, replicas: 2}", "fallback:"),
    Case(
        "HR423",
        "chat",
        "  minReplicaCount: 2",
        "  minReplicaCount: 2\n  cooldownPeriod: 600",
        "cooldownPeriod",
    ),
    Case(
        "HR425",
        "chat",
        "scaleTargetRef: {name: chat}",
        "scaleTargetRef: {name: chatt}",
        "chatt",
        (),
    ),
    Case(
        "HR426",
        "chat",
        "spec:\n  selector: {matchLabels: {app: chat}}\n  strategy",
        "spec:\n  replicas: 2\n  selector: {matchLabels: {app: chat}}\n  strategy",
        "replicas: 2",
    ),
    Case(
        "HR427",
        "chat",
        'threshold: "5"',
        'threshold: "5"\n      activationTreshold: "1"',
        "activationTreshold",
    ),
    Case(
        "HR501",
        "chat",
        "selector: {app: chat}\n",
        "selector: {app: chat, tier: web}\n",
        "tier: web",
        (),
    ),
    Case("HR428", "chat", ">= 0\n        or 0 * sum(vllm:num", "or sum(vllm:num", "query: >-"),
    Case("HR502", "chat", "targetPort: http}", "targetPort: web}", "targetPort: web"),
    Case("HR502", "chat", "targetPort: http}", "targetPort: 8080}", "targetPort: 8080"),
    Case(
        "HR503",
        "chat",
        CHAT_LABELS,
        "metadata: {name: chat, namespace: llm}",
        "selector: {matchLabels: {app: chat}}\n  endpoints",
        (),
    ),
    Case("HR503", "engines", "values: [trt]", "values: [tr]", "values: [tr]"),
    Case("HR504", "chat", "endpoints: [{port: http", "endpoints: [{port: metrics", "port: metrics"),
    Case(
        "HR504",
        "engines",
        "{port: http, path: /prometheus/metrics}",
        "{port: http}",
        "podMetricsEndpoints",
    ),
    Case(
        "HR506",
        "asleep",
        "metadata: {name: other-gateway, namespace: llm2}",
        "metadata: {name: dev, namespace: llm}",
        "x",
        (),
    ),
    Case(
        "HR601",
        "chat",
        "max by (pod) (vllm:kv_cache_usage_perc)",
        "max by (pod) (vllm:gpu_cache_usage_perc)",
        "record:",
    ),
    Case(
        "HR601",
        "chat",
        "vllm:generation_tokens_total[1m]",
        "vllm:time_per_output_token_seconds_sum[1m]",
        "time_per_output",
    ),
    Case(
        "HR601",
        "chat",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:time_per_output_token_seconds_bucket",
        "query: >-",
    ),
    Case(
        "HR603", "chat", "vllm:generation_tokens_total", "vllm:generaton_tokens_total", "generaton"
    ),
    Case(
        "HR701",
        "chat",
        "valueFrom: {secretKeyRef: {name: hub, key: token}}",
        "value: hf_abcdefghijklmnopqrstuvwxyz",
        "value: hf_",
    ),
    Case("HR701", "chat", "--enable-prefix-caching", "--api-key=sesame", "--api-key"),
]


def _name(case: Case) -> str:
    return f"{case.rule}-{CASES.index(case)}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_mistake_is_found_on_its_line(case: Case) -> None:
    text = clean(case.manifest)
    assert case.right in text
    found = look(text.replace(case.right, case.wrong, 1)).open
    assert case.rule in ids(found), [str(one) for one in found]
    if case.at != "x":
        wrong = text.replace(case.right, case.wrong, 1)
        lines = {one.line for one in found if one.rule.id == case.rule}
        marker = case.at.split("\n")[0]
        assert any(marker in wrong.splitlines()[line - 1] for line in lines), lines
    assert set(ids(found)) - {case.rule, *case.also} <= _consequences(case), [str(o) for o in found]


def _consequences(case: Case) -> set[str]:
    """Rules that may follow from the mistake of a case whose `also` is not the whole story."""
    loose = {
        "HR402": {"HR601"},
        "HR425": {"HR426"},
        "HR501": {"HR503", "HR504"},
        "HR506": {"HR425"},
    }
    return loose.get(case.rule, set())


def test_clean_manifests_are_silent() -> None:
    for name in ("chat", "engines", "many-nodes", "asleep", "not-ours"):
        assert [str(one) for one in look(clean(name)).findings] == []


def test_no_message_repeats_a_secret() -> None:
    text = clean("chat").replace("--enable-prefix-caching", "--api-key=sesame-open")
    text = text.replace(
        "valueFrom: {secretKeyRef: {name: hub, key: token}}", "value: hf_abcdefghijklmnopqrstuvwxyz"
    )
    found = look(text).open
    assert ids(found) == ["HR701", "HR701"]
    assert not any("sesame" in str(one) or "hf_abc" in str(one) for one in found)


def test_every_rule_has_a_case() -> None:
    files = {f"HR00{number}" for number in range(1, 7)} | {one.id for one in EVIDENCE_RULES}
    elsewhere = files | {"HR402", "HR406", "HR424", "HR505", "HR602", "HR604"}
    assert {rule.id for rule in RULES} == {case.rule for case in CASES} | elsewhere


def test_lines_are_from_one() -> None:
    assert line_of("a\nb", "b") == 2
