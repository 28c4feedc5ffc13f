"""Which hardware, layout and quantization to take for a deployment: its file as a question.

The routes say what is asked and promised, the file's hardware (or names from the catalogue) what is
offered; `capacity.choose` ranks. `choice_page.py` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.capacity.lengths import Lengths
from headrace.capacity.options import Ask, Offer
from headrace.capacity.recommend import enough
from headrace.fleet.load import FleetFile
from headrace.fleet.types import Hardware
from headrace.hardware.catalogue import accelerators
from headrace.planning.errors import PlanError
from headrace.planning.places import place_of
from headrace.planning.subject import Subject

EVERY = "all"
"""Offers all that the catalogue has."""


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
    return tuple(_offer(name, hardware) for name, hardware in found.items())


def _named(text: str) -> Iterator[Offer]:
    name, _, price = text.partition("=")
    if name == EVERY:
        for accelerator in accelerators():
            yield _offer(EVERY, _hardware(accelerator.name, price))
        return
    yield _offer(text, _hardware(name, price))


def _hardware(product: str, price: str) -> Hardware:
    try:
        hourly = float(price) if price else None
    except ValueError as error:
        raise PlanError(f"--on {product}={price}: the price of an hour must be a number") from error
    if hourly is not None and not 0 <= hourly < float("inf"):
        raise PlanError(f"--on {product}={price}: the price of an hour must be 0 or more")
    return Hardware(kind="gpu", product=product, hourly_price=hourly, nodes=8)


def _offer(name: str, hardware: Hardware) -> Offer:
    place = place_of(name, hardware)
    return Offer(place.nodes, place.price)


def question(subject: Subject, rate: float | None = None) -> Ask:
    """Return what a deployment's routes ask; PlanError without a rate."""
    asked = rate if rate is not None else subject.rate
    if asked is None:
        unknown = ", ".join(one.route for one in subject.loads if one.rate is None)
        raise PlanError(f"no rate is declared for {unknown}: set traffic.rate, or give --rate")
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
            efficiencies=subject.calibrations.everywhere(architecture, subject.engine),
        )
    except ValueError as error:
        raise PlanError(f"deployments.{subject.name}: {error}") from error
