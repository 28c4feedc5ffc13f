"""`headrace calibrate`: learn from a measured run how much of its data sheet an engine reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked


def calibrate(
    file: Annotated[Path, typer.Argument(help="The fleet file.")],
    deployment: Annotated[str, typer.Argument(help="Which served the run, with these flags.")],
    run: Annotated[Path, typer.Argument(help="JSON lines, as `headrace requests --json` writes.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only say how far off the plan is for this run.")
    ] = False,
) -> None:
    """Fit bandwidth, compute and overhead to a run, and keep them beside the file for plans.

    The run has to be of one replica that was busy, better saturated than not. Its error in plans
    of other runs is larger than the one on itself: `--check` on a second run says how large.
    """
    from headrace.planning import calibrating  # noqa: PLC0415 - spares the other verbs numpy

    checked = load_checked(file)
    if check:
        typer.echo(calibrating.check(checked, deployment, run))
        return
    typer.echo(f"fitting to {run} (up to a minute)", err=True)
    path, learned = calibrating.learn(checked, deployment, run, datetime.now(UTC).date())
    found = learned.efficiency
    typer.echo(
        f"{found.label}: {found.bandwidth:.0%} of the bandwidth, {found.compute:.0%} of the"
        f" compute, {found.overhead * 1000:.2f} ms a step, {found.per_sequence * 1e6:.0f} us a"
        f" sequence; kept in {path}"
    )
