import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planned import RTX_4090, setup

from headrace.capacity.batching import serve
from headrace.capacity.calibration import Comparison, calibrate, compare
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.measured_run import read_run
from headrace.capacity.served import Served
from headrace.capacity.setup import Layout
from headrace.traffic.traffic import Traffic

RECORDED = Path(__file__).parents[1] / "recorded"
TRUE = Efficiency(0.75, 0.6, 0.004, 0.4, error=0.0, label="true", per_sequence=4e-5)
# RTX PRO 6000 Server Edition, as LLMServingSim's hardware.yaml has it.
SERVER_EDITION = replace(RTX_4090, bandwidth=1597.6e9, compute={"bf16": 188 * 1024 * 2.43e9})


def poisson(rate: float, prompt: int, output: int, count: int, seed: int) -> Traffic:
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1 / rate, count))
    prompts, outputs = (np.maximum(random.exponential(mean, count), 2) for mean in (prompt, output))
    return Traffic(arrivals - arrivals[0], prompts.astype(int), outputs.astype(int), "drawn")


def recorded(name: str) -> Served:
    lines = (RECORDED / f"{name}.jsonl").read_text().splitlines()
    return read_run(map(json.loads, lines), name)


def test_a_run_that_the_model_made_is_explained_and_another_predicted() -> None:
    run = serve(poisson(3, 600, 120, 150, 1), setup(), TRUE, Pool(3000))
    found = calibrate(run, setup(), Pool(3000), "itself")
    assert found.error < 0.01
    assert found.label == f"calibrated on itself, error {found.error:.1%}"
    other = serve(poisson(1, 1500, 60, 150, 2), setup(), TRUE, Pool(3000))
    assert compare(other, setup(), Pool(3000), found).error < 0.05


def test_the_link_is_fitted_where_there_is_one() -> None:
    flags = setup(layout=Layout(tensor=4))
    slow = replace(TRUE, link=0.1)
    run = serve(poisson(6, 600, 120, 150, 1), flags, slow, Pool(3000))
    found = calibrate(run, flags, Pool(3000), "itself")
    assert found.error < 0.04
    assert found.link < 0.2


def test_errors_are_signed_shares_of_what_was_measured() -> None:
    measured = np.array([2.0] * 11 + [np.nan])
    predicted = np.array([2.2] * 10 + [1.0, 5.0])
    compared = Comparison(predicted, measured)
    assert compared.relative.tolist() == pytest.approx([0.1] * 10 + [-0.5])
    assert compared.error == pytest.approx((10 * 0.1 + 0.5) / 11)
    assert compared.worst() == ("E2E p90", pytest.approx(-0.5))


def test_a_run_with_other_flags_is_refused() -> None:
    run = serve(poisson(3, 600, 120, 50, 1), setup(), TRUE, Pool(3000))
    with pytest.raises(ValueError, match="longer than max_model_len 200"):
        calibrate(run, replace(setup(), max_model_len=200), Pool(3000), "itself")


def test_recorded_runs_on_two_gpus_predict_each_other() -> None:
    small, large = setup(), setup(accelerator=SERVER_EDITION, max_num_seqs=128)
    # 2,588 blocks as logged; the large card's never ran out, whatever they were.
    on_small, on_large = (
        (recorded("RTX4090"), small, Pool(2588)),
        (recorded("RTXPRO6000"), large, Pool(35_000)),
    )
    fits = [calibrate(run, flags, pool, "it") for run, flags, pool in (on_small, on_large)]
    assert max(fit.error for fit in fits) < 0.02
    assert compare(*on_large, fits[0]).error < 0.10
    assert compare(*on_small, fits[1]).error < 0.10
    # Without the blocks that the log had, a third of them more: LLMServingSim saw 12.5 %.
    assert compare(on_small[0], small, Pool(3400), fits[0]).error > 0.10
