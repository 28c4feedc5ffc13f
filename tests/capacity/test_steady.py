import numpy as np
import pytest
from planned import setup

from headrace.capacity.batching import serve
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.lengths import Lengths
from headrace.capacity.served import Served
from headrace.capacity.setup import Layout, Setup
from headrace.capacity.steady import Steady
from headrace.traffic.traffic import Counts, Traffic

USUAL = Efficiency(0.9, 0.9, 1e-3, 1.0, error=0.0, label="", per_sequence=2e-5)
POOL = Pool(4000)
COUNT = 4000
RANDOM = np.random.default_rng(7)
ALIKE = np.full(COUNT, 600), np.full(COUNT, 200)
SPREAD = (
    RANDOM.lognormal(np.log(500), 0.9, COUNT).astype(int).clip(1, 8000),
    RANDOM.lognormal(np.log(120), 0.8, COUNT).astype(int).clip(2, 2000),
)


def simulated(lengths: tuple[Counts, Counts], rate: float, flags: Setup) -> Served:
    arrivals = np.cumsum(np.random.default_rng(8).exponential(1 / rate, COUNT))
    return serve(Traffic(arrivals - arrivals[0], *lengths, "drawn"), flags, USUAL, POOL)


def test_lengths_are_means_over_requests() -> None:
    lengths = Lengths.from_counts(np.array([100, 300]), np.array([11, 31]))
    assert (lengths.prompt, lengths.output, lengths.unevenness) == (200, 21, 50_000 / 40_000)
    # 10 steps at a mean context of 105.5 and 30 at 315.5; 1/10 and 1/30.
    assert lengths.context == pytest.approx((10 * 105.5 + 30 * 315.5) / 40)
    assert lengths.inverse_steps == pytest.approx((1 / 10 + 1 / 30) / 2)


