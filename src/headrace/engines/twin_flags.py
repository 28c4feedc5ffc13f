"""The flags of engine twins (`headrace.emulation`): pace, size, and what each engine's face adds.

`emulated.py` puts commands together from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from packaging.version import Version

from headrace.engines import pod, tgi
from headrace.engines.vllm import embeds
from headrace.engines.vllm_adapters import adapter_room
from headrace.engines.vllm_flags import canonical, has_flag
from headrace.fleet.types import Deployment, Hardware, Scalar

_AS_THE_REAL_ONE = ("", "the real one is given it, too")


def pace_flags(deployment: Deployment, hardware: Hardware) -> pod.Reasoned[str]:
    """Return what every twin is told; a switch has the value ''."""
    flags = {
        "--ttft": (f"{hardware.ttft:g}", "ttft of the hardware, in seconds"),
        "--tpot": (f"{hardware.tpot:g}", "tpot of the hardware, in seconds"),
        "--prefill": (f"{hardware.prefill:g}", "prefill of the hardware, in seconds"),
        "--kv-tokens": (str(hardware.kv_tokens), "kv_tokens of the hardware"),
        "--startup": (f"{hardware.start:g}", "start of the hardware, in seconds"),
        "--slots": (str(deployment.max_num_seqs), "max_num_seqs"),
    }
    if deployment.max_model_len is not None:
        flags["--max-model-len"] = (str(deployment.max_model_len), "max_model_len")
    return flags


def own_flags(name: str, version: str, deployment: Deployment) -> pod.Reasoned[str]:
    """Return what only the twins of this engine have."""
    drain = (str(math.ceil(deployment.lifecycle.drain)), "lifecycle.drain")
    match name:
        case "vllm":
            return _vllm(version, deployment, drain)
        case "tgi" if Version(version) >= Version(tgi.METRICS_PORT_SINCE):
            return {"--graceful-termination-timeout": drain}
        case "sglang":
            return {"--enable-metrics": _AS_THE_REAL_ONE}
        case "trtllm":
            return {"--return-perf-metrics": _AS_THE_REAL_ONE}
        case _:
            return {}


def _vllm(version: str, deployment: Deployment, drain: tuple[str, str]) -> pod.Reasoned[str]:
    flags = {"--enable-prompt-tokens-details": ("", "records say what was cached")}
    if (room := adapter_room(deployment)) is not None:
        flags["--max-loras"] = (str(room), "engine.flags")
    if has_flag("shutdown-timeout", version):
        flags["--shutdown-timeout"] = drain
    if False in _given(deployment, "enable-prefix-caching"):
        flags["--no-prefix-caching"] = ("", "engine.flags")
    if embeds(deployment):
        flags["--embeds"] = ("", "engine.flags")
    return flags


def _given(deployment: Deployment, flag: str) -> list[Scalar]:
    """Return what the file gives for a flag of vLLM's, however it spells it."""
    return [value for name, value in deployment.engine.flags.items() if canonical(name) == flag]


def port_flags(name: str, ports: Mapping[str, int]) -> pod.Reasoned[str]:
    """Return where a twin listens: `http` is where the OpenAI API is, 0 the system's choice.

    `metrics`, where it is another port, is opened by TGI only; Triton has ports that nobody uses.
    """
    http, metrics = str(ports["http"]), ports.get("metrics", ports["http"])
    if name == "triton":
        return {
            "--port": ("0", "KServe's own API, which the gateway does not speak"),
            "--metrics-port": ("0", "the front end has them as well"),
            "--openai-port": (http, "the front end"),
        }
    flags = {"--port": (http, "the API")}
    if name == "tgi" and metrics != ports["http"]:
        flags["--prometheus-port"] = (str(metrics), "metrics apart from the API")
    return flags
