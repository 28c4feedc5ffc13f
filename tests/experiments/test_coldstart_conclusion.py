"""What coldstart concludes from made-up starts, and in which order it starts copies."""

from __future__ import annotations

import pytest
from experiment_kit import case

from headrace.experiments.coldstart import Cache, Point, Rules, conclude, lead, wanted_limit
from headrace.experiments.coldstart_load import order, rules_of
from headrace.fleet.types import Deployment


def start(
    cache: Cache, load: float = 5.0, *, limit: float = 600.0, floor: int = 0, left: float = 0.0
) -> Point:
    """A start of 10 s and what `load` takes."""
    rules = Rules(limit=limit, look=5.0, floor=floor)
    phases = {"import": 8.0, "load": load, "known prompt": 2.0}
    return Point(
        cache=cache, phases=phases, whole=sum(phases.values()) + 1, resident=left, rules=rules
    )


FOUND = [start(Cache.FIRST, 9)]
WARM = [start(Cache.WARM, load) for load in (5, 6, 4, 5, 5)]
COLD = [start(Cache.EMPTIED, load) for load in (30, 34)]


def test_the_usual_start_is_that_with_a_warm_cache() -> None:
    found = conclude([*FOUND, *WARM, *COLD], case(ttft=2.0))
    assert found.words[0] == (
        "a replica of chat is ready 15 s after it is wanted (median of 5 starts, the longest 16 s)"
    )
    assert found.words[1] == "most of it is import (8 s, 53 %), then load (5 s, 33 %)"
    assert "takes 42 s, most of the difference in load (5 s -> 32 s)" in found.words[2]
    assert (
        found.words[3]
        == "the time limit, lifecycle.startup, is 10m, enough: twice the longest start is at most 90s"
    )
    assert found.words[-1].startswith("with scaling.min 0 whoever wakes it waits 41.2 s; promised")
    assert found.figures["start p50"].value == 15.0
    assert found.doubts == ()


def test_the_lead_is_the_p90_of_all_starts_that_scaling_may_meet() -> None:
    ready = sorted(one.ready for one in [*FOUND, *WARM, *COLD])
    assert ready == [14, 15, 15, 15, 16, 19, 40, 44]
    # numpy.percentile(ready, 90) = 40 + 0.3 x (44 - 40)
    assert lead([*FOUND, *WARM, *COLD]) == pytest.approx(41.2)


@pytest.mark.parametrize(("longest", "limit"), [(15, 30), (15.1, 60), (44, 90), (100, 210)])
def test_the_limit_is_twice_the_longest_in_half_minutes(longest: float, limit: float) -> None:
    assert wanted_limit([start(Cache.WARM, longest - 10)]) == limit


def test_a_limit_too_near_is_spoken_against() -> None:
    found = conclude([start(Cache.WARM, 20, limit=45)], case())
    assert (
        "the time limit, lifecycle.startup, is 45s, which a slow start may overrun: twice the longest"
        " start is 1m, so make it that or more"
    ) in found.words
    (support,) = found.supports
    assert (support.setting, support.value, support.holds) == ("lifecycle.startup", "45s", False)
    assert found.doubts[0].startswith("one start tells the usual one")


def test_a_disk_that_costs_nothing_is_said() -> None:
    found = conclude([*WARM, start(Cache.EMPTIED, 5.5)], case())
    assert "the disk is no part of what there is to win" in found.words[2]


def test_weights_that_stay_in_memory_are_a_doubt() -> None:
    found = conclude([*WARM, start(Cache.EMPTIED, 5, left=0.8)], case())
    assert "80 % of the weights stayed in memory: something else has them open" in found.doubts


@pytest.mark.parametrize(
    ("scaling", "look"),
    [({"min": 0}, 15), ({"up": {"window": "1m"}}, 60), ({"sync_period": "5s"}, 5)],
)
def test_scaling_notices_after_a_sync_and_its_own_window(
    scaling: dict[str, object], look: float
) -> None:
    # KEDA's poll decides about zero only, and there a request wakes without waiting for it
    typed = Deployment.model_validate({"model": "m", "hardware": "h", "scaling": scaling})
    assert rules_of(typed).look == look


def test_the_help_is_the_look_and_a_slow_start() -> None:
    words = " ".join(conclude([*FOUND, *WARM, *COLD], case()).words)
    assert "scaling helps 46.2 s after more is needed: up to 5 s until it looks" in words
    assert "and a start of 41.2 s (p90 of all)" in words


def test_a_floor_needs_no_words_about_waking() -> None:
    found = conclude([start(Cache.WARM, floor=1)], case())
    assert not any("scaling.min" in words for words in found.words)


def test_warm_and_emptied_take_turns_after_the_first() -> None:
    first, warm, emptied = Cache.FIRST, Cache.WARM, Cache.EMPTIED
    assert order(3, 1) == [first, warm, emptied, warm, warm]
    assert order(1, 2) == [first, warm, emptied, emptied]
    assert order(2, 0) == [first, warm, warm]
