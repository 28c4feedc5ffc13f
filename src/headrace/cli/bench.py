"""`headrace bench`: a load on the running fleet, or on any OpenAI-compatible endpoint.

`bench_options.py` has the options, `bench_plan.py` makes a load of them, `bench_target.py` finds
what is measured, `bench_live.py` shows the run, and `bench_results.py` what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from headrace.cli import bench_options as given
from headrace.cli.running import FleetArgument


class _RunUnlessSaid(TyperGroup):
    """`bench FLEET` and `bench --url …` mean `bench run …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front of what is no command."""
        said = args[:1] and args[0] in self.commands
        return super().parse_args(ctx, args if said else ["run", *args])


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a person can mend into a sentence and status 1."""
    from headrace.bench.folder import FolderError  # noqa: PLC0415 - the other verbs start faster
    from headrace.bench.tokens import TokenizerError  # noqa: PLC0415 - as above
    from headrace.traffic.errors import TrafficError  # noqa: PLC0415 - as above

    try:
        yield
    except (FolderError, TokenizerError, TrafficError) as error:
        typer.echo(f"headrace: {error}", err=True)
        raise typer.Exit(1) from None


app = typer.Typer(cls=_RunUnlessSaid, help="Measure the running fleet, or any endpoint.")


@app.command()
def run(  # noqa: PLR0917 - typer reads the options from the signature
    fleet: FleetArgument = None,
    url: given.UrlOption = None,
    model: given.ModelOption = None,
    arrivals: given.ArrivalsOption = None,
    concurrency: given.ConcurrencyOption = None,
    count: given.CountOption = None,
    duration: given.DurationOption = None,
    shape: given.ShapeOption = None,
    file: given.FileOption = None,
    trace: given.TraceOption = None,
    time_scale: given.TimeScaleOption = 1.0,
    shrink: given.ShrinkOption = 1,
    clip: given.ClipOption = False,
    sessions: given.SessionsOption = None,
    prefix: given.PrefixOption = None,
    context: given.ContextOption = None,
    warmup: given.WarmupOption = "0",
    slo: given.SloOption = None,
    patience: given.PatienceOption = "60s",
    most_in_flight: given.BoundOption = None,
    workers: given.WorkersOption = None,
    seed: given.SeedOption = 0,
    completions: given.CompletionsOption = False,
    own_length: given.OwnLengthOption = False,
    fresh: given.FreshOption = False,
    texts: given.TextsOption = False,
    metrics: given.MetricsOption = None,
    name: given.NameOption = None,
    out: given.OutOption = None,
    as_json: given.JsonOption = False,
    export: given.ExportOption = None,
) -> None:
    """Send a load and say what it met: times, tokens, failures, and whether to believe them.

    A fleet that asks for API keys gets the one in $HEADRACE_KEY, else that in $OPENAI_API_KEY.
    `headrace bench report FOLDER` shows a finished run again, `headrace bench compare A B` what
    differs between two. The exit status is 1 if the run is worthless (such as many failures) or
    nothing was answered, 130 after Ctrl-C, else 0, also where some figures are doubtful.
    """
    from headrace.cli.bench_perform import Named, perform, write_prompts  # noqa: PLC0415 - verbs start faster
    from headrace.cli.bench_plan import read_words  # noqa: PLC0415 - as above
    from headrace.cli.bench_target import addressed, of_fleet  # noqa: PLC0415 - as above

    if url and fleet:
        raise typer.BadParameter("give a fleet or --url, not both")
    if export and (name or out or as_json):
        raise typer.BadParameter("--export sends nothing: no run for --name, --out or --json")
    plan = read_words(
        given.Words(
            arrivals=arrivals, concurrency=concurrency, count=count, duration=duration,
            shape=shape, file=file, trace=trace, time_scale=time_scale, shrink=shrink, clip=clip,
            sessions=sessions, prefix=prefix, context=context, warmup=warmup, slo=slo,
            patience=patience, most_in_flight=most_in_flight, workers=workers, seed=seed,
            completions=completions, own_length=own_length, fresh=fresh, texts=texts,
        )
    )  # fmt: skip
    pages, chat = metrics or [], not completions
    if url:
        subject = addressed(url, model, chat=chat, pages=pages)
    else:
        subject = of_fleet(fleet, model, chat=chat, pages=pages)
    with _told():
        if export:
            write_prompts(subject, plan, export, Console())
            return
        raise typer.Exit(perform(subject, plan, Named(name, out, as_json), Console(stderr=as_json)))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, as `headrace bench` named it.")],
    as_json: given.JsonOption = False,
) -> None:
    """Show a finished run again, and make its summary and page anew."""
    from headrace.bench.judged import judged  # noqa: PLC0415 - the other verbs start faster
    from headrace.cli.bench_results import read_told, show  # noqa: PLC0415 - as above

    with _told():
        found = read_told(folder)
    if not show(judged(found), folder, Console(stderr=as_json), as_json=as_json):
        raise typer.Exit(1)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="The folder of a run.")],
    after: Annotated[Path, typer.Argument(help="The folder of another, with the same requests.")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Though other was asked of it.")] = False,
) -> None:
    """Say in which figures two runs differ, and by how much more than chance would have it."""
    from headrace.bench import versus  # noqa: PLC0415 - the other verbs start faster
    from headrace.cli.bench_results import read_told, show_comparison  # noqa: PLC0415 - as above

    with _told():
        runs = read_told(before), read_told(after)
    try:
        found = versus.compare(*runs, anyway=anyway)
    except versus.IncomparableError as error:
        typer.echo(f"headrace: {error} (--anyway)", err=True)
        raise typer.Exit(1) from None
    show_comparison(found, Console())
