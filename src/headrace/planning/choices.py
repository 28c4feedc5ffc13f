"""Which hardware, layout and quantization to take for a deployment: its file as a question.

The routes say what is asked and promised, the file's hardware (or names from the catalogue) what is
offered; `capacity.choose` ranks. `choice_page.py` shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from headrace.capacity.lengths import Lengths
from headrace.capacity.options import Ask, Offer
from headrace.capacity.recommend import enough
from headrace.fleet.load import FleetFile
from headrace.fleet.types import Hardware
from headrace.hardware.catalogue import accelerators
from headrace.planning.errors import PlanError
from headrace.planning.places import Place, place_of
from headrace.planning.subject import Subject

EVERY = "all"
"""Offers all that the catalogue has."""
NODES = 8
"""Nodes that one replica may span, of what is named and not in the file."""


def offers(file: FleetFile, names: Iterable[str]) -> tuple[Offer, ...]:
    """Return what is on offer: `H100`, `H100=2.5` with its hourly price, `all`; else the file's.

    PlanError names what is unknown, or that the file has no GPUs.
    """
    named = list(names)
    if named:
        return tuple(offer for name in named for offer in _named(name))
    found = {name: one for name, one in file.fleet.hardware.items() if one.product}
    if not found:
        raise PlanError(
            f"{file.path} has no hardware with a product to choose from; name some: --on H100=2.5"
        )
    return tuple(_offer(place_of(name, hardware)) for name, hardware in found.items())


def _named(text: str) -> Iterator[Offer]:
    name, equals, price = text.partition("=")
    hourly = _price(text, price) if equals else None
    products = [one.name for one in accelerators()] if name == EVERY else [name]
    for product in products:
        hardware = Hardware(kind="gpu", product=product, hourly_price=hourly, nodes=NODES)
        try:
            yield _offer(place_of(product, hardware))
        except PlanError as error:
            raise PlanError(f"--on {text}: {error.__cause__ or error}") from error


def _price(text: str, price: str) -> float:
    try:
        hourly = float(price)
    except ValueError as error:
        raise PlanError(f"--on {text}: the price of an hour must be a number") from error
    if not (math.isfinite(hourly) and hourly >= 0):
        raise PlanError(f"--on {text}: the price of an hour must be 0 or more")
    return hourly


def _offer(place: Place) -> Offer:
    return Offer(place.nodes, place.price)


def question(subject: Subject, rate: float | None = None) -> Ask:
    """Return what a deployment's routes ask; PlanError without a rate."""
    asked = rate if rate is not None else subject.rate
    if asked is None:
        why = (f"route {one.route} {one.unknown}" for one in subject.loads if one.unknown)
        raise PlanError(f"{'; '.join(why)}; set it, or give --rate")
    architecture, weights = subject.architecture, subject.facts.weights
    length = subject.deployment.max_model_len or enough(subject.traffic, architecture.context)
    try:
        return Ask(
            architecture,
            Lengths.of(subject.traffic),
            asked,
            subject.slo,
            max_model_len=length,
            weights={weights.scheme: weights},
            gpu_memory_utilization=subject.setup.gpu_memory_utilization,
            kv_dtype_bytes=subject.setup.kv_dtype_bytes,
            efficiencies=subject.calibrations.everywhere(architecture, subject.engine),
        )
    except ValueError as error:
        raise PlanError(f"deployments.{subject.name}: {error}") from error
