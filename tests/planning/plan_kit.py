"""Fleet files for tests of plans: one deployment `d` of Llama-3.1-8B on an H100, varied by field."""

from __future__ import annotations

from pathlib import Path

from headrace.fleet.load import FleetFile, load_fleet
from headrace.hardware.accelerator import Accelerator, Link
from headrace.planning.plan import Plan, plan
from headrace.planning.subject import Subject, subject

RECORDED = Path(__file__).parents[1] / "recorded"
LLAMA = "hf://meta-llama/Llama-3.1-8B-Instruct@main"
SMALL = "hf://HuggingFaceTB/SmolLM2-135M-Instruct@main"
CHAT = "traffic: {rate: 5, prompt: {p50: 1000, p99: 4000}, output: {p50: 150, p99: 600}}"
SHORT = "traffic: {rate: 0.5, prompt: {p50: 60, p99: 400}, output: {p50: 40, p99: 100}}"
FLEET = """\
fleet: f
models: {{m: {{weights: "{model}"}}}}
hardware: {{h: {{{hardware}}}}}
deployments:
  d: {{model: m, hardware: h{deployment}}}
routes:
  r: {{match: {{model: [m]}}, deployment: d{route}}}
"""


def write(
    folder: Path,
    *,
    deployment: str = "",
    route: str = CHAT,
    hardware: str = "kind: gpu, product: H100",
    model: str = LLAMA,
) -> Path:
    """Write a fleet file; each part is the inside of a mapping."""
    file = folder / "fleet.yaml"
    text = FLEET.format(
        model=model,
        hardware=hardware,
        deployment=f", {deployment}" if deployment else "",
        route=f", {route}" if route else "",
    )
    file.write_text(text, encoding="utf-8")
    return file


def fleet(folder: Path, **parts: str) -> FleetFile:
    return load_fleet(write(folder, **parts))


def about(folder: Path, **parts: str) -> Subject:
    return subject(fleet(folder, **parts), "d")


def planned(folder: Path, **parts: str) -> Plan:
    return plan(about(folder, **parts))


def text_of(folder: Path, text: str) -> FleetFile:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return load_fleet(file)


def cpu(bandwidth: float = 40e9, compute: float = 2e11) -> Accelerator:
    """Return two cores with 16 GiB, as if measured."""
    none = Link("none", 1e9)
    return Accelerator(
        "CPU", 16 * 2**30, bandwidth, {"fp32": compute, "bf16": compute}, none, none, 1, ("test",),
        kind="cpu",
    )  # fmt: skip
