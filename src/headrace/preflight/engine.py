"""Which engine a container runs, in which version, with which flags; what its image does by itself.

Known by the command where there is one, else by the image. An image whose tag is not the engine's
own version (another organisation's build) has no version here, and rules that need one stay silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import Version

from headrace.engines.container import EngineName
from headrace.preflight.flags import Arguments, Word, arguments, words_of
from headrace.preflight.image import Image, parse_image
from headrace.preflight.node import Node

_SERVERS: Mapping[str, EngineName] = {
    "vllm.entrypoints.openai.api_server": "vllm",
    "vllm.entrypoints.api_server": "vllm",
    "sglang.launch_server": "sglang",
    "text-generation-launcher": "tgi",
    "trtllm-serve": "trtllm",
    "tritonserver": "triton",
    "launch_triton_server.py": "triton",
}
_VERBS: Mapping[tuple[str, str], EngineName] = {
    ("vllm", "serve"): "vllm",
    ("sglang", "serve"): "sglang",
}
_IMAGES: Mapping[str, EngineName] = {
    "vllm-openai": "vllm", "vllm-openai-rocm": "vllm", "vllm-cpu": "vllm",
    "vllm-cpu-release-repo": "vllm", "vllm-tpu": "vllm", "sglang": "sglang",
    "text-generation-inference": "tgi", "tritonserver": "triton",
}  # fmt: skip
_STARTS_BY_ITSELF = {"vllm", "tgi"}
"""Engines whose image serves when only args are given."""
_ENDS = {";", "&&", "||", "|", "&"}
_OTHERS_BUILD = ("lmcache", "llm-d", "rocm")
"""Organisations whose tags are not the engine's version."""
_PORTS: Mapping[EngineName, int] = {
    "vllm": 8000, "tgi": 80, "sglang": 30000, "trtllm": 8000, "triton": 8000,
}  # fmt: skip
_PORT_FLAGS = {"triton": ("http-port",)}
TITLES: Mapping[EngineName, str] = {
    "vllm": "vLLM", "tgi": "TGI", "sglang": "SGLang", "trtllm": "trtllm-serve", "triton": "Triton",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Engine:
    """An engine as one container starts it.

    `opaque`: a script starts it that the manifest does not show, so what is missing from its
    arguments means nothing.
    """

    name: EngineName
    container: Node
    image: Image
    version: str | None
    arguments: Arguments
    """Those of the engine's own command."""
    words: tuple[Word, ...]
    """All of the container's."""
    env: Mapping[str, str]
    opaque: bool

    @property
    def title(self) -> str:
        """The engine with its version, for sentences."""
        return f"{TITLES[self.name]} {self.version}" if self.version else TITLES[self.name]

    def since(self, version: str) -> bool | None:
        """Whether it is this version or newer; None if its version is unknown."""
        return None if self.version is None else Version(self.version) >= Version(version)

    @property
    def model(self) -> str | None:
        """The model it is told to serve, as written: a name on the hub or a path."""
        given = self.arguments.value("model", "model-id", "model-path")
        return given or self.env.get("MODEL_ID") or self._positional()

    @property
    def model_node(self) -> Node:
        """Where the model is named."""
        found = self.arguments.node("model", "model-id", "model-path")
        words = (word.node for word in self.arguments.words if word.text == self.model)
        return found or next(words, self.container["image"])

    @property
    def port(self) -> int | None:
        """The port it answers on; None if that cannot be known."""
        names = _PORT_FLAGS.get(self.name, ("port",))
        if (number := self.arguments.number(*names)) is not None:
            return int(number)
        if self.opaque or self.arguments.has(*names):
            return None
        if self.name == "tgi" and "PORT" in self.env:
            return int(self.env["PORT"]) if self.env["PORT"].isdecimal() else None
        return _PORTS[self.name]

    @property
    def tensor(self) -> int:
        """Accelerators that share each layer."""
        names = ("tensor-parallel-size", "tp-size", "tp", "num-shard")
        given = self.arguments.number(*names)
        if given is None and self.name == "tgi":
            given = float(self.env.get("NUM_SHARD", "").strip() or 1) if _digits(self.env) else None
        return max(int(given or 1), 1)

    @property
    def tensor_node(self) -> Node:
        """Where that is written."""
        names = ("tensor-parallel-size", "tp-size", "tp", "num-shard")
        return self.arguments.node(*names) or self.container["image"]

    @property
    def pipeline(self) -> int | None:
        """Stages that follow each other; None if a variable of the cluster decides."""
        names = ("pipeline-parallel-size", "pp-size", "pp")
        given = self.arguments.number(*names)
        return (None if self.arguments.has(*names) else 1) if given is None else max(int(given), 1)

    def _positional(self) -> str | None:
        """Return the first word after the server's name that is no flag."""
        texts = [word.text for word in self.arguments.words]
        ends = [i + 1 for i, text in enumerate(texts) if _ends_command(text)]
        if ends:
            following = texts[max(ends) : max(ends) + 1]
        else:
            following = texts[:1] if self.name == "vllm" and not self.container["command"] else []
        return next((word for word in following if word and not word.startswith("-")), None)


def _ends_command(text: str) -> bool:
    return text == "serve" or text.rpartition("/")[2] == "trtllm-serve"


def _digits(env: Mapping[str, str]) -> bool:
    return env.get("NUM_SHARD", "").strip().isdecimal()


def recognise(container: Node) -> Engine | None:
    """Return the engine that a container serves with; None if it serves with none of the five."""
    env = plain_env(container)
    image = parse_image(container["image"].text)
    words = words_of(container, env)
    started, own = _by_command(words)
    by_image = _by_image(image)
    name = started or by_image
    if name is None:
        return None
    if started is None and not _serves(container, by_image, words):
        return None
    opaque = started is None and bool(container["command"])
    trusted = by_image == name and not any(org in image.repository for org in _OTHERS_BUILD)
    version = image.version if trusted and name != "triton" else None
    return Engine(name, container, image, version, arguments(own), words, env, opaque)


def plain_env(container: Node) -> dict[str, str]:
    """Return the variables that have a plain value."""
    return {one["name"].text: one["value"].text for one in container["env"].each() if one["value"]}


def _by_command(words: tuple[Word, ...]) -> tuple[EngineName | None, tuple[Word, ...]]:
    """Return the engine that a command starts, and the words that are the engine's own."""
    texts = [word.text for word in words]
    for index, text in enumerate(texts):
        last = text.rpartition("/")[2]
        verb = _VERBS.get((texts[index - 1].rpartition("/")[2] if index else "", text))
        if name := _SERVERS.get(last) or verb:
            return name, _one_command(words[index:])
    return None, words


def _one_command(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Return the words up to where a shell begins another command."""
    end = (n for n, word in enumerate(words) if word.text in _ENDS or word.text.endswith(";"))
    return words[: next(end, len(words))]


def _by_image(image: Image) -> EngineName | None:
    if "tensorrt-llm" in image.repository.split("/") and image.name == "release":
        return "trtllm"
    return _IMAGES.get(image.name)


def _serves(container: Node, by_image: EngineName | None, words: tuple[Word, ...]) -> bool:
    """Whether an engine's image without its command still serves, or does some other work."""
    if not container["command"]:
        return by_image in _STARTS_BY_ITSELF
    scripts = (word.text for word in words if word.text.endswith((".sh", ".py")))
    return any("serve" in script or "launch" in script or "start" in script for script in scripts)
