"""`python -m headrace.emulation`: one engine twin as a process, as `headrace emulate`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import typing
from collections.abc import Sequence

import msgspec

from headrace.emulation.behaviour import Behaviour, Crash, Faults, Manner
from headrace.emulation.lifecycle import serve


def parser() -> argparse.ArgumentParser:
    """Return the command line; times in seconds."""
    line = argparse.ArgumentParser(
        prog="headrace emulate", description="An engine twin for drills."
    )
    line.add_argument("--port", type=int, required=True)
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--model", nargs="+", default=["twin"], help="names it serves")
    line.add_argument("--ttft", type=float, default=0.05, help="seconds to the first token")
    line.add_argument("--tpot", type=float, default=0.02, help="seconds for each further token")
    line.add_argument("--startup", type=float, default=0.0, help="seconds until the port opens")
    line.add_argument(
        "--slots", type=int, default=16, help="requests at once; the rest wait inside"
    )
    line.add_argument("--max-model-len", type=int, default=2048)
    line.add_argument("--shutdown-timeout", type=float, default=0.0, help="0: a stop cuts streams")
    line.add_argument(
        "--cut", choices=typing.get_args(Manner), default="abort", help="how it cuts them"
    )
    line.add_argument("--embeds", action="store_true", help="serve embeddings, no completions")
    line.add_argument(
        "--crash", choices=typing.get_args(Crash), help="die at start with these words"
    )
    line.add_argument("--never-ready", action="store_true", help="never open the port")
    _add_faults(line)
    return line


def _add_faults(line: argparse.ArgumentParser) -> None:
    for name, kind in typing.get_type_hints(Faults).items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            line.add_argument(flag, action="store_true", help="from the start; see POST /emulate")
        else:
            read = float if kind is float else int
            default = getattr(Faults(), name)
            line.add_argument(
                flag, type=read, default=default, help="from the start; see POST /emulate"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a twin until it is told to stop; return its exit status."""
    given = parser().parse_args(argv)
    faults = Faults(**{name: getattr(given, name) for name in msgspec.structs.asdict(Faults())})
    behaviour = Behaviour(
        names=tuple(given.model),
        ttft=given.ttft,
        tpot=given.tpot,
        slots=given.slots,
        max_model_len=given.max_model_len,
        shutdown_timeout=given.shutdown_timeout,
        cut=given.cut,
        embeds=given.embeds,
        faults=faults,
    )
    return asyncio.run(
        serve(
            behaviour,
            given.port,
            host=given.host,
            startup=given.startup,
            ready=not given.never_ready,
            crash=given.crash,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
