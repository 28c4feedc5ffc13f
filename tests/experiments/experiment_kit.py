"""Made-up figures, and small fleets of twins, for the tests of experiments."""

from pathlib import Path
from typing import Any

from headrace.experiments.begin import Voice, lab_for_file
from headrace.experiments.case import Case
from headrace.experiments.lab import Lab
from headrace.experiments.measured import Measured
from headrace.fleet.load import FleetFile, load_fleet

FLEET = """
fleet: tried
models: {{any: {{weights: "file:///nowhere"}}}}
hardware:
  twins: {{kind: emulated, ttft: 5ms, tpot: {tpot}, prefill: {prefill}, start: 0ms, kv_tokens: 8192, hourly_price: 2}}
deployments:
  chat: {{model: any, hardware: twins, max_model_len: 1024, max_num_seqs: {seats}}}
routes:
  chat:
    match: {{model: [friend, chat]}}
    deployment: chat
    slo: {{ttft: 2s, tpot: 500ms}}
    traffic: {{rate: 1, prompt: {{p50: 60, p99: 200}}, output: {{p50: 8, p99: 40}}}}
gateway: {{port: 8080, keys: keys.json}}
"""


def write_twins(
    folder: Path, *, tpot: str = "2ms", prefill: str = "20ms", seats: int = 8
) -> FleetFile:
    path = folder / "tried.yaml"
    path.write_text(FLEET.format(tpot=tpot, prefill=prefill, seats=seats))
    return load_fleet(path)


def lab_of(file: FleetFile, folder: Path, said: list[str] | None = None) -> Lab:
    tell = (said if said is not None else []).append
    return lab_for_file(file, None, folder, Voice(tell, lambda _: None))


def ran(**given: Any) -> Measured:
    """A run of which only what is said is known."""
    defaults = {
        "asked": 100, "whole": 100, "failed": 0, "seconds": 10.0, "requests": 1.0,
        "output_tokens": 10.0, "total_tokens": 20.0,
    }  # fmt: skip
    return Measured(**(defaults | given))


def case(**given: Any) -> Case:
    return Case(**({"deployment": "chat", "model": "friend"} | given))
