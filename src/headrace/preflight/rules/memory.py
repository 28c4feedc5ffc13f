"""Rules about weights, memory and parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.preflight.engine import Engine
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.model import (
    architecture,
    asked_length,
    length_node,
    long_context,
    room,
    says_length,
)
from headrace.preflight.node import Node
from headrace.preflight.scene import Scene
from headrace.preflight.workload import Workload

_KEPT = (
    "persistentVolumeClaim", "hostPath", "nfs", "csi", "image", "cephfs", "iscsi", "azureFile",
    "glusterfs", "fc", "rbd", "unknown",
)  # fmt: skip
"""Kinds of volumes that outlive a Pod; `unknown`: one that the manifest does not show."""
_OTHER_PARALLELISM = (
    "data-parallel-size", "data-parallel-size-local", "dp-size", "dp", "ep-size",
    "config", "prefill-context-parallel-size",
)  # fmt: skip
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path in the container


def _downloads(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if not _from_hub(engine):
            continue
        path = _cache_path(engine)
        volume = workload.mount(engine.container, path)
        if _lasting(volume) or _elsewhere(workload, engine):
            continue
        if volume is not None and _filled_before(workload, volume):
            continue
        what = "no volume is mounted there" if volume is None else "the volume there is new too"
        message = f"{engine.model} is downloaded at every start into {path}: {what}"
        yield Hit(workload.resource, engine.model_node, message)


def _lasting(volume: Node | None) -> bool:
    return volume is not None and any(volume[kind] for kind in _KEPT)


def _elsewhere(workload: Workload, engine: Engine) -> bool:
    """Whether a volume is mounted where another user's home would have its cache."""
    paths = [one["mountPath"].text for one in engine.container["volumeMounts"].each()]
    caches = [path for path in paths if "/.cache" in path and not path.startswith("/root/")]
    return any(_lasting(workload.mount(engine.container, path)) for path in caches)


def _from_hub(engine: Engine) -> bool:
    """Whether the model is a name on the hub, read with everything in sight."""
    model = engine.model or ""
    named = model.count("/") == 1 and not model.startswith(("/", ".", "$", "s3:", "gs:", "{"))
    offline = engine.env.get("HF_HUB_OFFLINE") == "1" or engine.env.get("HF_HUB_OFFLINE") == "true"
    return named and "://" not in model and not offline and engine.name != "triton"


def _cache_path(engine: Engine) -> str:
    if given := engine.arguments.value("download-dir", "huggingface-hub-cache"):
        return given
    env = engine.env
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if name in env:
            return env[name]
    if engine.name == "tgi":
        return env.get("HF_HOME", "/data")
    home = env.get("HF_HOME") or f"{env.get('XDG_CACHE_HOME') or _home(engine)}/huggingface"
    return f"{home}/hub"


def _home(engine: Engine) -> str:
    return f"{engine.env.get('HOME', '/root').rstrip('/')}/.cache"


def _filled_before(workload: Workload, volume: Node) -> bool:
    """Whether an init container writes to the volume first, from a place of its own."""
    name = volume["name"].text
    return any(
        mount["name"].text == name
        for one in workload.pod["initContainers"].each()
        for mount in one["volumeMounts"].each()
    )


DOWNLOADS = Rule(
    id="HR201",
    severity="error",
    title="weights downloaded at every start",
    what="Each new replica fetches everything again: minutes more of a cold start, and no start at"
    " all when the hub is slow, limits the rate or is down.",
    fix="mount a PersistentVolumeClaim or a node-local cache at the cache path, filled by a Job",
    fact=Fact(
        "A baseline that re-downloads and recompiles at every start was reported as the main"
        " part of"
        " its cold starts.",
        "llm-d/llm-d#2216",
    ),
    check=_downloads,
)


