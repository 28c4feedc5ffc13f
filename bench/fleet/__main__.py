"""Prefix affinity, measured through the real gateway.

`python -m bench.fleet` starts a gateway and sixteen twins, and drives three kinds of traffic with
affinity and without: growing conversations, one hot prefix, and nothing shared.
`python -m bench.fleet --url http://127.0.0.1:8080/v1 --model chat` drives a fleet that runs, such
as two replicas of real vLLM; change `balancing` in its file and reload to compare.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.fleet.client import Target
from bench.fleet.drive import Turn, drive
from bench.fleet.report import HEAD, figures
from bench.fleet.stack import Plan, serving
from bench.fleet.talks import Shape, Talk, conversations, hot, unshared
from bench.fleet.twins import Group
from headrace.emulation.behaviour import Behaviour
from headrace.gateway.control import Balancing, Deployment
from headrace.routing.route import Route, Rule, Variant

TRAFFIC: dict[str, Callable[[Shape], list[Talk]]] = {
    "conversations": conversations,
    "hot prefix": hot,
    "nothing shared": unshared,
}


def _parser() -> argparse.ArgumentParser:
    line = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    line.add_argument("--url", help="a fleet that runs; default: a gateway and twins of our own")
    line.add_argument("--key", default="", help="an API key for it")
    line.add_argument("--model", default="chat")
    line.add_argument("--twins", type=int, default=16)
    line.add_argument("--prefill", type=float, default=0.2, help="s for 1000 uncached tokens")
    line.add_argument("--kv-tokens", type=int, default=100_000, help="KV cache of a twin")
    line.add_argument("--rate", type=float, default=12.0, help="requests a second")
    line.add_argument("--seconds", type=float, default=40.0, help="in which requests begin")
    line.add_argument("--length", type=float, default=1.0, help="factor on lengths of prompts")
    line.add_argument("--seed", type=int, default=1)
    line.add_argument("--salt", default="", help="other words at the same times: caches stay cold")
    line.add_argument("--traffic", nargs="+", choices=TRAFFIC, default=list(TRAFFIC))
    return line


def plan(given: argparse.Namespace, *, affinity: bool) -> Plan:
    """Return one deployment of twins behind one route."""
    behaviour = Behaviour(
        version="0.32.0",
        names=(given.model,),
        ttft=0.02,
        tpot=0.01,
        prefill=given.prefill,
        slots=64,
        max_model_len=32_768,
        kv_tokens=given.kv_tokens,
        enable_prompt_tokens_details=True,
    )
    deployment = Deployment(
        name="twins",
        queue_limit=10_000,
        max_wait=120.0,
        balancing=Balancing(prefix_affinity=affinity, slow_start=0.0),
    )
    route = Route(name="chat", rule=Rule(), variants=(Variant("twins", 1.0),))
    return Plan((route,), (deployment,), (Group("twins", given.twins, behaviour),))


def _ours(given: argparse.Namespace) -> Iterator[tuple[str, list[Turn]]]:
    """Yield what each kind of traffic got; the fleet is a fresh one each time."""
    for name in given.traffic:
        for affinity in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                cores = frozenset(os.sched_getaffinity(0))
                with serving(plan(given, affinity=affinity), Path(folder), cores) as port:
                    turns = _drive(given, name, Target("127.0.0.1", port))
            yield f"{name}, {'affinity' if affinity else 'least work'}", turns


def _drive(given: argparse.Namespace, name: str, target: Target) -> list[Turn]:
    shape = Shape(given.seed, given.rate, given.seconds, given.length, given.salt)
    talks = TRAFFIC[name](shape)
    return uvloop.run(drive(target, [replace(talk, model=given.model) for talk in talks]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    print(HEAD)
    if given.url:
        target = Target.of(given.url, given.key)
        runs: Iterator[tuple[str, list[Turn]]] = (
            (name, _drive(given, name, target)) for name in given.traffic
        )
    else:
        runs = _ours(given)
    for name, turns in runs:
        seen = {turn.answer.replica for turn in turns if turn.answer.replica}
        replicas = len(seen) if given.url else given.twins
        print(figures(turns, replicas).row(name), flush=True)
        later = [turn for turn in turns if turn.number]
        if later:
            print(figures(later, replicas).row("  without the first turns"), flush=True)
        for wrong in {turn.answer.wrong for turn in turns} - {""}:
            print(f"  failed: {wrong[:100]}")
        late = max((turn.late for turn in turns), default=0.0)
        if late > 0.1:
            print(f"  the load itself was up to {late:.1f} s late")


if __name__ == "__main__":
    main()
