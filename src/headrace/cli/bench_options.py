"""The options of `headrace bench`, and what they say together before anything is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SLO = "such as ttft=2s,tpot=150ms"

UrlOption = Annotated[
    str | None, typer.Option(help="Instead of a fleet: http://host:port/v1; with --model.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="The alias to ask; default: the first.")
]
ArrivalsOption = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        "-a",
        help="Open loop: a rate (Poisson), constant:2, gamma:5:0.3, ramp:1-10:60s, "
        "steps:2x30s,8x30s, or replay of a trace.",
    ),
]
ConcurrencyOption = Annotated[
    int | None, typer.Option("--concurrency", "-c", min=1, help="Closed loop: so many clients.")
]
CountOption = Annotated[int | None, typer.Option("--count", "-n", min=1, help="Requests.")]
DurationOption = Annotated[
    str | None, typer.Option("--duration", help="How long requests come, as 60s.")
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        help="[WEIGHT*][NAME=]PROMPT:ANSWER in tokens, each N or P50-P99; or short/short, "
        "short/long, long/moderate, mixed. Several are mixed."
    ),
]
FileOption = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Prompts, one a line or JSONL.")
]
TraceOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A recorded trace: lengths and times."),
]
TimeScaleOption = Annotated[float, typer.Option(help="Of a replay: 2 is twice as slow.")]
ShrinkOption = Annotated[int, typer.Option(min=1, help="Divide a trace's lengths by this.")]
ClipOption = Annotated[
    bool, typer.Option("--clip", help="Shorten what does not fit, instead of leaving it out.")
]
SessionsOption = Annotated[str | None, typer.Option(help="Conversations: TURNS[:PAUSE], as 4:2s.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="A shared beginning: TOKENS[:SHARE[:HOW MANY]], as 512:80%.")
]
ContextOption = Annotated[
    int | None, typer.Option(min=2, help="Prompt and answer together; default: the deployment's.")
]
WarmupOption = Annotated[str, typer.Option(help="Not counted: 20 (requests) or 10s.")]
SloOption = Annotated[str | None, typer.Option(help=f"Promises, {SLO}; default: the route's.")]
PatienceOption = Annotated[str, typer.Option(help="Silence after which a stream is given up.")]
BoundOption = Annotated[
    int | None, typer.Option(min=1, help="Bound of an open loop; waiting for it is lag.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes that send; default: as many as it takes.")
]
SeedOption = Annotated[int, typer.Option(help="Other seeds send other prompts and times.")]
CompletionsOption = Annotated[
    bool, typer.Option("--completions", help="Text to /completions instead of chats.")
]
OwnLengthOption = Annotated[
    bool, typer.Option("--own-length", help="Let answers end before their length.")
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="A new connection for every request.")]
TextsOption = Annotated[bool, typer.Option("--texts", help="Keep the answers' texts.")]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="More metrics pages: [NAME=]http://host:port/metrics; NAME is gateway for Headrace's."
    ),
]
NameOption = Annotated[str | None, typer.Option(help="Of the run; default: fleet and model.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Default: bench-results/TIME-NAME.")
]
ExportOption = Annotated[
    Path | None,
    typer.Option(help="Write the prompts to FILE.jsonl for another client, and send nothing."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The summary, for programs.")]


@dataclass(frozen=True, kw_only=True)
class Words:
    """The options as they were given; `bench_plan.py` makes a load and a workload of them."""

    arrivals: str | None
    concurrency: int | None
    count: int | None
    duration: str | None
    shape: list[str] | None
    file: Path | None
    trace: Path | None
    time_scale: float
    shrink: int
    clip: bool
    sessions: str | None
    prefix: str | None
    context: int | None
    warmup: str
    slo: str | None
    patience: str
    most_in_flight: int | None
    workers: int | None
    seed: int
    completions: bool
    own_length: bool
    fresh: bool
    texts: bool
