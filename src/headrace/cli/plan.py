"""`headrace plan`: what fits, how fast, how many, at what cost, before money is spent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.files import load_checked
from headrace.cli.plan_check import show_checks
from headrace.local.errors import LocalError
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError
from headrace.starts.ledger import of_fleet

if TYPE_CHECKING:
    from headrace.planning.plan import Plan


def plan(  # noqa: PLR0917 - typer passes them by name
    file: Annotated[Path, typer.Argument(help="The fleet file.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", help="Only this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a line each.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots here.")] = None,
    check: Annotated[
        str | None,
        typer.Option(metavar="LOG", help="Compare with an engine's log, or `running`."),
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the hub what models are that are not pulled.")
    ] = False,
) -> None:
    """Plan each deployment from its model, hardware and the traffic that its routes declare.

    Memory is exact up to what is said to be assumed; times are ranges with the name of what they
    rest on. Nothing is started, and nothing is fetched without --hub.
    """
    failed: list[str] = []
    made: list[Plan] = []
    for one in _plans(file, deployment, failed, hub=hub):
        if check is None:
            _show(one, first=not made, as_json=as_json)
        made.append(one)
    held = check is None or show_checks(file, made, check, as_json=as_json)
    if html is not None and made:
        from headrace.planning import plan_html  # noqa: PLC0415 - only now plots are drawn

        write_page(html, plan_html.plans(file.name, made))
    if failed:
        raise PlanError("\n".join(failed))
    if not held:
        raise typer.Exit(1)


def _show(made: Plan, *, first: bool, as_json: bool) -> None:
    from headrace.planning.page import page  # noqa: PLC0415 - spares the other verbs numpy
    from headrace.planning.report import report  # noqa: PLC0415 - as above

    if as_json:
        typer.echo(msgspec.json.encode(report(made)))
        return
    if not first:
        typer.echo()
    Console(highlight=False).print(page(made))


def write_page(path: Path, text: str) -> None:
    """Write a page, and say where it is; LocalError if that cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror or error}") from error
    typer.echo(f"headrace: {path} written, {len(text) / 1024:,.0f} KiB", err=True)


def _plans(file: Path, deployment: str | None, failed: list[str], *, hub: bool) -> Iterator[Plan]:
    """Yield the plans of a checked file; sentences about what has none go to `failed`."""
    from headrace.planning.plan import plan as make  # noqa: PLC0415 - spares the other verbs numpy
    from headrace.planning.subject import subject  # noqa: PLC0415 - as above

    checked = load_checked(file)
    starts = of_fleet(checked.fleet.fleet, checked.path)
    names = checked.fleet.deployments if deployment is None else [deployment]
    for name in names:
        try:
            yield make(subject(checked, name, hub=hub, starts=starts))
        except (PlanError, WeightsError) as error:
            failed.append(str(error))
