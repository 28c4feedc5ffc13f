"""What a setting rests on: exact match, named differences, age, doubts; twins apart."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from evidence_kit import DAY, plain, result

from headrace.evidence.fingerprint import Fingerprint, Hardware
from headrace.evidence.result import Evidence, Support
from headrace.evidence.standing import Standing, standings

TODAY = date(2026, 12, 1)
SEQS = Support(setting="max_num_seqs", value=16, says="knee at 16")


def one(
    now: Fingerprint, *known: Evidence, setting: str = "max_num_seqs", **more: object
) -> Standing:
    value = now.flags.get(setting, more.pop("value", None))  # type: ignore[call-overload]
    given = {"deployment": "d", "today": TODAY} | more
    (found,) = standings(now, {setting: value}, known, **given)  # type: ignore[arg-type]
    return found


def with_flags(**flags: int) -> Fingerprint:
    return plain(flags={**plain().flags, **flags})


def test_nothing_and_the_plan() -> None:
    assert str(one(plain())) == "not measured"
    assert str(one(plain(), planned=["max_num_seqs"])) == "the plan, not measured"


def test_what_holds_is_cited() -> None:
    kept = result(plain(), supports=(SEQS,))
    found = one(plain(), kept)
    assert (found.basis, found.evidence, found.why) == ("evidence", kept, ())
    assert str(found) == f"measured: knee at 16 ({kept.id})"
    assert one(plain(), kept, setting="max_model_len").basis == "nothing"


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (plain(version="0.33"), "engine unknown unknown -> unknown 0.33"),
        (plain(checksum="b" * 64), "weights hf://o/m@main -> sha256 bbbbbbbbbbbbbbbb"),
        (with_flags(max_num_seqs=32), "max_num_seqs 16 -> 32"),
        (with_flags(max_model_len=99), "max_model_len 4096 -> 99"),
        (plain(hardware=Hardware(kind="gpu", name="L4")), "hardware 1 x unknown -> 1 x L4"),
    ],
)
def test_what_changed_since_is_named(now: Fingerprint, why: str) -> None:
    found = one(now, result(plain(), supports=(SEQS,)))
    assert (found.basis, found.why) == ("stale", (why,))
    assert "stale" in str(found)
    assert why in str(found)


def test_age_and_a_worthless_run_make_stale() -> None:
    old = result(plain(), supports=(SEQS,), taken=DAY - timedelta(days=400))
    assert one(plain(), old).why == ("it is 13 months old",)
    assert one(plain(), old, today=date(2026, 1, 1)).basis == "evidence"
    worthless = result(plain(), supports=(SEQS,), doubts=("the client was late",), valid=False)
    assert one(plain(), worthless).why == ("it is not valid: the client was late",)


def test_doubts_are_told_and_do_not_undo_a_result() -> None:
    doubted = result(plain(), supports=(SEQS,), doubts=("only 60 answers", "busy"))
    found = one(plain(), doubted)
    assert (found.basis, str(found)[-11:]) == ("evidence", ", 2 doubts)")


def test_what_holds_goes_before_what_is_newer_and_stale() -> None:
    good = result(plain(), supports=(SEQS,))
    stale = result(with_flags(max_model_len=1), supports=(SEQS,), taken=DAY + timedelta(days=1))
    newer = result(plain(), supports=(SEQS,), taken=DAY + timedelta(hours=1))
    assert one(plain(), good, stale).evidence == good
    assert one(plain(), good, stale, newer).evidence == newer
    assert one(plain(version="9"), good, stale).evidence == good


def test_twins_say_nothing_of_engines_nor_the_other_way_round() -> None:
    twin = plain(hardware=Hardware(kind="emulated", pace="ttft 1s"))
    assert one(plain(), result(twin, supports=(SEQS,))).basis == "nothing"
    assert one(twin, result(plain(), supports=(SEQS,))).basis == "nothing"
    assert one(twin, result(twin, supports=(SEQS,))).basis == "evidence"


def test_another_deployment_counts_only_where_it_is_the_same() -> None:
    other = result(plain(), supports=(SEQS,), deployment="e")
    assert one(plain(), other).basis == "evidence"
    assert one(with_flags(max_num_seqs=8), other).basis == "nothing"


LONG, SHORT = plain(), with_flags(max_model_len=1024)


@pytest.mark.parametrize(
    "supports",
    [
        (Support(setting="max_model_len", value=1024, says="1.8 times"),),
        (Support(setting="max_model_len", value=4096, holds=False, says="1.8 times"),),
        (Support(setting="max_model_len", value=1024, variant="b", says="1.8 times"),),
    ],
)
def test_of_two_values_measured_one_is_spoken_for(supports: tuple[Support, ...]) -> None:
    kept = result(LONG, SHORT, supports=supports)
    found = one(LONG, kept, setting="max_model_len")
    assert found.basis == "against"
    assert "speaks against this: 1.8 times" in str(found)
    assert one(SHORT, kept, setting="max_model_len").basis == "evidence"
    third = one(with_flags(max_model_len=77), kept, setting="max_model_len")
    assert third.basis == "stale"
    assert third.why[0].endswith("-> 77")


def test_settings_outside_the_fingerprint_go_by_their_value() -> None:
    drain = Support(setting="lifecycle.drain", value=60.0)
    kept = result(plain(), supports=(drain,))
    assert one(plain(), kept, setting="lifecycle.drain", value=60).basis == "evidence"
    found = one(plain(), kept, setting="lifecycle.drain", value=30.0)
    assert (found.basis, found.why) == ("stale", ("lifecycle.drain 60 -> 30",))
    assert one(plain(), kept, setting="lifecycle.drain").why == ("lifecycle.drain 60 -> unset",)


def test_answers_do_not_depend_on_how_many_run() -> None:
    fp8 = plain(quantization="fp8")
    kept = result(plain(), fp8, supports=(Support(setting="quantization", value="fp8"),))
    more = msgspec.structs.replace(fp8, flags={"max_num_seqs": 99})
    assert one(more, kept, setting="quantization", value="fp8").basis == "evidence"
    newer = msgspec.structs.replace(fp8, version="9")
    assert one(newer, kept, setting="quantization", value="fp8").basis == "stale"
    assert one(plain(), kept, setting="quantization").basis == "against"


@pytest.mark.parametrize("holds", [True, False])
def test_weights_may_be_quantized_without_a_word_of_the_deployment(holds: bool) -> None:
    int8 = plain(weights="file:///int8")
    said = Support(setting="quantization", value="int8", variant="b", holds=holds)
    kept = result(plain(), int8, supports=(said,))
    here, there = ("evidence", "against") if holds else ("against", "evidence")
    assert one(int8, kept, setting="quantization").basis == here
    assert one(plain(), kept, setting="quantization").basis == there


def test_who_follows_a_result_rests_on_it() -> None:
    advice = Support(setting="max_num_seqs", value=4, says="4 are enough")
    kept = result(plain(), supports=(advice, SEQS))
    assert one(plain(), kept).basis == "evidence"
    assert one(with_flags(max_num_seqs=4), kept).says == "4 are enough"
    assert one(with_flags(max_num_seqs=4), kept).basis == "evidence"
    both = with_flags(max_num_seqs=4, max_model_len=1)
    assert one(both, kept).why == ("max_model_len 4096 -> 1",)
    assert one(with_flags(max_num_seqs=8), kept).basis == "stale"


def test_what_speaks_of_the_value_itself_goes_first() -> None:
    parts = [with_flags(tensor_parallel=ranks) for ranks in (1, 3)]
    refused = Support(setting="tensor_parallel", value=2, holds=False, says="9 heads")
    slow = Support(setting="tensor_parallel", value=3, holds=False, variant="b", says="0.3 times")
    kept = result(*parts, supports=(refused, slow))
    found = one(parts[1], kept, setting="tensor_parallel")
    assert (found.basis, found.says) == ("against", "0.3 times")
    assert one(parts[0], kept, setting="tensor_parallel").basis == "evidence"