def _at_maximum(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        model = architecture(engine)
        if model is None or engine.opaque or engine.name not in ("vllm", "sglang"):
            continue
        asked = asked_length(engine)
        if asked is None and says_length(engine):
            continue
        held = room(workload, engine)
        if message := long_context(asked, model, held.fit if held and held.named else None):
            yield Hit(workload.resource, length_node(engine), message)


AT_MAXIMUM = Rule(
    id="HR202",
    severity="warning",
    title="context length at the model's maximum",
    what="The engine must keep room for one request of that length or does not start, and one long"
    " request pushes out everybody else's.",
    fix="set it from observed prompt and answer lengths; long documents get a deployment of their"
    " own",
    fact=Fact(
        "vLLM refuses to start unless one request of max-model-len fits; a generated deployment"
        " with"
        " 131,072 died of it in a crash loop.",
        "vLLM 0.32 v1/core/kv_cache_utils.py; ai-dynamo/dynamo#10104",
    ),
    check=_at_maximum,
)


def _too_large(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        held = room(workload, engine)
        if held is None or not held.fit.impossible or _short_of_gpus(workload, engine):
            continue
        on = "" if held.named else " (the largest GPU that is known; the manifest names none)"
        yield Hit(workload.resource, length_node(engine), f"{engine.model} {held.fit.why}{on}")


TOO_LARGE = Rule(
    id="HR203",
    severity="error",
    title="more than the memory holds",
    what="The engine exits at start: no memory is left for one request, or for the weights.",
    fix="lower --max-model-len, use more or larger GPUs (--tensor-parallel-size), or quantized"
    " weights",
    fact=Fact(
        "requested = memory * gpu-memory-utilization; less weights, activation peak and graphs, the"
        " rest are KV blocks, and one request of max-model-len must fit. Even with every assumption"
        " off to the good side it does not.",
        "vLLM 0.32 v1/worker/gpu_worker.py and v1/core/kv_cache_utils.py; Headrace's plan",
    ),
    check=_too_large,
)


def _shm(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.tensor == 1 or workload.pod["hostIPC"].true:
            continue
        volume = workload.mount(engine.container, SHARED_MEMORY)
        if volume is not None and (not volume["emptyDir"] or _in_memory(volume)):
            continue
        what = (
            f"{SHARED_MEMORY} is the runtime's 64 MiB"
            if volume is None
            else f"{SHARED_MEMORY} is on a disk"
        )
        message = f"{engine.tensor} ranks share memory, and {what}"
        yield Hit(workload.resource, engine.tensor_node, message)


def _in_memory(volume: Node) -> bool:
    return volume.at("emptyDir", "medium").text == "Memory"


SHM = Rule(
    id="HR204",
    severity="error",
    title="no shared memory for tensor parallelism",
    what="NCCL fails at start or at the first large all-reduce, with a bus error or `No space left"
    " on device`.",
    fix="mount an emptyDir with medium: Memory at /dev/shm",
    fact=Fact(
        "vLLM, SGLang, TGI and Triton need /dev/shm for several ranks; TGI's README asks for 1 GiB,"
        " Triton's for 2 GiB, container runtimes give 64 MiB.",
        "READMEs of TGI and tensorrtllm_backend; vLLM documentation",
    ),
    check=_shm,
)


def _heads(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        model = architecture(engine)
        if model and model.heads and model.heads % engine.tensor:
            message = (
                f"{engine.model} has {model.heads} heads, not to be split over {engine.tensor}"
            )
            yield Hit(workload.resource, engine.tensor_node, message)


HEADS = Rule(
    id="HR205",
    severity="error",
    title="heads that do not divide",
    what="The engine exits at start.",
    fix="choose a tensor parallelism that divides the number of attention heads",
    fact=Fact(
        "Total number of attention heads must be divisible by tensor parallel size.",
        "vllm/config/model.py verify_with_parallel_config",
    ),
    check=_heads,
)


def _short_of_gpus(workload: Workload, engine: Engine) -> bool:
    """Whether the Pod has fewer GPUs than its ranks need, on one node."""
    gpus = workload.gpus(engine.container)
    if gpus is None or _over_nodes(workload, engine) or engine.pipeline is None:
        return False
    return engine.tensor * engine.pipeline > gpus


def _over_nodes(workload: Workload, engine: Engine) -> bool:
    ray = engine.arguments.value("distributed-executor-backend") == "ray"
    scripted = any("ray" in word.text for word in engine.words)
    kinds = ("LeaderWorkerSet", "RayService", "RayCluster", "MPIJob")
    return (
        workload.nodes > 1
        or workload.resource.kind in kinds
        or engine.arguments.has("nnodes", "dist-init-addr", "master-addr")
        or ray
        or scripted
    )


def _gpus(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.name != "triton" and _short_of_gpus(workload, engine):
            ranks = engine.tensor * (engine.pipeline or 1)
            gpus = workload.gpus(engine.container)
            message = f"{ranks} ranks need {ranks} GPUs, the container has {gpus}"
            yield Hit(workload.resource, engine.tensor_node, message)


def _idle(workload: Workload, engine: Engine, gpus: int) -> bool:
    data = engine.arguments.has(*_OTHER_PARALLELISM, "nnodes")
    known = engine.name in ("vllm", "sglang") and not engine.opaque and not data
    ranks = engine.tensor * (engine.pipeline or 1)
    return known and ranks < gpus and not _over_nodes(workload, engine)


GPUS = Rule(
    id="HR206",
    severity="error",
    title="fewer GPUs than ranks",
    what="The engine exits at start, or waits for ever for ranks that no node has.",
    fix="make nvidia.com/gpu equal to tensor parallelism times pipeline parallelism; over nodes,"
    " use"
    " a LeaderWorkerSet",
    fact=Fact(
        "One rank takes one GPU; without --nnodes or Ray all ranks are processes of one Pod.",
        "vLLM and SGLang documentation, parallelism",
    ),
    check=_gpus,
)


def _idle_gpus(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        gpus = workload.gpus(engine.container)
        if gpus is not None and _idle(workload, engine, gpus):
            ranks = engine.tensor * (engine.pipeline or 1)
            message = f"the container has {gpus} GPUs and uses {ranks}"
            yield Hit(workload.resource, engine.container["resources"], message)


IDLE_GPUS = Rule(
    id="HR209",
    severity="warning",
    title="more GPUs than ranks",
    what="The others are reserved, paid for and idle.",
    fix="set --tensor-parallel-size to the GPUs, or ask for fewer GPUs",
    fact=Fact(
        "vLLM and SGLang use one GPU unless told otherwise.", "vLLM 0.33 and SGLang 0.5.23 defaults"
    ),
    check=_idle_gpus,
)


def _split(workload: Workload, engine: Engine) -> str:
    """Say how a Pod comes to have only a part of a layer's ranks; empty where none does."""
    given, gpus = engine.arguments, workload.gpus(engine.container) or 0
    if engine.tensor > gpus:
        return f"each layer is split over {engine.tensor} GPUs, and a Pod has {gpus}"
    each = engine.tensor * (engine.pipeline or workload.nodes) / workload.nodes
    if not given.has("nnodes") or given.has(*_OTHER_PARALLELISM) or each % engine.tensor == 0:
        return ""
    return f"a Pod gets {each:.3g} ranks, and each layer is split over {engine.tensor}"


def _across(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if not workload.gpus(engine.container) or not _over_nodes(workload, engine):
            continue
        if how := _split(workload, engine):
            message = f"{how}: every layer waits for the network twice"
            yield Hit(workload.resource, engine.tensor_node, message)


ACROSS = Rule(
    id="HR207",
    severity="warning",
    title="tensor parallelism across nodes",
    what="Two all-reduces for each layer and token go over the network, some ten to forty times"
    " slower than NVLink: TPOT multiplies.",
    fix="keep tensor parallelism inside a Pod, and use pipeline parallelism over nodes",
    fact=Fact(
        "The recipe for several nodes is tensor parallelism of a node's GPUs and pipeline"
        " parallelism"
        " of $(LWS_GROUP_SIZE).",
        "docs.vllm.ai, LeaderWorkerSet",
    ),
    check=_across,
)


def _shared_claims(scene: Scene) -> Iterator[Hit]:
    claims = {one.name: one for one in scene.of_kind("PersistentVolumeClaim")}
    for workload in scene.serving:
        _, most = scene.bounds(workload)
        if most <= 1 or workload.resource.kind == "StatefulSet":
            continue
        for volume in workload.pod["volumes"].each():
            claim = claims.get(volume.at("persistentVolumeClaim", "claimName").text)
            modes = {one.text for one in claim.spec["accessModes"].each()} if claim else set()
            if modes and modes <= {"ReadWriteOnce", "ReadWriteOncePod"}:
                message = (
                    f"up to {most} replicas mount the claim {claim.name if claim else ''}, which"
                    " one"
                    " node may mount at a time: replicas on other nodes stay in ContainerCreating"
                )
                yield Hit(workload.resource, volume, message)


SHARED_CLAIMS = Rule(
    id="HR208",
    severity="warning",
    title="one-node volume for several replicas",
    what="Scaling out stops at the first node, and a rollout's extra Pod waits for a volume.",
    fix="use ReadWriteMany or ReadOnlyMany, or a node-local cache",
    fact=Fact(
        "ReadWriteOnce: the volume can be mounted by a single node.",
        "Kubernetes documentation, persistent volumes, access modes",
    ),
    check=_shared_claims,
)
MEMORY_RULES = (
    DOWNLOADS,
    AT_MAXIMUM,
    TOO_LARGE,
    SHM,
    HEADS,
    GPUS,
    ACROSS,
    SHARED_CLAIMS,
    IDLE_GPUS,
)
