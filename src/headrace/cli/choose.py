"""`headrace choose`: which hardware, layout and quantization to take, cheapest first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.files import load_checked
from headrace.cli.plan import write_page


def choose(  # noqa: PLR0917 - typer passes them by name
    file: Annotated[Path, typer.Argument(help="The fleet file.")],
    deployment: Annotated[str, typer.Argument(help="Whose routes are to be served.")],
    on: Annotated[
        list[str] | None,
        typer.Option(help="H100, or H100=2.5 with its hourly price; all. Default: the file's."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots here.")] = None,
) -> None:
    """Rank configurations by cost among those that keep what the routes promise.

    Quantized ones are candidates that need evidence of quality; each says what it gives up.
    """
    from headrace.capacity.choose import choose as rank  # noqa: PLC0415 - spares others numpy
    from headrace.planning.choice_page import page  # noqa: PLC0415 - as above
    from headrace.planning.choice_report import report  # noqa: PLC0415 - as above
    from headrace.planning.choices import offers, question  # noqa: PLC0415 - as above
    from headrace.planning.subject import subject  # noqa: PLC0415 - as above

    checked = load_checked(file)
    about = subject(checked, deployment)
    ask = question(about, rate)
    found = rank(ask, offers(checked, on or ()))
    if as_json:
        typer.echo(msgspec.json.encode(report(found)))
    else:
        Console(highlight=False).print(page(deployment, ask, found))
    if html is not None:
        from headrace.planning import plan_html  # noqa: PLC0415 - only now plots are drawn

        write_page(html, plan_html.choice(deployment, ask, found))
    if not found.kept:
        raise typer.Exit(1)
