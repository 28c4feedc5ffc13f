"""One run of `headrace bench` from its plan to its folder: try, write the prompts, send, show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer
import uvloop
from rich.console import Console

from headrace.bench.answers import Answer, Failure
from headrace.bench.asks import Ask
from headrace.bench.engine_tokens import discover_for
from headrace.bench.export import export
from headrace.bench.folder import FolderError, Writer, check_free, fresh_folder
from headrace.bench.judged import judged
from headrace.bench.load import Load
from headrace.bench.measure import measure
from headrace.bench.run import About, Run
from headrace.bench.words import seconds
from headrace.bench.workload import build
from headrace.bench.workload_order import WorkloadOrder
from headrace.cli import bench_live
from headrace.cli.bench_plan import Plan, filled
from headrace.cli.bench_results import show
from headrace.cli.bench_target import Subject
from headrace.traffic.arrivals import Replay

_TRIAL = "Say hello."
_KEY_HINT = "; a key is taken from $HEADRACE_KEY"


@dataclass(frozen=True)
class Named:
    """What the run is called, where it goes, and whether its summary is printed for programs."""

    name: str | None
    out: Path | None
    as_json: bool


def perform(subject: Subject, plan: Plan, named: Named, console: Console) -> int:
    """Do one run and return the status: 0, 130 if interrupted, 1 if it is worth nothing.

    It is worth nothing, too, if not all of it was kept.

    FolderError, TrafficError and TokenizerError say what a person can mend.
    """
    plan = _filled(subject, plan)
    name = named.name or subject.name
    if named.out:
        check_free(named.out)
    load = _tried(subject, plan.load, console)
    subject = subject.with_pages()  # now that what slept is awake
    asks = _asks(subject, plan, console)
    about = _about(subject.asked(asks), plan, load, name)
    folder = named.out or fresh_folder(subject.beside, name)
    writer = Writer(folder, about)
    try:
        run = bench_live.run(subject.target, asks, load, writer, console, subject.listing)
    finally:
        writer.close()
    _complete(run, about)
    if load.seconds and run.about.seconds < load.seconds and not run.about.interrupted:
        console.print(
            f"all {len(asks)} requests were over before the time was; give a larger --count"
        )
    whole = _kept(writer, run)
    found = judged(run)
    whole = show(found, folder, console, as_json=named.as_json) and whole
    if run.about.interrupted:
        return bench_live.INTERRUPTED
    return 0 if whole and found.of_use else 1


def write_prompts(subject: Subject, plan: Plan, file: Path, console: Console) -> None:
    """Write what would be sent to a file for other clients; TrafficError if it does not fit."""
    asks = _asks(subject.with_pages(), _filled(subject, plan), console)
    export(asks, file)
    console.print(f"{len(asks):,} prompts are in {file}; none was sent", soft_wrap=True)


def _filled(subject: Subject, plan: Plan) -> Plan:
    traffic = subject.route.traffic if subject.route else None
    return filled(plan, traffic, subject.context)


def _kept(writer: Writer, run: Run) -> bool:
    """Finish the folder; say so, and return False, if the disk does not take it."""
    try:
        writer.end(run)
    except FolderError as error:
        typer.echo(f"headrace: {error}", err=True)
        return False
    return True


def _tried(subject: Subject, load: Load, console: Console) -> Load:
    """Send one request before all others; return the load as the endpoint can take it.

    It wakes what sleeps, opens what is lazy, and finds out what is wrong while that costs nothing.
    An engine that knows no `ignore_eos` refuses it; then answers have their own lengths.
    """
    console.print(f"one request to {subject.target.address} first", style="dim", highlight=False)
    answer = _one(subject, load)
    if answer.failure is Failure.REFUSED and load.exact_length:
        without = msgspec.structs.replace(load, exact_length=False)
        again = _one(subject, without)
        if again.failure is None:
            console.print("the endpoint takes no ignore_eos: answers have their own lengths")
            return without
    if answer.failure is not None:
        typer.echo(
            f"headrace: the first request failed ({answer.failure}: {answer.detail}); "
            f"no load was sent{_KEY_HINT if answer.detail.startswith('401:') else ''}",
            err=True,
        )
        raise typer.Exit(1)
    return load


def _one(subject: Subject, load: Load) -> Answer:
    ask = Ask(number=0, prompt=_TRIAL, max_tokens=4)
    once = msgspec.structs.replace(load, concurrency=1, workers=0, warmup=0)
    run = uvloop.run(measure(subject.target, [ask], once, lambda _: None))
    return run.answers[0]


def _asks(subject: Subject, plan: Plan, console: Console) -> list[Ask]:
    tokenizer = discover_for(subject.target, subject.weights)
    notes: list[str] = []
    asks = build(plan.order, tokenizer, notes)
    for note in (f"tokens counted by {tokenizer.label}", *notes, *_lasts(asks, plan.order)):
        console.print(note, style="dim", highlight=False, soft_wrap=True)
    return asks


def _lasts(asks: list[Ask], order: WorkloadOrder) -> Iterator[str]:
    """Say how long a replay takes: nobody else knows before it is over."""
    due = [ask.at for ask in asks if ask.at is not None]
    if due and isinstance(order.arrivals, Replay):
        yield f"the last is due after {seconds(max(due))}; --time-scale 0.1 takes a tenth of that"


def _about(subject: Subject, plan: Plan, load: Load, name: str) -> About:
    return About(
        name=name,
        address=subject.target.address,
        model=subject.target.model,
        began="",
        load=msgspec.to_builtins(load),
        workload=msgspec.to_builtins(plan.order),
        slo=subject.slo if plan.slo is None else plan.slo,
        setting=subject.setting,
    )


def _complete(run: Run, about: About) -> None:
    """Give a run's `about` what only this verb knows."""
    run.about.name, run.about.slo = about.name, about.slo
    run.about.workload, run.about.setting = about.workload, about.setting
