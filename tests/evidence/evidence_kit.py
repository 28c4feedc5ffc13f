"""Fleet files and results for tests of evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.evidence.deployment import fingerprint_of
from headrace.evidence.fingerprint import Fingerprint
from headrace.evidence.result import Evidence, Figure, Support, Variant, made
from headrace.fleet.load import load_fleet
from headrace.hardware.machine import Machine
from headrace.models.lock import LockedFile, LockEntry

MACHINE = Machine((0, 1), 2.0, 24 * 2**30, 20 * 2**30)
DAY = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
FLEET = """\
fleet: f
models:
  m: {weights: "hf://o/m@main"}
hardware:
  h: {kind: gpu, product: H100}
deployments:
  d:
    model: m
    hardware: h
    engine:
      name: vllm
      version: 0.32.0
      flags: {enable-prefix-caching: true, block-size: 16}
      env: {VLLM_LOGGING_LEVEL: INFO, OMP_NUM_THREADS: "2"}
    max_model_len: 4096
    max_num_seqs: 16
    quantization: fp8
routes:
  r: {match: {model: [m]}, deployment: d}
"""


def lock(sha256: str = "a" * 64) -> dict[str, LockEntry]:
    file = LockedFile(path="model.safetensors", size=1, sha256=sha256)
    return {"m": LockEntry(source="hf://o/m@main", resolved="abc", files=(file,))}


def of_text(folder: Path, text: str = FLEET, sha256: str = "a" * 64) -> Fingerprint:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return fingerprint_of(load_fleet(file).fleet, "d", lock(sha256), MACHINE)


def plain(**fields: Any) -> Fingerprint:
    flags = {"max_model_len": 4096, "max_num_seqs": 16}
    return Fingerprint(**{"model": "m", "weights": "hf://o/m@main", "flags": flags} | fields)


def result(
    *fingerprints: Fingerprint, supports: tuple[Support, ...] = (), **fields: Any
) -> Evidence:
    """Return a result with variants `a`, `b`, …"""
    names = "abcdef"
    variants = tuple(
        Variant(name=name, fingerprint=one, figures={"ttft p50": Figure(value=0.2, unit="s")})
        for name, one in zip(names, fingerprints, strict=False)
    )
    given = {"experiment": "baseline", "deployment": "d", "taken": DAY} | fields
    return made(variants=variants, supports=supports, **given)