@pytest.mark.parametrize("lengths", [ALIKE, SPREAD], ids=["alike", "spread"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_the_closed_form_agrees_with_the_engine_model(
    lengths: tuple[Counts, Counts], share: float
) -> None:
    flags = setup(max_num_seqs=64)
    steady = Steady(flags, USUAL, POOL, Lengths.from_counts(*lengths))
    rate = share * steady.max_rate()
    served, state = simulated(lengths, rate, flags), steady.at(rate)
    assert state is not None
    ttft, tpot = served.ttft[COUNT // 5 :], served.tpot[COUNT // 5 :]
    assert state.tpot == pytest.approx(tpot.mean(), rel=0.10)
    assert state.ttft == pytest.approx(ttft.mean(), rel=0.20)
    assert state.tpot_p95 == pytest.approx(np.percentile(tpot, 95), rel=0.20)
    assert state.ttft_p95 == pytest.approx(np.percentile(ttft, 95), rel=0.25)
    moments = np.linspace(*np.percentile(served.last, (20, 80)), 500)
    decoding = [((served.first <= at) & (served.last > at)).sum() for at in moments]
    assert state.concurrency == pytest.approx(np.mean(decoding), rel=0.12)
    deviation = (state.crowd - state.concurrency) / 1.645
    assert deviation == pytest.approx(np.std(decoding), rel=0.15)
    assert state.e2e == pytest.approx(served.e2e.mean(), rel=0.15)
    assert state.tokens_per_second == pytest.approx(rate * lengths[1].mean(), rel=1e-2)


@pytest.mark.parametrize("lengths", [ALIKE, SPREAD], ids=["alike", "spread"])
def test_the_highest_rate_is_what_a_full_engine_serves(lengths: tuple[Counts, Counts]) -> None:
    flags = setup(max_num_seqs=64)
    served = simulated(lengths, 1000.0, flags)
    ends = np.sort(served.last)
    middle = (0.6 * COUNT) / (ends[int(0.8 * COUNT)] - ends[int(0.2 * COUNT)])
    steady = Steady(flags, USUAL, POOL, Lengths.from_counts(*lengths))
    assert steady.highest_rate == pytest.approx(middle, rel=0.10)


def test_a_rate_beyond_the_highest_has_no_steady_state() -> None:
    steady = Steady(setup(), USUAL, POOL, Lengths.fixed(600, 200))
    assert steady.at(steady.highest_rate * 1.01) is None
    assert steady.at(steady.highest_rate * 0.9) is not None
    with pytest.raises(ValueError, match="give more"):
        steady.at(0.0)


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_stages_make_no_first_token_sooner_than_a_prompt_is_read(stages: int) -> None:
    """Rounds get shorter with each stage, a prompt's way through all of them does not."""
    lengths = Lengths.fixed(600, 200)
    alone = Steady(setup(), USUAL, POOL, lengths).at(1e-3)
    many = Steady(setup(layout=Layout(pipeline=stages)), USUAL, POOL, lengths)
    assert alone is not None
    for share in (0.001, 0.1, 0.4):
        state = many.at(share * many.highest_rate)
        assert state is not None
        assert state.ttft > alone.ttft - 0.02  # one step of decoding that it need not wait for


def test_the_closed_form_agrees_with_the_engine_model_over_stages() -> None:
    flags = setup(max_num_seqs=64, layout=Layout(pipeline=4))
    steady = Steady(flags, USUAL, POOL, Lengths.from_counts(*ALIKE))
    rate = 0.4 * steady.max_rate()
    served, state = simulated(ALIKE, rate, flags), steady.at(rate)
    assert state is not None
    assert state.ttft == pytest.approx(served.ttft[COUNT // 5 :].mean(), rel=0.25)
    assert state.tpot == pytest.approx(served.tpot[COUNT // 5 :].mean(), rel=0.15)


def test_little_s_law_holds() -> None:
    state = Steady(setup(), USUAL, POOL, Lengths.fixed(600, 200)).at(3.0)
    assert state is not None
    assert state.concurrency == pytest.approx(3.0 * 199 * state.tpot, rel=1e-2)
    assert (state.rate, state.tokens_per_second) == (3.0, 600.0)


@pytest.mark.parametrize(("ttft", "tpot"), [(1.0, 0.03), (0.5, 1.0), (0.6, 1.0), (5.0, 0.025)])
def test_bounds_that_a_rate_is_said_to_keep_are_kept(ttft: float, tpot: float) -> None:
    flags = setup(max_num_seqs=64)
    steady = Steady(flags, USUAL, POOL, Lengths.from_counts(*SPREAD))
    rate = steady.max_rate(ttft, tpot)
    assert 0 < rate < steady.highest_rate
    served = simulated(SPREAD, rate, flags)
    assert np.percentile(served.tpot, 95) < tpot * 1.25
    assert np.percentile(served.ttft, 95) < ttft * 1.5


def test_tighter_bounds_allow_less_and_impossible_ones_nothing() -> None:
    steady = Steady(setup(), USUAL, POOL, Lengths.fixed(600, 200))
    rates = [steady.max_rate(tpot=bound) for bound in (0.1, 0.03, 0.02, 0.005)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.0  # reading the weights alone takes 16.5 ms
    assert steady.max_rate(ttft=0.01) == 0.0


def test_what_ends_concurrency() -> None:
    lengths = Lengths.fixed(600, 200)
    assert Steady(setup(max_num_seqs=16), USUAL, POOL, lengths).most == 16
    # 700 tokens on average, 43.75 blocks and half a block more.
    assert Steady(setup(), USUAL, Pool(1001), lengths).most == pytest.approx(1000 / 44.25)
    # A step of 512 tokens has room for as many as arrive while they decode: n * (600 / 199 + 1).
    few = setup(max_num_batched_tokens=512)
    assert Steady(few, USUAL, Pool(10_001), lengths).most == pytest.approx(512 / (600 / 199 + 1))


def test_answers_of_one_token_are_only_read() -> None:
    flags = setup()
    steady = Steady(flags, USUAL, POOL, Lengths.fixed(500, 1))
    lengths = np.full(COUNT, 500), np.ones(COUNT, int)
    ends = np.sort(simulated(lengths, 1000.0, flags).last)
    assert steady.highest_rate == pytest.approx(COUNT / ends[-1], rel=0.05)


def test_a_cache_that_holds_no_request_serves_nothing() -> None:
    steady = Steady(setup(), USUAL, Pool(20), Lengths.fixed(600, 200))
    assert (steady.most, steady.highest_rate, steady.max_rate()) == (0.0, 0.0, 0.0)
    assert steady.at(1.0) is None
