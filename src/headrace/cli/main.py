"""The command line: which verbs there are, and how their errors look.

Each verb is a module of its own beside this one. Errors that a person can mend are printed as
sentences and end with status 1, or 130 if they tell what Ctrl-C interrupted; wrong usage ends with
2; anything else is a defect of ours and keeps its traceback. `headrace/__main__.py` calls `main`,
and catches Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from headrace.cli import (
    apply,
    bench,
    calibrate,
    choose,
    compare,
    delete,
    diagnose,
    diff,
    down,
    drill,
    emulate,
    evidence,
    experiment,
    explain,
    gateway,
    keys,
    logs,
    plan,
    preflight,
    prepare,
    reload,
    render,
    request,
    requests,
    rollout,
    route,
    scale,
    scaler,
    schema,
    starts,
    status,
    up,
    usage,
    validate,
    version,
    weights,
)
from headrace.evidence.store import EvidenceError
from headrace.fleet.problems import FleetError
from headrace.gateway.store import StoreError
from headrace.kubernetes.errors import ClusterError
from headrace.local.errors import LocalError, SetUpInterruptedError
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError

_INTERRUPTED = 130

app = typer.Typer(
    help="LLM serving from one reviewed file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(status.status)
app.command()(logs.logs)
app.command()(scale.scale)
app.command()(rollout.rollout)
app.command()(reload.reload)
app.command()(down.down)
app.command()(render.render)
app.command()(diff.diff)
app.command()(apply.apply)
app.command()(delete.delete)
app.command()(request.request)
app.command()(requests.requests)
app.command()(compare.compare)
app.command()(usage.usage)
app.command()(drill.drill)
app.command()(experiment.experiment)
app.command()(starts.starts)
app.command()(diagnose.diagnose)
app.command()(validate.validate)
app.command()(plan.plan)
app.command()(preflight.preflight)
app.command()(explain.explain)
app.command()(choose.choose)
app.command()(calibrate.calibrate)
app.command()(route.route)
app.command()(schema.schema)
app.command()(prepare.prepare)
app.add_typer(bench.app, name="bench")
app.add_typer(weights.app, name="weights")
app.add_typer(evidence.app, name="evidence")
app.add_typer(keys.app, name="keys")
app.add_typer(gateway.app, name="gateway")
app.command(context_settings=emulate.PASS_THROUGH)(emulate.emulate)
app.command()(scaler.scaler)
app.command()(version.version)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (
        FleetError, WeightsError, LocalError, ClusterError, StoreError, PlanError, EvidenceError,
    ) as error:  # fmt: skip
        interrupted = isinstance(error, SetUpInterruptedError)
        line = "\n" if interrupted and sys.stderr.isatty() else ""  # its ^C has begun one
        sys.stderr.write(f"{line}headrace: {error}\n")
        sys.exit(_INTERRUPTED if interrupted else 1)
