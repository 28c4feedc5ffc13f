"""`python -m headrace.emulation`: one engine twin as a process, as `headrace emulate`."""

from __future__ import annotations

import argparse
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

import msgspec
import uvloop
from packaging.version import InvalidVersion

from headrace.emulation.behaviour import Behaviour, Crash, Faults, Manner, change
from headrace.emulation.faces import FACES
from headrace.emulation.lifecycle import Start, serve
from headrace.engines.emulated import FAULTS
from headrace.engines.vllm_flags import has_flag

_HELP: Mapping[str, str] = {
    "ttft": "seconds to the first token",
    "tpot": "seconds for each further token",
    "prefill": "seconds for each 1000 uncached prompt tokens, one prompt after the other",
    "slots": "requests at once; the rest wait inside",
    "max_model_len": "prompt and answer, in tokens",
    "kv_tokens": "size of the KV cache, in tokens",
    "block_size": "tokens in a block of the prefix cache",
    "adapters": "vllm: LoRA adapters that can be asked for",
    "max_loras": "vllm: adapters that have room at once; default: all",
    "adapter_load": "vllm: seconds that loading an adapter takes",
    "enable_prompt_tokens_details": "vllm: say in usage what was cached",
    "embeds": "vllm: serve embeddings, no completions",
    "shutdown_timeout": "vllm: seconds that a stop drains; 0: it cuts streams",
    "cut": "vllm: what a cut stream gets; default: by version",
    "cut_after": "vllm: seconds from a stop until streams are cut",
    "max_concurrent_requests": "tgi: beyond it 429",
    "graceful_termination_timeout": "tgi: seconds that a stop drains",
    "enable_metrics": "sglang: serve /metrics",
    "max_queued_requests": "sglang: beyond it the queue is full",
    "poll": "sglang: seconds between looks while it stops",
    "probe": "sglang: seconds that /health takes at least",
    "return_perf_metrics": "trtllm: serve /prometheus/metrics",
    "answers_while_starting": "trtllm, newer: listen while loading, with 503",
    "exit_timeout": "triton: seconds that a stop drains",
    "metrics_port": "triton: where metrics are, or none",
    "openai_port": "triton: where its OpenAI front end is, or none",
}
_DEFAULTS = Behaviour(ttft=0.05, tpot=0.02)
_OWN = frozenset({"version", "names", "adapters", "faults"})
"""Parts of a behaviour that are no flags with one value."""


def parser() -> argparse.ArgumentParser:
    """Return the command line; times in seconds."""
    line = argparse.ArgumentParser(
        prog="headrace emulate", description="An engine twin for drills."
    )
    line.add_argument("--engine", choices=tuple(FACES), default="vllm")
    line.add_argument("--engine-version", help="default: the newest known")
    line.add_argument("--port", type=int, help="default: the engine's own; 0: the system chooses")
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--model", nargs="+", default=["twin"], help="names it serves")
    many: dict[str, Any] = {"action": "extend", "nargs": "+", "default": [], "metavar": "NAME"}
    line.add_argument("--adapter", "--adapters", dest="adapters", help=_HELP["adapters"], **many)
    line.add_argument("--startup", type=float, default=0.0, help="seconds until the port opens")
    line.add_argument(
        "--crash", choices=typing.get_args(Crash), help="die at start with these words of vLLM's"
    )
    line.add_argument("--never-ready", action="store_true", help="never open the port")
    _add(line, _DEFAULTS, _OWN, _HELP)
    from_start = dict.fromkeys(Faults.__struct_fields__, "from the start; see POST /emulate")
    _add(line, Faults(), frozenset({"crash"}), from_start)
    return line


def _add(
    line: argparse.ArgumentParser,
    defaults: msgspec.Struct,
    without: frozenset[str],
    texts: Mapping[str, str],
) -> None:
    """Add a flag for each field."""
    for name, kind in typing.get_type_hints(type(defaults)).items():
        if name in without:
            continue
        flag, text = f"--{name.replace('_', '-')}", texts[name]
        if kind is bool:
            line.add_argument(flag, action="store_true", help=text)
        elif kind == Manner | None:
            line.add_argument(flag, choices=typing.get_args(Manner), help=text)
        else:
            default = getattr(defaults, name)
            line.add_argument(flag, type=_reader(kind), default=default, help=text)


def _reader(kind: type) -> Callable[[str], float | int | None]:
    """Return what reads a number; where it may be absent, `none` is its absence."""
    members = typing.get_args(kind)
    number: type[int | float] = int if int in (members or (kind,)) else float

    def read(text: str) -> float | int | None:
        return None if NoneType in members and text == "none" else number(text)

    read.__name__ = number.__name__  # argparse names it where a value is wrong
    return read


def _misplaced(given: argparse.Namespace, version: str) -> Iterator[str]:
    """Yield what is wrong with flags that the engine does not have."""
    defaults = msgspec.structs.asdict(_DEFAULTS)
    for name, text in _HELP.items():
        owner = text.partition(":")[0].partition(",")[0]
        flag = f"--{name.replace('_', '-')}"
        changed = getattr(given, name) not in (defaults[name], [])
        if owner in FACES and owner != given.engine and changed:
            yield f"{flag} is a flag of {owner}, not of {given.engine}"
    if given.engine == "vllm":
        try:
            drains = has_flag("shutdown-timeout", version)
        except InvalidVersion:
            yield f"{version} is no version of vLLM; write one such as 0.32.0"
            return
        if given.shutdown_timeout and not drains:
            yield f"vLLM {version} has no --shutdown-timeout; it came with 0.18"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a twin until it is told to stop; return its exit status."""
    line = parser()
    given = line.parse_args(argv)
    face = FACES[given.engine]
    version = given.engine_version or face.VERSION
    misplaced = next(_misplaced(given, version), None)
    if misplaced:
        line.error(misplaced)
    faults = Faults(**{n: getattr(given, n) for n in Faults.__struct_fields__ if n != "crash"})
    try:
        faults = change(faults, os.environ.get(FAULTS, "{}").encode())
    except (msgspec.MsgspecError, UnicodeEncodeError) as wrong:
        line.error(f"{FAULTS} in the environment is no set of faults: {wrong}")
    names = Behaviour.__struct_fields__
    behaviour = Behaviour(
        version=version,
        names=tuple(given.model),
        adapters=tuple(given.adapters),
        faults=faults,
        **{name: getattr(given, name) for name in names if name not in _OWN},
    )
    start = Start(
        port=face.PORT if given.port is None else given.port,
        host=given.host,
        startup=given.startup,
        ready=not given.never_ready,
        crash=given.crash,
    )
    return uvloop.run(serve(face, behaviour, start))


if __name__ == "__main__":
    sys.exit(main())
