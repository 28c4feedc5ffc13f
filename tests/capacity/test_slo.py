"""What a user waits for has bounds; what the file says replaces them."""

import pytest

from headrace.capacity.slo import DEFAULTS, Slo, slo_for


def test_a_reader_is_served_faster_than_people_read() -> None:
    # 250 words a minute, 1.3 tokens a word: 60 / 250 / 1.3 = 0.185 s a token
    assert DEFAULTS["interactive"].tpot < DEFAULTS["long-context"].tpot < 60 / 250 / 1.3


def test_a_batch_answer_is_whole_before_its_client_gives_up() -> None:
    assert DEFAULTS["batch"].ttft + 999 * DEFAULTS["batch"].tpot < 600


def test_the_file_replaces_one_bound_and_leaves_the_other() -> None:
    slo = slo_for("interactive", ttft=0.7)
    assert (slo.ttft, slo.tpot) == (0.7, 0.06)
    assert slo.why.startswith("TTFT as the file says")
    assert slo_for("batch").why == DEFAULTS["batch"].why
    assert str(slo) == "TTFT p95 0.7 s, TPOT p95 60 ms"


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_a_bound_that_is_none_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Slo(*bounds)
