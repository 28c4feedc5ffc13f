"""Rules about secrets. No message repeats one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.flags import arguments, words_of
from headrace.preflight.node import Node
from headrace.preflight.scene import Scene

_NAMES = re.compile(
    r"^(HF_TOKEN|HUGGING_?FACE\w*TOKEN|\w*API_KEY|NGC_\w*KEY|AWS_SECRET_ACCESS_KEY|WANDB_\w*KEY"
    r"|\w*ACCESS_TOKEN|\w*AUTH_TOKEN)$"
)
_SHAPES = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|nvapi-[\w-]{20,}|sk-[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})"
)
_FLAGS = ("api-key", "admin-api-key", "hf-token", "huggingface-token", "access-token")
_NOTHING = {
    "",
    "empty",
    "none",
    "dummy",
    "null",
    "no-key",
    "not-needed",
    "na",
    "n/a",
    "false",
    "true",
}


def _plain(scene: Scene) -> Iterator[Hit]:
    for workload in scene.workloads:
        boxes = [*workload.pod["containers"].each(), *workload.pod["initContainers"].each()]
        for box in boxes:
            for node, what in (*_variables(box), *_arguments(box)):
                yield Hit(workload.resource, node, f"{what} is written in plain text")


def _variables(box: Node) -> Iterator[tuple[Node, str]]:
    for one in box["env"].each():
        value, name = one["value"].text, one["name"].text
        secret = _NAMES.fullmatch(name) and _means_something(value)
        if secret or _SHAPES.search(value):
            yield one["value"], f"the variable {name}"


def _arguments(box: Node) -> Iterator[tuple[Node, str]]:
    words = words_of(box, {})
    seen = []
    for flag in arguments(words).flags.values():
        if flag.name in _FLAGS and _means_something(flag.value or ""):
            seen.append(flag.node)
            yield flag.node, f"--{flag.name}"
    for word in words:
        if _SHAPES.search(word.text) and word.node not in seen and not word.text.startswith("--"):
            previous = [node for node in seen if abs(node.line - word.node.line) <= 1]
            if not previous:
                yield word.node, "a token among the arguments"


def _means_something(value: str) -> bool:
    return value.strip().lower() not in _NOTHING and not value.startswith("$")


PLAIN = Rule(
    id="HR701",
    severity="error",
    title="token in plain text",
    what="Everybody who can read the file, the Pod or its process list has the token.",
    fix="env with valueFrom.secretKeyRef; in args use $(NAME) of such a variable",
    fact=Fact(
        "Pod specs are readable with `get pods`, arguments by every process of the node.",
        "Kubernetes documentation, good practices for Secrets",
    ),
    check=_plain,
)
SECRET_RULES = (PLAIN,)
