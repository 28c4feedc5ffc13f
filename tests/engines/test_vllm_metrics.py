"""Metrics by canonical name, against a page recorded from vLLM 0.32.0."""

from pathlib import Path

import pytest

from headrace.engines.metrics import CANONICAL, Sample, read_metrics
from headrace.engines.vllm_metrics import metric_sources

PAGE = (Path(__file__).parent / "data" / "metrics_0_32_0.txt").read_text()


def test_recorded_page_has_every_canonical_metric() -> None:
    """The numbers are those in the recorded text, read by eye."""
    found = read_metrics(PAGE, metric_sources("0.32.0"))
    assert found["running"] == Sample(0.0)
    assert found["prompt_tokens"] == Sample(474.0)
    assert found["generation_tokens"] == Sample(118.0)
    assert found["success"] == Sample(22.0)
    assert found["ttft"] == Sample(17.368582010269165, 22.0)
    assert found["itl"] == Sample(7.795320412999672, 96.0)
    assert found["tpot"] is not None
    assert found["tpot"].count == 22.0
    assert all(found[name] is not None for name in CANONICAL)


def test_absent_is_none_and_not_zero() -> None:
    found = read_metrics("# TYPE vllm:num_requests_waiting gauge\n", metric_sources("0.32.0"))
    assert found["running"] is None
    assert read_metrics("", metric_sources("0.32.0")) == dict.fromkeys(CANONICAL)


def test_engines_are_summed_and_the_fullest_cache_counts() -> None:
    page = (
        "# TYPE vllm:num_requests_running gauge\n"
        'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
        'vllm:num_requests_running{engine="1",model_name="m"} 4\n'
        "# TYPE vllm:kv_cache_usage_perc gauge\n"
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25\n'
        'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75\n'
    )
    found = read_metrics(page, metric_sources("0.32.0"))
    assert found["running"] == Sample(7.0)
    assert found["kv_usage"] == Sample(0.75)


def test_success_leaves_out_aborts_and_errors() -> None:
    page = "# TYPE vllm:request_success_total counter\n" + "".join(
        f'vllm:request_success_total{{engine="0",finished_reason="{reason}",model_name="m"}} {n}\n'
        for reason, n in (("stop", 2), ("length", 3), ("abort", 50), ("error", 70))
    )
    assert read_metrics(page, metric_sources("0.32.0"))["success"] == Sample(5.0)


@pytest.mark.parametrize(
    ("version", "name", "expected"),
    [
        ("0.8.5", "kv_usage", ("vllm:gpu_cache_usage_perc",)),
        ("0.10.2", "kv_usage", ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
        ("0.12.0", "kv_usage", ("vllm:kv_cache_usage_perc",)),
        (
            "0.14.1",
            "itl",
            ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        ),
        ("0.15.1", "itl", ("vllm:inter_token_latency_seconds",)),
        ("0.10.2", "tpot", ()),
    ],
)
def test_names_by_version(version: str, name: str, expected: tuple[str, ...]) -> None:
    assert metric_sources(version)[name] == expected


def test_the_name_first_in_order_counts_where_both_are_exported() -> None:
    page = (
        "# TYPE vllm:gpu_cache_usage_perc gauge\nvllm:gpu_cache_usage_perc 0.1\n"
        "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc 0.2\n"
    )
    assert read_metrics(page, metric_sources("0.10.2"))["kv_usage"] == Sample(0.2)


def test_mean_of_nothing_is_none() -> None:
    assert Sample(0.0, 0.0).mean is None
    assert Sample(3.0).mean is None
    assert Sample(3.0, 2.0).mean == 1.5
