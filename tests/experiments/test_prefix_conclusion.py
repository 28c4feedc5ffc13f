"""What prefix concludes, with a cache that can be switched and with one that cannot."""

from pathlib import Path

import pytest
from experiment_kit import case, ran, write_twins

from headrace.experiments.prefix import FLAG, Kind, Point, conclude
from headrace.experiments.prefix_load import Settings, changes, order
from headrace.fleet.load import load_fleet


def point(kind: Kind, cache: bool | None, ttft: float, hits: float = 0.0) -> list[Point]:
    return [
        Point(
            kind=kind, cache=cache, repeat=repeat, shared=512,
            run=ran(ttft_p50=ttft * (1 + repeat / 100), ttft_p95=2 * ttft, hit_share=hits),
        )
        for repeat in (0, 1)
    ]  # fmt: skip


def switched(shared: float, talk: float, control: float) -> list[Point]:
    """Cache off: 0.4, 0.2 and 0.4 s; on: what is given."""
    return [
        *point(Kind.SHARED, True, shared, 0.8), *point(Kind.SHARED, False, 0.4),
        *point(Kind.TALK, True, talk, 0.5), *point(Kind.TALK, False, 0.2),
        *point(Kind.CONTROL, True, control), *point(Kind.CONTROL, False, 0.4),
    ]  # fmt: skip


def test_the_gain_is_said_and_supports_the_flag() -> None:
    found = conclude(switched(0.1, 0.1, 0.4), case())
    assert found.words[0] == (
        "with the prefix cache the first token comes 4.0 times as soon where prompts share their"
        " beginning: TTFT p50 402 ms -> 100 ms (-75 %), 80 % of the prompt tokens cached"
    )
    assert (
        "conversations: TTFT p50 201 ms -> 100 ms (-50 %), 50 % of the prompt cached" in found.words
    )
    assert any(
        words.startswith("nothing shared") and "within the noise" in words for words in found.words
    )
    assert [(one.setting, one.value) for one in found.supports] == [(FLAG, True)]
    assert found.figures["ttft p50 change, a shared beginning"].value == pytest.approx(-0.75)


def test_no_gain_and_harm_are_said_as_such() -> None:
    assert (
        conclude(switched(0.4, 0.2, 0.4), case())
        .words[0]
        .startswith("the cache makes no certain difference to a shared beginning")
    )
    worse = conclude(switched(0.8, 0.2, 0.4), case())
    assert worse.words[0].startswith("the cache makes prompts with a shared beginning slower")
    assert worse.supports == ()


def test_what_was_measured_once_is_not_certain() -> None:
    once = [one for one in switched(0.1, 0.1, 0.4) if one.repeat == 0]
    found = conclude(once, case())
    assert found.words[0].startswith(
        "with a shared beginning the cache makes TTFT p50 400 ms -> 100 ms"
    )
    assert "more than once" in found.words[0]
    assert found.supports == ()


def test_a_gain_that_others_pay_for_supports_nothing() -> None:
    assert conclude(switched(0.1, 0.1, 0.8), case()).supports == ()


def test_an_endpoint_of_others_is_judged_by_its_prompts() -> None:
    there = [*point(Kind.SHARED, None, 0.1, 0.8), *point(Kind.CONTROL, None, 0.4)]
    found = conclude(there, case())
    assert found.words[0].startswith(
        "this endpoint caches prefixes: a shared beginning makes TTFT p50"
    )
    assert "80 % of the prompt tokens came from a cache" in found.words[0]
    none = [*point(Kind.SHARED, None, 0.4), *point(Kind.CONTROL, None, 0.4)]
    assert conclude(none, case()).words[0].startswith("no sign of a prefix cache")
    assert (
        conclude(point(Kind.TALK, None, 0.4), case()).words[0].startswith("too little was answered")
    )


@pytest.mark.parametrize(
    ("given", "copies"),
    [("", [{}, {FLAG: False}]),
     ("enable_prefix_caching: true", [{FLAG: True}, {FLAG: False}]),
     ("enable-prefix-caching: false", [{FLAG: True}, {FLAG: False}])],
)  # fmt: skip
def test_a_copy_with_the_cache_on_is_as_the_file_where_the_file_leaves_it_on(
    tmp_path: Path, given: str, copies: list[dict[str, bool]]
) -> None:
    file = write_twins(tmp_path)
    engine = f"engine: {{name: vllm, flags: {{{given}}}}}, max_model_len"
    file.path.write_text(file.path.read_text().replace("max_model_len", engine))
    assert [one.fields for one in changes(load_fleet(file.path), "chat")] == copies


def test_half_of_it_compares_nothing() -> None:
    found = conclude(point(Kind.SHARED, True, 0.1), case(interrupted=True))
    assert found.words[0].startswith("only one of cache on and off was measured")


def test_prompts_of_the_control_are_as_long_and_each_repeat_has_its_own() -> None:
    settings = Settings(shared=512, own=64)
    shared, control = (order(settings, kind, 0, whole=600) for kind in (Kind.SHARED, Kind.CONTROL))
    assert shared.prefix is not None
    assert shared.prefix.tokens == 512
    assert (shared.shapes[0].prompt.p50, control.shapes[0].prompt.p50) == (64, 600)
    assert control.prefix is None
    seeds = {order(settings, kind, repeat).seed for kind in Kind for repeat in range(4)}
    assert len(seeds) == 12
