"""The readers of PromQL, arguments and images, and metric names against the engines' own table."""

from __future__ import annotations

import pytest
from packaging.version import Version

from headrace.engines.vllm_metrics import metric_sources, unasked_names
from headrace.preflight.engine import recognise
from headrace.preflight.image import parse_image
from headrace.preflight.metric_names import VLLM_LIVES, listed, near
from headrace.preflight.promql import (
    averages,
    family,
    many_series,
    matcher,
    metric_names,
    undefined_at_rest,
)
from headrace.preflight.yaml_nodes import parse


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sum(vllm:num_requests_waiting)", ["vllm:num_requests_waiting"]),
        ('sum by (pod) (a{b="vllm:c"}) / on (pod) group_left (x) d', ["a", "d"]),
        ("histogram_quantile(0.9, sum by (le) (rate(vllm:x_bucket[5m])))", ["vllm:x_bucket"]),
        ("up == bool 1 or vector(0) # a comment: vllm:y", ["up"]),
        ('{__name__="vllm:z"}', ["vllm:z"]),
        ("max_over_time(a[5m:1m] offset 5m) unless b", ["a", "b"]),
        ("sum(rate(a[5m])) > 1e3", ["a"]),
        ("sum(rate(a[$__rate_interval]))", ["a"]),
    ],
)
def test_metric_names(query: str, names: list[str]) -> None:
    assert list(metric_names(query)) == names


@pytest.mark.parametrize(
    ("query", "mean"),
    [
        ("avg(a)", True),
        ("avg by (x) (a)", True),
        ("avg(a) by (x)", True),
        ("(avg(a))", True),
        ("max(a) or vector(0)", True),
        ("sum(a)\n/\ncount(a)", True),
        ('sum(rate(a_sum{x="/"}[5m])) / sum(rate(a_count[5m]))', True),
        ("histogram_quantile(0.95, sum(rate(a_bucket[2m])) by (le))", True),
        ("sum(a)", False),
        ("sum(max by (pod) (a))", False),
        ("max(a) + max(b)", False),
        ("sum(a) / 2", False),
        ("sum(avg_over_time(a[1m]))", False),
        ("a", False),
    ],
)
def test_means_and_totals(query: str, mean: bool) -> None:
    assert (averages(query) is not None) is mean


def test_families_and_matchers() -> None:
    assert (
        family("vllm:request_success_total")
        == family("vllm:request_success")
        == "vllm:request_success"
    )
    assert matcher('a{x="1", pod=~"chat-.*"}', "pod") == ("=~", "chat-.*")
    assert matcher('a{mypod="1"}', "pod") is None


@pytest.mark.parametrize(
    ("query", "undefined"),
    [
        ("histogram_quantile(0.95, sum by (le) (rate(vllm:x_bucket[2m])))", True),
        ("histogram_quantile(0.95, sum by (le) (rate(vllm:x_bucket[2m]))) or vector(0)", True),
        ("sum(rate(vllm:x_sum[2m])) / sum(rate(vllm:x_count[2m]))", True),
        ("histogram_quantile(0.9, rate(vllm:x_bucket[2m])) >= 0 or 0 * sum(vllm:a)", False),
        ("sum(vllm:num_requests_waiting)", False),
        ("sum(vllm:num_requests_waiting) / count(vllm:num_requests_waiting)", False),
        ("sum(rate(vllm:generation_tokens_total[1m]))", False),
    ],
)
def test_queries_without_a_value_at_rest(query: str, undefined: bool) -> None:
    assert undefined_at_rest(query) is undefined


def test_a_quantile_that_is_0_at_rest_is_one_still() -> None:
    mended = "(histogram_quantile(0.9, sum by (le) (rate(vllm:x_bucket[2m])))) >= 0 or 0 * sum(a)"
    assert averages(mended) == "histogram_quantile()"


@pytest.mark.parametrize(
    ("query", "many"),
    [
        ("vllm:num_requests_waiting", True),
        ('rate(vllm:generation_tokens_total{pod=~"a-.*"}[1m])', True),
        ("vllm:num_requests_waiting + vllm:num_requests_running", True),
        ("(max_over_time(vllm:num_requests_waiting[1m])) or vector(0)", True),
        ("histogram_quantile(0.95, rate(vllm:x_bucket[2m]))", True),
        ("sum by (pod) (vllm:num_requests_waiting)", True),
        ("max(vllm:num_requests_waiting) by (instance)", True),
        ("sum by (model_name) (vllm:num_requests_waiting)", False),  # one, if there is one model
        ("histogram_quantile(0.95, sum by (le) (rate(vllm:x_bucket[2m])))", False),
        ("sum(vllm:a) / count(count by (pod) (vllm:a))", False),
        ("scalar(vllm:a) + 1", False),
        ("topk(1, vllm:a)", False),
        ('vllm:a{pod="chat-0"}', False),
        ("sum(vllm:a) + vllm:b", False),  # nothing is certain
    ],
)
def test_queries_with_a_series_for_each_pod(query: str, many: bool) -> None:
    assert many_series(query) is many


