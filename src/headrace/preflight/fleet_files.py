"""A fleet file's own problems as findings: what validate says, and what its engines say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from headrace.engines.named import engine_named
from headrace.fleet.checks import warnings
from headrace.fleet.load import FleetFile, load_fleet
from headrace.fleet.problems import FleetError, Problem
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError
from headrace.planning.settled import settled
from headrace.preflight.finding import Finding, Rule
from headrace.preflight.fleet_evidence import check_evidence
from headrace.preflight.fleet_room import check_room
from headrace.preflight.rules.reading import FLEET_PROBLEM, FLEET_WARNING


def check_fleet(path: Path) -> Iterator[Finding]:
    """Yield every finding in one fleet file."""
    try:
        file = load_fleet(path)
    except FleetError as error:
        yield from (_finding(FLEET_PROBLEM, problem) for problem in error.problems)
        return
    yield from _unwise(file)
    problems = list(_of_engines(file))
    yield from problems
    if problems:
        return
    try:
        whole = settled(file)
        found = chain(check_room(whole.file), check_evidence(whole))
        rest = [(rule, file.problem(at, said)) for rule, at, said in found]
    except FleetError as error:
        yield from (_finding(FLEET_PROBLEM, problem) for problem in error.problems)
    except (PlanError, WeightsError) as error:
        yield _finding(FLEET_PROBLEM, Problem(path, 1, "", str(error)))
    else:
        yield from (_finding(rule, problem) for rule, problem in rest)


def _unwise(file: FleetFile) -> Iterator[Finding]:
    for field, message in warnings(file.fleet):
        yield _finding(FLEET_WARNING, file.problem(field, message))


def _of_engines(file: FleetFile) -> Iterator[Finding]:
    """Yield what the engines cannot do in their versions, as `headrace validate` does."""
    for name, deployment in file.fleet.deployments.items():
        hardware = file.fleet.hardware[deployment.hardware]
        engine = engine_named(deployment.engine.name, deployment.engine.version)
        for path, message in engine.problems(deployment, hardware):
            yield _finding(FLEET_PROBLEM, file.problem(("deployments", name, *path), message))


def _finding(rule: Rule, problem: Problem) -> Finding:
    line = problem.line or 1
    return Finding(rule, str(problem.file), line, problem.field, problem.message, rule.fix)
