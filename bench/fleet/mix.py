"""Short chats beside long documents, with the routes of examples/many.yaml and without any.

`python -m bench.fleet.mix` serves both on the same number of engine twins: once as the file says,
once as most people begin, with every replica behind one route and one queue. The table says what
the short ones feel.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.fleet.client import Target
from bench.fleet.drive import Turn, drive
from bench.fleet.report import HEAD, figures
from bench.fleet.stack import Plan, serving
from bench.fleet.talks import Talk, mixed
from bench.fleet.twins import Group
from headrace.emulation.behaviour import Behaviour
from headrace.fleet.load import load_fleet
from headrace.fleet.types import Deployment, Fleet
from headrace.gateway import control
from headrace.routing.from_fleet import routes_of
from headrace.routing.route import Route, Rule, Variant

FILE = Path(__file__).parents[2] / "examples" / "many.yaml"
ALL = "long"
"""The deployment of which everything is made where there are no routes: documents must fit."""


def with_routes(fleet: Fleet) -> Plan:
    """Return the fleet as its file has it, each deployment at its smallest."""
    groups = (
        Group(name, one.scaling.min, _behaviour(fleet, name))
        for name, one in fleet.deployments.items()
    )
    deployments = (_deployment(name, one) for name, one in fleet.deployments.items())
    return Plan(routes_of(fleet), tuple(deployments), tuple(groups))


def without_routes(fleet: Fleet) -> Plan:
    """Return as many replicas, all alike, behind one route."""
    count = sum(one.scaling.min for one in fleet.deployments.values())
    given = fleet.deployments[ALL].model_copy(update={"max_num_seqs": 64})
    same = fleet.model_copy(update={"deployments": {ALL: given}})
    route = Route(name="all", rule=Rule(), variants=(Variant(ALL, 1.0),))
    group = Group(ALL, count, _behaviour(same, ALL))
    return Plan((route,), (_deployment(ALL, given),), (group,))


def _behaviour(fleet: Fleet, name: str) -> Behaviour:
    deployment = fleet.deployments[name]
    hardware = fleet.hardware[deployment.hardware]
    aliases = [alias for route in fleet.routes.values() for alias in route.match.model]
    served = (one for one in aliases if one not in deployment.adapters)
    return Behaviour(
        version=deployment.engine.version,
        names=(name, *dict.fromkeys(served)),
        adapters=tuple(deployment.adapters),
        ttft=hardware.ttft,
        tpot=hardware.tpot,
        prefill=hardware.prefill,
        kv_tokens=hardware.kv_tokens,
        slots=deployment.max_num_seqs,
        max_model_len=deployment.max_model_len or 2048,
        enable_prompt_tokens_details=True,
    )


def _deployment(name: str, given: Deployment) -> control.Deployment:
    return control.Deployment(
        name=name,
        queue_limit=given.queue.limit,
        max_wait=given.queue.max_wait,
        resume=control.Resume(context=given.max_model_len),
        adapters=tuple(given.adapters),
        balancing=control.Balancing(given.balancing.prefix_affinity, 0.0),
    )


def measure(plan: Plan, talks: Sequence[Talk]) -> list[Turn]:
    """Serve the plan while the talks last."""
    cores = frozenset(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, serving(plan, Path(folder), cores) as port:
        return uvloop.run(drive(Target("127.0.0.1", port), talks))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both and print."""
    line = argparse.ArgumentParser(prog="python -m bench.fleet.mix", description=__doc__)
    line.add_argument("--seconds", type=float, default=60.0, help="in which requests begin")
    line.add_argument("--documents", type=float, default=0.25, help="documents a second")
    line.add_argument("--seed", type=int, default=1)
    given = line.parse_args(arguments)
    fleet = load_fleet(FILE).fleet
    talks = mixed(given.seed, given.seconds, given.documents)
    print(HEAD)
    for name, plan in (("routes", with_routes(fleet)), ("one queue", without_routes(fleet))):
        turns = measure(plan, talks)
        for kind in sorted({turn.kind for turn in turns}):
            own = [turn for turn in turns if turn.kind == kind]
            replicas = len({turn.answer.replica for turn in own} - {""})
            print(figures(own, replicas).row(f"{kind}, {name}"), flush=True)


if __name__ == "__main__":
    main()
