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
from bench.plan import QUICK, SCENARIOS, Scenario, order, shortened
from bench.processes import ROOT, Cores, MeasureError, divide
from bench.report import Report, machine, markdown, versions, write
from bench.verdict import PROMISED, RIVALS, verdicts

FOLDER = ROOT / ".bench"
_FILES = 16_384  # open files: a proxy has two connections per stream
_QUIET = 0.5  # a load average above this is somebody else's
_MORE = 4  # further repeats for the verdict: small differences need them
_START_UP = 1.5  # seconds that a measurement takes besides its load, for the estimate


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


@dataclass
class Bench:
    """The measurements so far."""

    scenarios: Sequence[Scenario]
    takers: Sequence[Contender]
    repeats: int
    more: int
    """Further repeats of the scenarios that verdicts are about: their differences are small."""
    cores: Cores
    kept: list[Measurement] = field(default_factory=list)
    dropped: list[Measurement] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def most_again(self) -> int:
        """How many measurements may be repeated: on a machine that is never quiet it is no use."""
        return 1 + len(self.scenarios) * len(self.takers) * self.repeats // 10

    def run(self) -> None:
        """Measure scenario by scenario, contenders one after the other, in turning order."""
        by_name = {taker.name: taker for taker in self.takers}
        scenarios = {scenario.name: scenario for scenario in self.scenarios}
        steps = [
            (scenarios[scenario], by_name[contender], repeat)
            for repeat in range(self.repeats)
            for scenario in order(list(scenarios), repeat)
            for contender in order(list(by_name), repeat)
        ]
        steps += [
            (scenarios[promised], by_name[contender], repeat)
            for repeat in range(self.repeats, self.repeats + self.more)
            for promised in PROMISED
            if promised in scenarios
            for contender in order([name for name in RIVALS if name in by_name], repeat)
        ]
        for number, (scenario, taker, repeat) in enumerate(steps):
            left = sum(step[0].seconds + _START_UP for step in steps[number:])
            what = f"[{number + 1:3}/{len(steps)}] {scenario.name:13} {taker.name:12}"
            say(f"{what} repeat {repeat + 1}, about {left / 60:.1f} min left")
            try:
                self._keep(scenario, taker, repeat)
            except MeasureError as failure:
                self.failures.append(
                    f"{scenario.name} {taker.name}, repeat {repeat + 1}: {failure}"
                )
                say(f"          failed: {failure}")

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
        choices=[scenario.name for scenario in SCENARIOS],
        metavar="SCENARIO",
        help="only this scenario (may be repeated): "
        + ", ".join(scenario.name for scenario in SCENARIOS),
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


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    names = options.only or (QUICK if options.quick else [scenario.name for scenario in SCENARIOS])
    chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
    return [shortened(scenario) for scenario in chosen] if options.quick else chosen


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
    repeats = options.repeats or (1 if options.quick else 3)
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
    more = 0 if options.quick or options.repeats else _MORE
    bench = Bench(_chosen(options), present, repeats, more, cores)
    begun = time.monotonic()
    bench.run()
    found = verdicts(bench.kept)
    report = Report(
        started=started,
        machine=where,
        cores=str(cores),
        versions=versions(everyone),
        repeats=repeats,
        quick=options.quick,
        absent={one.name: one.absent for one in everyone if one.absent},
        measurements=bench.kept,
        dropped=bench.dropped,
        failures=bench.failures,
        verdicts=[str(verdict) for verdict in found],
    )
    file = write(report, FOLDER / "results")
    say(f"\n{markdown(report)}\n{time.monotonic() - begun:.0f} s; numbers in {file}")
    return int(any(verdict.kept is False for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
