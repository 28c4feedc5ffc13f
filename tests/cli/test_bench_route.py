"""The route whose promises a run is held against, among those that share an alias."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.bench.asks import Ask
from headrace.cli.bench_route import route_of
from headrace.fleet.load import load_fleet
from headrace.fleet.types import Fleet

FLEET = """\
fleet: f
models: {m: {weights: "hf://org/name@0123456789abcdef0123456789abcdef01234567"}}
hardware: {h: {kind: cpu}}
deployments: {d: {model: m, hardware: h, max_model_len: 32768}}
routes:
  documents: {match: {model: [chat], prompt_tokens: {min: 6000}}, deployment: d, slo: {ttft: 30s}}
  typing: {match: {model: [chat], max_tokens: {max: 16}}, deployment: d, slo: {ttft: 150ms}}
  texts: {match: {model: [chat], path: [/v1/completions]}, deployment: d, slo: {ttft: 3s}}
  chats: {match: {model: [chat]}, deployment: d, slo: {ttft: 1s}}
  inside: {match: {model: [own], headers: {x-team: [a]}}, deployment: d, slo: {ttft: 5s}}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET)
    return load_fleet(file).fleet


def ttft(
    fleet: Fleet, *asks: tuple[int | None, int], model: str = "chat", chat: bool = True
) -> float | None:
    sent = [
        Ask(number=n, prompt="", prompt_tokens=prompt, max_tokens=output)
        for n, (prompt, output) in enumerate(asks)
    ]
    route = route_of(fleet, model, sent, chat=chat)
    return route.slo.ttft if route else None


def test_a_short_chat_is_not_held_against_what_documents_were_promised(fleet: Fleet) -> None:
    assert ttft(fleet) == 1.0
    assert ttft(fleet, (128, 64)) == 1.0
    assert ttft(fleet, (None, 64)) == 1.0  # nobody could count


def test_requests_take_the_route_that_the_gateway_gives_them(fleet: Fleet) -> None:
    assert ttft(fleet, (8000, 64)) == 30.0
    assert ttft(fleet, (128, 16)) == 0.15
    assert ttft(fleet, (128, 64), chat=False) == 3.0


def test_of_a_mixture_the_route_of_most_counts(fleet: Fleet) -> None:
    assert ttft(fleet, (8000, 64), (128, 64), (128, 64)) == 1.0
    assert ttft(fleet, (8000, 64), (8000, 64), (128, 64)) == 30.0


def test_a_route_for_others_is_better_than_none(fleet: Fleet) -> None:
    assert ttft(fleet, (128, 64), model="own") == 5.0
    assert ttft(fleet, model="d") is None
