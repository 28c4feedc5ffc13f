"""What must hold of any observation: nothing unknown accuses, units do not matter, nor does order."""

from dataclasses import fields, replace
from time import process_time
from typing import Any

import pytest
from diagnosis_kit import SICK, causes, seen
from hypothesis import given
from hypothesis import strategies as some

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.observation import Look, Machine, Observation, Replica, Request, Waiting

CASES = [*SICK.values(), seen()]
TIMES = {
    Request: (
        *("at", "duration", "held", "queued", "engine", "engine_queue", "ttft", "tpot"),
        *("longest_gap", "stalled", "promised_ttft", "promised_tpot"),
    ),
    Look: ("at",),
    Waiting: ("at",),
    Replica: ("age",),
}
PROMISES = ("promised_ttft", "promised_tpot")
"""Settings, no figures: without them, other yardsticks hold."""
MAY_BE_UNKNOWN = [
    (kind, field.name)
    for kind in (Request, Look, Replica, Waiting, Machine)
    for field in fields(kind)
    if field.default is None and field.name not in PROMISES
]


def changed(one: Observation, kind: type, change: Any) -> Observation:
    """The observation with every part of a kind changed."""

    def all_of(parts: Any) -> Any:
        return tuple(map(change, parts))

    if kind is Request:
        return replace(one, requests=all_of(one.requests), earlier=all_of(one.earlier))
    if kind is Look:
        looked = (replace(part, looks=all_of(part.looks)) for part in one.replicas)
        return replace(one, replicas=tuple(looked))
    if kind is Replica:
        return replace(one, replicas=all_of(one.replicas))
    if kind is Waiting:
        return replace(one, waiting=all_of(one.waiting))
    return replace(one, machine=change(one.machine) if one.machine else None)


@given(
    which=some.sampled_from(range(len(CASES))),
    unknown=some.sets(some.sampled_from(MAY_BE_UNKNOWN), max_size=6),
)
def test_a_figure_that_nobody_saw_accuses_nobody(
    which: int, unknown: set[tuple[type, str]]
) -> None:
    one = CASES[which]
    for kind, name in unknown:
        one = changed(one, kind, lambda part, name=name: replace(part, **{name: None}))
    assert set(causes(one)) <= {*causes(CASES[which]), Cause.UNEXPLAINED}
    if which == len(CASES) - 1:
        assert causes(one) == []


@given(
    which=some.sampled_from(range(len(CASES))),
    factor=some.floats(min_value=0.01, max_value=100.0),
)
def test_the_unit_of_time_does_not_matter(which: int, factor: float) -> None:
    one = CASES[which]
    for kind, names in TIMES.items():

        def scaled(part: Any, names: tuple[str, ...] = names) -> Any:
            given = {name: getattr(part, name) for name in names}
            return replace(part, **{n: v * factor for n, v in given.items() if v is not None})

        one = changed(one, kind, scaled)
    one = replace(
        one,
        seconds=one.seconds * factor,
        events=tuple(replace(event, at=event.at * factor) for event in one.events),
    )
    assert causes(one) == causes(CASES[which])


@given(which=some.sampled_from(range(len(CASES))), chance=some.randoms(use_true_random=False))
def test_the_order_of_requests_does_not_matter(which: int, chance: Any) -> None:
    one = CASES[which]
    mixed = list(one.requests)
    chance.shuffle(mixed)
    assert causes(replace(one, requests=tuple(mixed))) == causes(one)


@pytest.mark.parametrize("which", range(len(CASES)))
def test_more_of_the_same_changes_no_verdict(which: int) -> None:
    one = CASES[which]
    later = tuple(replace(request, at=request.at + 1000.0) for request in one.requests)
    twice = replace(one, requests=(*one.requests, *later))
    assert diagnose(twice).judgement == diagnose(one).judgement
    assert causes(twice)[:1] == causes(one)[:1]


@given(
    numbers=some.lists(
        some.tuples(*(some.none() | some.floats(min_value=0, max_value=1e6) for _ in range(7))),
        max_size=12,
    )
)
def test_no_figures_break_it(numbers: list[tuple[float | None, ...]]) -> None:
    names = ("held", "queued", "engine", "engine_queue", "ttft", "tpot", "stalled")
    requests = tuple(
        Request(at=0.0, duration=row[0] or 0.0, **dict(zip(names, row, strict=True)))  # type: ignore[arg-type]
        for row in numbers
    )
    found = diagnose(seen(requests=requests))
    assert all(0 <= one.weight <= 1 for one in found.findings)


@pytest.mark.parametrize("cause", Cause)
def test_thousands_of_requests_take_no_time(cause: Cause) -> None:
    one = SICK[cause]
    requests = tuple(
        replace(request, at=request.at + 100.0 * turn)
        for turn in range(5000 // len(one.requests))
        for request in one.requests
    )
    began = process_time()
    diagnose(replace(one, requests=requests))
    assert process_time() - began < 2.0  # it takes a tenth of that
