"""Triton's model repository: one model, whose tensors are those of Triton's OpenAI front end.

`config.pbtxt` declares them, `model.yaml` has TensorRT-LLM's parameters, `model.py` is
`triton_model.py`. `triton.py` has the rest of the engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

from headrace.engines import llm_yaml, pod
from headrace.fleet.types import Deployment, Scalar

ROOT = "/etc/headrace/triton/models"
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INPUTS = {
    "text_input": "STRING",
    "stream": "BOOL",
    "max_tokens": "INT32",
    "stop_words": "STRING",
    "temperature": "FP32",
    "top_p": "FP32",
    "frequency_penalty": "FP32",
    "presence_penalty": "FP32",
    "seed": "UINT64",
    "exclude_input_in_output": "BOOL",
    "guided_decoding_guide_type": "STRING",
    "guided_decoding_guide": "STRING",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
}
_OUTPUTS = {"text_output": "STRING", "num_input_tokens": "INT32", "num_output_tokens": "INT32"}


def folder_names(served_names: Sequence[str]) -> tuple[str, ...]:
    """Return those that can be a model's folder, which is what requests call the model."""
    return tuple(name for name in served_names if _FOLDER.fullmatch(name))


def repository(name: str, model_path: str, parameters: pod.Reasoned[Scalar]) -> dict[str, str]:
    """Return the files, absolute path to text."""
    given: pod.Reasoned[Scalar] = {"model": (model_path, "model"), **parameters}
    model = resources.files(__package__) / "triton_model.py"
    return {
        f"{ROOT}/{name}/config.pbtxt": config(name),
        f"{ROOT}/{name}/1/model.yaml": llm_yaml.yaml_text(pod.values(given), "Arguments of LLM()."),
        f"{ROOT}/{name}/1/model.py": model.read_text(encoding="utf-8"),
    }


def parameters(deployment: Deployment) -> pod.Reasoned[Scalar]:
    """Return the arguments of `LLM()` but for the model."""
    own = deployment.engine.flags
    return {
        "backend": ("pytorch", "weights as they are, no compiled engine"),
        **llm_yaml.parameters(deployment),
        "guided_decoding_backend": (
            "xgrammar",
            "the front end asks for tools' arguments by schema",
        ),
        **{llm_yaml.canonical(name): (own[name], "engine.flags") for name in own},
    }


def config(name: str) -> str:
    """Return `config.pbtxt`; decoupled, because a stream has many answers to one request."""
    inputs = ",\n".join(
        _tensor(n, kind, "-1" if n == "stop_words" else "1", optional=n != "text_input")
        for n, kind in _INPUTS.items()
    )
    outputs = ",\n".join(_tensor(n, kind, "1") for n, kind in _OUTPUTS.items())
    return f"""name: "{name}"
backend: "python"
max_batch_size: 1
model_transaction_policy {{ decoupled: true }}
instance_group [ {{ count: 1, kind: KIND_CPU }} ]
input [
{inputs}
]
output [
{outputs}
]
"""


def _tensor(name: str, kind: str, size: str, *, optional: bool = False) -> str:
    more = ", optional: true" if optional else ""
    return f'  {{ name: "{name}", data_type: TYPE_{kind}, dims: [ {size} ]{more} }}'
