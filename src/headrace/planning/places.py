"""A hardware entry of the file as accelerators in nodes, with what one of them costs.

GPUs come from the catalogue by their product, the CPU of this machine is measured once a day and
remembered. A twin with a `product` is planned as that product.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from headrace.capacity.layouts import Nodes
from headrace.fleet.types import Hardware
from headrace.hardware.accelerator import Accelerator
from headrace.hardware.catalogue import UnknownAcceleratorError, example_price, find_accelerator
from headrace.hardware.machine import Machine, read_machine
from headrace.hardware.measure_cpu import cpu_model, measure_cpu
from headrace.models.cache import cache_root
from headrace.models.lock import replace_file
from headrace.planning.errors import PlanError

_BUSY = 0.5
"""Load of the last minute for each core, from which on others take what is measured."""
_SOON = 300.0
"""Seconds after which it is then measured again."""
DAY = 86_400.0
"""Seconds after which a CPU is measured again."""


@dataclass(frozen=True)
class Place:
    """Where replicas run; `price` is of one accelerator and hour, 0 where nobody said one."""

    name: str
    nodes: Nodes
    price: float
    price_basis: str
    """Whose figure it is: the file's, or an example with its date."""

    @property
    def accelerator(self) -> Accelerator:
        """What its nodes have."""
        return self.nodes.accelerator


class _Remembered(msgspec.Struct):
    """A measured CPU, on which machine that was, and when (seconds since 1970)."""

    machine: str
    accelerator: Accelerator
    measured: float


def place_of(name: str, hardware: Hardware) -> Place:
    """Return the place of a hardware entry; PlanError if nothing is known of its product."""
    accelerator = _accelerator(name, hardware)
    nodes = Nodes(accelerator, hardware.per_node or accelerator.per_node, hardware.nodes)
    price, basis = _price(hardware, accelerator)
    return Place(name, nodes, price, basis)


def _accelerator(name: str, hardware: Hardware) -> Accelerator:
    if hardware.kind == "cpu":
        return local_cpu()
    if hardware.product is None:
        raise PlanError(
            f"hardware.{name}.product is not said, so nothing is known of its memory and speed; "
            "name one, such as H100 (a twin is planned as the product that it stands for)"
        )
    try:
        return find_accelerator(hardware.product)
    except UnknownAcceleratorError as error:
        raise PlanError(f"hardware.{name}.product: {error}") from error


def _price(hardware: Hardware, accelerator: Accelerator) -> tuple[float, str]:
    if hardware.hourly_price is not None:
        return hardware.hourly_price, "the file's hourly_price"
    example = example_price(accelerator)
    if example is None:
        return 0.0, "no price: set hourly_price of the hardware"
    return example.usd_per_hour, f"no hourly_price in the file; {example}"


def local_cpu(file: Path | None = None, now: float | None = None) -> Accelerator:
    """Return this machine's CPU as measured within a day; `now` in seconds since 1970.

    Other work on the machine only makes it look slower, so of two measurements with the same cores
    and model the better figures are kept, and one that was taken beside other work is soon taken
    again.
    """
    path = file or cache_root() / "cpu.json"
    now = time.time() if now is None else now
    machine = read_machine()
    label = f"{cpu_model()} {machine.cores} {machine.core_quota} {machine.memory_total}"
    known = _read(path)
    if known is None or known.machine != label:
        return _kept(path, _Remembered(label, measure_cpu(machine=machine), _as_of(now, machine)))
    if 0 <= now - known.measured < DAY:
        return known.accelerator
    best = _better(known.accelerator, measure_cpu(machine=machine))
    return _kept(path, _Remembered(label, best, _as_of(now, machine)))


def _as_of(now: float, machine: Machine) -> float:
    """Return as of when to remember what was measured: almost a day ago if others were at work."""
    busy = os.getloadavg()[0] > _BUSY * len(machine.cores)
    return now - DAY + _SOON if busy else now


def _better(old: Accelerator, new: Accelerator) -> Accelerator:
    compute = {name: max(rate, old.compute.get(name, 0.0)) for name, rate in new.compute.items()}
    return replace(new, bandwidth=max(old.bandwidth, new.bandwidth), compute=compute)


def _kept(path: Path, made: _Remembered) -> Accelerator:
    """Return what was measured, written where the next plan finds it, if that is possible."""
    with suppress(OSError):  # a plan from a read-only home measures each time
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(made))
    return made.accelerator


def _read(path: Path) -> _Remembered | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Remembered)
    except (OSError, msgspec.MsgspecError):  # not measured yet, or by another version
        return None
