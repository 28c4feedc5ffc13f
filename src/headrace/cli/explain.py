"""`headrace explain`: why a flag of a deployment is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headrace.cli.files import load_checked
from headrace.fleet.problems import nearest


def explain(
    file: Annotated[Path, typer.Argument(help="The fleet file.")],
    what: Annotated[str, typer.Argument(help="deployment.flag, or a deployment: all its flags.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a line each.")] = False,
) -> None:
    """Say why a flag is what it is: whose value, what it means in figures, what else would do."""
    from headrace.planning.explain import flags  # noqa: PLC0415 - spares the others numpy
    from headrace.planning.plan import plan  # noqa: PLC0415 - as above
    from headrace.planning.subject import subject  # noqa: PLC0415 - as above

    deployment, _, flag = what.partition(".")
    flag = flag.replace("-", "_")
    found = flags(plan(subject(load_checked(file), deployment)))
    shown = [one for one in found if flag in ("", one.name)]
    if not shown:
        hint = nearest(flag, [one.name for one in found])
        raise typer.BadParameter(f"nothing is planned of '{flag}' in {deployment}{hint}")
    for one in shown:
        typer.echo(msgspec.json.encode(one) if as_json else str(one))
