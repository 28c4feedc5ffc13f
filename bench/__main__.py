"""`python -m bench`: run the benchmark, show how far it is, print the table, keep the numbers."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from bench.contenders import NAMES, Contender, contenders
from bench.measure import Measurement, Setting, measure
from bench.plan import QUICK, SCENARIOS, TOGETHER, Scenario, order, shortened
from bench.processes import ROOT, Cores, MeasureError, divide
from bench.report import Report, machine, markdown, versions, write
from bench.together import Together, measure_together
from bench.verdict import RIVALS, verdicts

FOLDER = ROOT / ".bench"
_FILES = 16_384  # open files: a proxy has two connections per stream
_QUIET = 0.5  # a load average above this is somebody else's
_MORE = 2  # further repeats for verdicts
_NAMES = tuple(dict.fromkeys(scenario.name for scenario in (*SCENARIOS, *TOGETHER)))
_START_UP = 1.5  # seconds that a measurement takes besides its load, for the estimate


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


@dataclass(frozen=True)
class Step:
    """One measurement to be made: of one contender, or of several at once."""

    scenario: Scenario
    takers: tuple[Contender, ...]
    repeat: int

    def __str__(self) -> str:
        """Say it in words."""
        who = " + ".join(taker.name for taker in self.takers)
        return f"{self.scenario.name} {who}, repeat {self.repeat + 1}"


@dataclass
class Bench:
    """The measurements so far."""

    steps: Sequence[Step]
    cores: Cores
    kept: list[Measurement] = field(default_factory=list)
    dropped: list[Measurement] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def most_again(self) -> int:
        """How many measurements may be repeated: on a machine that is never quiet it is no use."""
        return 1 + len(self.steps) // 10

    def run(self) -> None:
        """Take the steps; say how far it is."""
        for number, step in enumerate(self.steps):
            left = sum(one.scenario.seconds + _START_UP for one in self.steps[number:])
            say(f"[{number + 1:3}/{len(self.steps)}] {step}; about {left / 60:.1f} min left")
            try:
                if len(step.takers) > 1:
                    self._keep_together(step)
                else:
                    self._keep(step.scenario, step.takers[0], step.repeat)
            except MeasureError as failure:
                self.failures.append(f"{step}: {failure}")
                say(f"          failed: {failure}")

    def _keep_together(self, step: Step) -> None:
        found = measure_together(step.scenario, step.takers, step.repeat, self.cores)
        self.together.append(found)
        each = ", ".join(f"{name} {cost * 1e6:.1f}" for name, cost in found.costs.items())
        state = f"invalid ({found.invalid})" if found.invalid else "ok"
        say(f"          CPU s/M chunks: {each}; load late by {found.late * 1e3:.1f} ms: {state}")

    def _keep(self, scenario: Scenario, taker: Contender, repeat: int) -> None:
        setting = Setting(scenario, taker, repeat, self.cores)
        best = measure(setting)
        if (best.invalid or best.blurred) and len(self.dropped) < self.most_again:
            say(f"          {_summary(best)}; once more")
            best, worse = sorted((best, measure(setting)), key=_badness)
            self.dropped.append(worse)
        self.kept.append(best)
        say(f"          {_summary(best)}")


def _badness(one: Measurement) -> tuple[bool, float]:
    return bool(one.invalid), one.lag


def _summary(one: Measurement) -> str:
    outcome = one.outcome
    cost = one.cpu / (outcome.chunks or outcome.requests)
    if outcome.chunks:
        text = f"{cost * 1e6:.1f} CPU s/M chunks, TTFT p50 {outcome.ttft.p50 * 1e3:.2f} ms"
    else:
        text = f"{cost * 1e6:.0f} CPU us/request, p50 {outcome.latency.p50 * 1e3:.2f} ms"
    state = f"invalid ({one.invalid})" if one.invalid else "times blurred" if one.blurred else "ok"
    return f"{text}, load late by {one.lag * 1e3:.1f} ms: {state}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: one short repeat, fewer scenarios"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=_NAMES,
        metavar="SCENARIO",
        help="only this scenario (may be repeated): " + ", ".join(_NAMES),
    )
    parser.add_argument(
        "--against",
        action="append",
        choices=NAMES[2:],
        metavar="PEER",
        help="only this peer (may be repeated): " + ", ".join(NAMES[2:]),
    )
    parser.add_argument(
        "--repeats", type=int, help="how often everything is measured (default 3, quick 1)"
    )
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace, scenarios: Sequence[Scenario]) -> dict[str, Scenario]:
    names = options.only or (QUICK if options.quick else _NAMES)
    chosen = [scenario for scenario in scenarios if scenario.name in names]
    return {one.name: shortened(one) if options.quick else one for one in chosen}


def _steps(options: argparse.Namespace, takers: Sequence[Contender]) -> list[Step]:
    """Return contenders by themselves, in turning order, and then the rivals at once."""
    by_name = {taker.name: taker for taker in takers}
    apart, at_once = _chosen(options, SCENARIOS), _chosen(options, TOGETHER)
    repeats = _repeats(options)
    steps = [
        Step(apart[scenario], (by_name[contender],), repeat)
        for repeat in range(repeats)
        for scenario in order(list(apart), repeat)
        for contender in order(list(by_name), repeat)
    ]
    if all(rival in by_name for rival in RIVALS):
        rivals = tuple(by_name[rival] for rival in RIVALS)
        more = 0 if options.quick or options.repeats else _MORE
        steps += [
            Step(one, rivals, repeat)
            for repeat in range(repeats + more)
            for one in at_once.values()
        ]
    return steps


def _repeats(options: argparse.Namespace) -> int:
    return int(options.repeats or (1 if options.quick else 3))


def _allow_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, or 1 if a promise is not kept, 2 if busy, 130 on Ctrl-C."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    _allow_files()
    FOLDER.mkdir(exist_ok=True)
    try:
        with FileLock(FOLDER / "lock", blocking=False):
            return _run(options)
    except Timeout:
        say("another benchmark is running in this checkout: two would spoil each other's figures")
        return 2
    except KeyboardInterrupt:
        say("stopped; nothing is left running")
        return 130


def _run(options: argparse.Namespace) -> int:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    names = NAMES if options.against is None else (*NAMES[:2], *options.against)
    everyone = contenders(FOLDER, say, names)
    for one in everyone:
        if one.absent:
            say(f"{one.name}: {one.absent}")
    cores = divide(os.sched_getaffinity(0))
    where = machine()
    say(f"{where}; {cores}")
    if os.getloadavg()[0] > _QUIET:
        say("this machine is busy with other work: expect late loads and wide spreads")
    present = [one for one in everyone if not one.absent]
    bench = Bench(_steps(options, present), cores)
    begun = time.monotonic()
    bench.run()
    found = verdicts(bench.kept, bench.together)
    report = Report(
        started=started,
        machine=where,
        cores=str(cores),
        versions=versions(everyone),
        repeats=_repeats(options),
        quick=options.quick,
        absent={one.name: one.absent for one in everyone if one.absent},
        measurements=bench.kept,
        together=bench.together,
        dropped=bench.dropped,
        failures=bench.failures,
        verdicts=[str(verdict) for verdict in found],
    )
    file = write(report, FOLDER / "results")
    say(f"\n{markdown(report)}\n{time.monotonic() - begun:.0f} s; numbers in {file}")
    return int(any(verdict.kept is False for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
