"""`python -m headrace.emulation`: one engine twin as a process, as `headrace emulate`."""

from __future__ import annotations

import argparse
import os
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import uvloop
from packaging.version import InvalidVersion, Version

from headrace.emulation.behaviour import Behaviour, Crash, Faults, Manner, change
from headrace.emulation.faces import FACES
from headrace.emulation.flag_values import port, reader, seconds
from headrace.emulation.lifecycle import Start, serve
from headrace.engines.emulated import FAULTS
from headrace.engines.vllm_flags import HISTORY, has_flag

_HELP: Mapping[str, str] = {
    "ttft": "to the first token",
    "tpot": "for each further token",
    "prefill": "for each 1000 uncached prompt tokens, one prompt after the other",
    "slots": "requests at once; the rest wait inside",
    "max_model_len": "prompt and answer, in tokens",
    "kv_tokens": "size of the KV cache, in tokens",
    "block_size": "tokens in a block of the prefix cache",
    "no_prefix_caching": "compute every prompt anew",
    "adapters": "vllm: LoRA adapters that can be asked for",
    "max_loras": "vllm: adapters that have room at once; default: all",
    "adapter_load": "vllm: what loading an adapter takes",
    "enable_prompt_tokens_details": "vllm: say in usage what was cached",
    "embeds": "vllm: serve embeddings, no completions",
    "shutdown_timeout": "vllm: how long a stop drains; 0: it cuts streams",
    "max_num_queued_reqs": "vllm: beyond it 503",
    "cut": "vllm: what a cut stream gets; default: by version",
    "cut_after": "vllm: from a stop until streams are cut",
    "max_concurrent_requests": "tgi: beyond it 429",
    "prometheus_port": "tgi: metrics on a port of their own, too, or none",
    "graceful_termination_timeout": "tgi: how long a stop drains",
    "enable_metrics": "sglang: serve /metrics",
    "max_queued_requests": "sglang: beyond it the queue is full",
    "poll": "sglang: between two looks while it stops",
    "probe": "sglang: what /health takes at least",
    "return_perf_metrics": "trtllm: serve /prometheus/metrics",
    "answers_while_starting": "trtllm, newer: listen while loading, with 503",
    "exit_timeout": "triton: how long a stop drains",
    "metrics_port": "triton: where metrics are, or none",
    "openai_port": "triton: where its OpenAI front end is, or none",
}
_FAULTS: Mapping[str, str] = {
    "wrong": "answer garbage, as a model does whose weights are broken",
    "sick": "say in health that it is not well",
    "fail": "answer every completion with an error",
    "trims": "strip the last message of a chat, as some templates do",
    "crash_exit": "from the worker's death to the process's",
    "slow": "factor on all times of work",
    "crowding": "added to each token by every other running request",
    "preempts": "wait for room in the KV cache, and preempt the youngest",
    "no_metrics": "show an empty metrics page",
    "stuck_metrics": "show the first metrics page again and again",
    "crash_after": "the worker dies after so many tokens of a request",
    "die_after": "the process dies after so many tokens of a request",
    "hang_after": "a stream says nothing any more after so many tokens",
    "error_after": "a stream gets an error after so many tokens",
    "abort_after": "a stream is aborted after so many tokens",
    "reset_after": "the connection is reset after so many tokens",
    "garbage_after": "a stream gets something that is no event after so many tokens",
}
_DEFAULTS = Behaviour(ttft=0.05, tpot=0.02)
_OWN = frozenset({"version", "names", "adapters", "faults"})
"""Parts of a behaviour that are no flags with one value."""
_SINCE: Mapping[str, str] = {
    "graceful_termination_timeout": "3.3",
    "prometheus_port": "3.3",
}
"""The version that brought a flag of TGI's; of vLLM's, `vllm_flags.py` knows it."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    line = argparse.ArgumentParser(
        prog="headrace emulate",
        usage="%(prog)s [--engine ENGINE] [--port PORT] [options]; --help lists them",
        description="An engine twin for drills. SECONDS may have another unit: 250ms, 2m.",
        epilog='Faults can change at any time: POST /emulate with JSON, such as {"hang_after": 5}.',
    )
    line.add_argument("--engine", choices=tuple(FACES), default="vllm")
    line.add_argument("--engine-version", help="default: the newest known")
    line.add_argument("--port", type=port, help="default: the engine's own; 0: the system chooses")
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--model", nargs="+", default=["twin"], help="names it serves")
    many: dict[str, Any] = {"action": "extend", "nargs": "+", "default": [], "metavar": "NAME"}
    line.add_argument("--adapter", "--adapters", dest="adapters", help=_HELP["adapters"], **many)
    start = "until the port opens"
    line.add_argument("--startup", type=seconds, default=0.0, help=start, metavar="SECONDS")
    line.add_argument(
        "--crash", choices=typing.get_args(Crash), help="die at start with these words of vLLM's"
    )
    line.add_argument("--never-ready", action="store_true", help="never open the port")
    _add(line.add_argument_group("pace, size and the engine's own flags"), _DEFAULTS, _OWN, _HELP)
    _add(line.add_argument_group("faults from the start"), Faults(), frozenset({"crash"}), _FAULTS)
    return line


def _add(
    line: argparse._ArgumentGroup,
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
            shown = "" if default is None else f" ({default:g})"
            read = reader(name, kind)
            metavar = read.__name__.upper()
            line.add_argument(flag, type=read, default=default, help=text + shown, metavar=metavar)


def _misplaced(given: argparse.Namespace, version: str) -> Iterator[str]:
    """Yield what is wrong with flags that the engine does not have."""
    defaults = msgspec.structs.asdict(_DEFAULTS)
    for name, text in _HELP.items():
        owner = text.partition(":")[0].partition(",")[0]
        flag = f"--{name.replace('_', '-')}"
        changed = getattr(given, name) not in (defaults[name], [])
        if owner in FACES and owner != given.engine and changed:
            yield f"{flag} is a flag of {owner}, not of {given.engine}"
    for name, text in _HELP.items():
        flag = name.replace("_", "-")
        if getattr(given, name) == defaults[name] or text.partition(":")[0] != given.engine:
            continue
        if given.engine == "vllm" and not has_flag(flag, version):
            yield f"vLLM {version} has no --{flag}; it came with {HISTORY[flag].since}"
        since = _SINCE.get(name)
        if since and Version(version) < Version(since):
            yield f"TGI {version} has no --{flag}; it came with {since}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a twin until it is told to stop; return its exit status."""
    line = parser()
    given = line.parse_args(argv)
    face = FACES[given.engine]
    version = given.engine_version or face.VERSION
    try:
        Version(version)
    except InvalidVersion:
        line.error(f"{version} is no version of {given.engine}; write one such as {face.VERSION}")
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
    try:
        return uvloop.run(serve(face, behaviour, start))
    except OSError as error:  # a port that is taken, an address of another machine
        sys.stderr.write(f"headrace emulate: {error.strerror or error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