@pytest.mark.parametrize(
    ("text", "name", "version", "floats"),
    [
        ("vllm/vllm-openai:v0.6.5", "vllm-openai", "0.6.5", False),
        ("host:5000/vllm/vllm-openai", "vllm-openai", None, True),
        ("a/b:latest", "b", None, True),
        ("a/b:latest@sha256:00", "b", None, False),
        ("lmsysorg/sglang:v0.5.19-cu129", "sglang", "0.5.19", False),
        ("a/b:2.4", "b", "2.4", False),
        ("a/b:v0.11.0rc1", "b", None, False),
        ("a/b:nightly-cu12", "b", None, True),
        ("a/b:sha-1234", "b", None, False),
    ],
)
def test_images(text: str, name: str, version: str | None, floats: bool) -> None:
    image = parse_image(text)
    assert (image.name, image.version, image.floats) == (name, version, floats)


@pytest.mark.parametrize(
    ("container", "engine", "model"),
    [
        ("{image: vllm/vllm-openai:v0.32.0, args: [--model, org/m]}", "vllm", "org/m"),
        ("{image: vllm/vllm-openai:v0.32.0, args: [org/m, --seed=1]}", "vllm", "org/m"),
        (
            "{image: own/x:1, command: [python3, -m, vllm.entrypoints.openai.api_server, --model=org/m]}",
            "vllm",
            "org/m",
        ),
        (
            "{image: own/x:1, command: [bash, -c, 'exec vllm serve org/m --seed 1']}",
            "vllm",
            "org/m",
        ),
        (
            "{image: own/x:1, command: [vllm, serve], args: ['$(M)'], env: [{name: M, value: org/m}]}",
            "vllm",
            "org/m",
        ),
        (
            "{image: 'ghcr.io/huggingface/text-generation-inference:3.3.7', env: [{name: MODEL_ID, value: org/m}]}",
            "tgi",
            "org/m",
        ),
        ("{image: own/x:1, command: [trtllm-serve, serve, org/m]}", "trtllm", "org/m"),
        ("{image: own/x:1, command: [trtllm-serve, org/m]}", "trtllm", "org/m"),
        ("{image: own/x:1, command: [tritonserver]}", "triton", None),
        (
            "{image: lmsysorg/sglang:v0.5.23, command: [sglang, serve, --model-path, org/m]}",
            "sglang",
            "org/m",
        ),
        ("{image: vllm/vllm-openai:v0.32.0, command: [vllm, bench, serve]}", None, None),
        ("{image: vllm/vllm-openai:v0.32.0, command: [sleep, infinity]}", None, None),
        ("{image: lmsysorg/sglang:v0.5.23}", None, None),
        ("{image: nginx:1.29}", None, None),
    ],
)
def test_engines_are_recognised(container: str, engine: str | None, model: str | None) -> None:
    root = parse(container)
    assert root is not None
    found = recognise(root)
    assert (found.name if found else None) == engine
    assert (found.model if found else None) == model


@pytest.mark.parametrize(
    "version", ["0.8.5", "0.9.2", "0.10.2", "0.11.2", "0.12.0", "0.14.1", "0.15.1", "0.33.0"]
)
def test_lives_agree_with_the_engines_own_table(version: str) -> None:
    shown = {family(name) for names in unasked_names(version).values() for name in names}
    there = {family(name) for names in metric_sources(version).values() for name in names}
    for name, life in VLLM_LIVES.items():
        if name in there:
            assert (version in life) is (name in shown), (name, version)
        elif Version(life.gone) <= Version(version):
            assert name not in there


def test_what_is_listed_is_there_in_that_version() -> None:
    gone = {name for name, life in VLLM_LIVES.items() if "0.32.0" not in life}
    assert not gone & listed()
    assert near("vllm:num_request_waiting") == "vllm:num_requests_waiting"
    assert near("vllm:my_own_recording_rule") is None
