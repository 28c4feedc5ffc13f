"""The table that people read (Markdown) and the file that keeps every number (JSON)."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.contenders import Contender
from bench.figures import FIGURES, Figure, compare, over_repeats
from bench.measure import MOST_LAG, MOST_LAG_SHARE, Measurement
from bench.router_install import VERSION
from bench.stats import Repeats
from bench.together import Together

_PEERS = ("nginx", "vllm-router")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark; `dropped` could not be used and were repeated."""

    started: str
    machine: str
    cores: str
    versions: dict[str, str]
    repeats: int
    quick: bool
    absent: dict[str, str]
    measurements: list[Measurement]
    together: list[Together]
    dropped: list[Measurement]
    failures: list[str]
    verdicts: list[str]


def machine() -> str:
    """Return processor, usable cores and how busy they are, kernel and Python in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores (load average {os.getloadavg()[0]:.1f}), "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def versions(contenders: Sequence[Contender]) -> dict[str, str]:
    """Return the peers' versions, as far as they take part."""
    found = {}
    for one in contenders:
        if one.name == "nginx" and not one.absent:
            found["nginx"] = _nginx_version()
        elif one.name == "vllm-router" and not one.absent:
            found["vllm-router"] = VERSION
    return found


def _nginx_version() -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    told = subprocess.run(
        ["nginx", "-v"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    return told.stderr.strip().rsplit("/", 1)[-1]


def write(report: Report, folder: Path) -> Path:
    """Keep the report as `<utc>.json` and `<utc>.md` in the folder; return the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(report.started).astimezone(UTC)
    file = folder / f"{stamp:%Y%m%dT%H%M%SZ}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    file.with_suffix(".md").write_text(markdown(report))
    return file


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    parts = [
        _head(report),
        _table(report),
        _comparison(report.measurements),
        _notes(report),
        "\n".join(report.verdicts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    which = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"# Cost of the gateway\n\n{report.started}; {report.machine}; {report.cores}. "
        f"Peers: {which or 'none'}. Repeats: {report.repeats}"
        f"{' (shortened)' if report.quick else ''}; each cell is the median and, after the sign, "
        "largest less smallest. Lower is better."
    )


def _table(report: Report) -> str:
    names = ["headrace", *_PEERS]
    rows = [
        [f"{figure.name} ({figure.unit})", *(_cell(figure, report, name) for name in names)]
        for figure in _shown(report)
    ]
    return _rows(["", *names], rows)


def _shown(report: Report) -> list[Figure]:
    ran = {one.scenario for one in report.measurements}
    return [figure for figure in FIGURES if figure.scenario in ran]


def _cell(figure: Figure, report: Report, name: str) -> str:
    if reason := report.absent.get(name):
        return reason
    found = over_repeats(figure, report.measurements, name)
    return _value(figure, found) if found else "no usable run"


def _value(figure: Figure, found: Repeats) -> str:
    digits = 2 if figure.unit == "ms" else 1
    sign = "+" if figure.added else ""
    late = "~" if found.late else ""
    return f"{late}{found.median:{sign}.{digits}f} ±{found.spread:.{digits}f}"


def _comparison(measurements: Sequence[Measurement]) -> str:
    rows = []
    for figure in FIGURES:
        cells = [_against(figure, measurements, peer) for peer in _PEERS]
        if any(cells):
            rows.append([f"{figure.name}", *(cell or "-" for cell in cells)])
    if not rows:
        return ""
    return _rows(["headrace against", *_PEERS], rows)


def _against(figure: Figure, measurements: Sequence[Measurement], peer: str) -> str:
    found = compare(figure, measurements, "headrace", peer)
    if found is None:
        return ""
    size = f"{found.difference:+.2f} ms" if figure.added else f"{found.ratio:.2f}x"
    return f"{size}, inconclusive" if found.inconclusive else size


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


_NOTES = f"""\
* CPU is user and system time of the proxy's whole process tree over the load, requests included:
  1 request per 100 chunks at 50 and 200 streams, 1 per 40 at 1,000.
* Added times are differences to the direct connection in the same repeat. A difference of two P99s
  is not the P99 of the difference.
* A difference no larger than either side's spread (or with one repeat only) is called inconclusive.
* A run with an error, or with a load later than {MOST_LAG * 1000:.0f} ms at p99, is not used. Its
  times are not used either if the load was later than {MOST_LAG_SHARE:.0%} of the gap, unless no
  repeat was better: then they are marked ~."""


def _notes(report: Report) -> str:
    notes = [_NOTES, f"* {len(report.dropped)} of them were replaced by a second try."]
    for one in report.measurements:
        where = f"{one.scenario} {one.contender}, repeat {one.repeat + 1}"
        if one.invalid:
            notes.append(f"* not used: {where}: {one.invalid}")
        elif one.blurred:
            notes.append(f"* late: {where}: {one.lag * 1000:.1f} ms at p99")
    notes += [
        f"* not used: {one.scenario}, all at once, repeat {one.repeat + 1}: {one.invalid}"
        for one in report.together
        if one.invalid
    ]
    return "\n".join([*notes, *(f"* failed: {failure}" for failure in report.failures)])
