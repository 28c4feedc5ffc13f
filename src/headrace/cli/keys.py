"""`headrace keys new|list|remove`: the API keys that a fleet's gateway asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.gateway.control import Key
from headrace.gateway.keys import add_key, read_keys, remove_key
from headrace.routing.route import Limits

app = typer.Typer(help="Make, list and remove the API keys of a fleet.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Whose key it is.")]
FileOption = Annotated[Path, typer.Option(help="The file that `gateway.keys` of the fleet names.")]
StreamsOption = Annotated[
    int | None, typer.Option(min=1, help="Requests in one gateway at once; default: no bound.")
]


@app.command()
def new(
    name: NameArgument, *, file: FileOption = Path("keys.yaml"), streams: StreamsOption = None,
    tenant: Annotated[str | None, typer.Option(help="Whose it is together with others.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Of prompts and answers together.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in all gateways at once.")
    ] = None,
    max_prompt: Annotated[int | None, typer.Option(min=1, help="Tokens of one prompt.")] = None,
    max_output: Annotated[int | None, typer.Option(min=1, help="Tokens of one answer.")] = None,
    count_only: Annotated[
        bool, typer.Option("--count-only", help="Only note what is beyond these limits.")
    ] = False,
) -> None:  # fmt: skip
    """Make a key and print it, this once; the file gets its hash."""
    limits = Limits(
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute,
        concurrency=concurrency, max_prompt=max_prompt, max_output=max_output,
        enforce=not count_only,
    )  # fmt: skip
    limited = limits != Limits(enforce=not count_only)
    if count_only and not limited:
        raise typer.BadParameter("there is no limit to count by", param_hint="--count-only")
    typer.echo(add_key(file, name, streams, tenant, limits if limited else None))
    typer.echo(f"This key is not shown again. {file} has its hash.", err=True)


@app.command("list")
def list_(file: FileOption = Path("keys.yaml")) -> None:
    """Show whose keys there are, and what they may use."""
    for key in read_keys(file):
        typer.echo(f"{key.name:<24} sha256 {key.digest[:8]}…  {', '.join(_bounds(key))}")


def _bounds(key: Key) -> list[str]:
    limits = key.limits or Limits()
    counts = (
        (key.streams, "at once"),
        (limits.requests_per_minute, "requests/min"),
        (limits.tokens_per_minute, "tokens/min"),
        (limits.concurrency, "at once in all gateways"),
        (limits.max_prompt, "tokens a prompt"),
        (limits.max_output, "tokens an answer"),
    )
    found = [f"{count} {unit}" for count, unit in counts if count is not None] or ["no bound"]
    if not limits.enforce:
        found.append("only counted")
    return ([f"tenant {key.tenant}"] if key.tenant else []) + found


@app.command()
def remove(name: NameArgument, file: FileOption = Path("keys.yaml")) -> None:
    """Take a key out of the file; a fleet that is up notices within seconds."""
    remove_key(file, name)
    typer.echo(f"{name} is no longer in {file}")
