"""What the gateway is told of a fleet file and of its replicas."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fleet_kit import ScriptLoader, write_fleet

from headrace.engines.base import LocalEngine
from headrace.engines.emulated import Emulated
from headrace.engines.vllm import Vllm
from headrace.fleet.load import load_fleet
from headrace.gateway import control
from headrace.local import outcome, views
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.gateway_config import configuration
from headrace.local.restarts import Restarts
from headrace.local.state import StateDir
from headrace.routing.from_fleet import aliases
from headrace.view.states import State

DEPLOYMENT = """max_num_seqs: 4
    adapters: {pirate: {weights: "file:///p"}, poet: {weights: "file:///q"}}
    price: {input: 2, output: 8}
    balancing: {prefix_affinity: false, slow_start: 3s}
    queue: {limit: 7, max_wait: 9s}"""
ROUTES = """
  fast: {match: {model: [chat, fast], stream: true}, variants: [{deployment: chat, weight: 9}]}
  lora: {match: {model: [pirate, poet]}, deployment: chat}
  late: {match: {model: [late]}, deployment: other, overflow: [{deployment: chat, when: [queue]}]}
  copy: {match: {model: [copied]}, deployment: other, shadow: {deployment: chat, share: 0.5}}
  any: {match: {}, deployment: other}
"""
GATEWAY = "records: {max_age: 1d, max_size: 2MiB}, traces: {endpoint: 'http://127.0.0.1:4318'}, "


@pytest.fixture
def edition(tmp_path: Path) -> Edition:
    file = write_fleet(tmp_path)
    text = file.path.read_text().replace("max_num_seqs: 4", DEPLOYMENT)
    text = (
        text.partition("routes:")[0] + "  other: {model: small, hardware: here}\nroutes:" + ROUTES
    )
    text += "gateway: {" + GATEWAY + "port: 0, admin_port: 0}\n"
    file.path.write_text(text)
    return ScriptLoader().edition(load_fleet(file.path))


def test_the_configuration_has_all_that_the_file_says(edition: Edition) -> None:
    made = configuration(edition, StateDir(Path("/s")), None)
    assert [route.name for route in made.routes] == ["fast", "lora", "late", "copy", "any"]
    chat, other = made.deployments
    assert (chat.queue_limit, chat.max_wait) == (7, 9.0)
    assert chat.adapters == ("pirate", "poet")
    assert chat.price == control.Price(input=2, cached=2, output=8)
    assert chat.balancing == control.Balancing(prefix_affinity=False, slow_start=3.0)
    assert (other.price, other.balancing) == (None, control.Balancing())
    assert made.store == control.Store(path="/s/requests.db", max_age=86400.0, max_size=2**21)
    assert made.usage == "/s/usage.db"
    assert made.traces == "http://127.0.0.1:4318"


def test_an_engine_is_served_under_all_aliases_that_lead_to_it_and_its_own_name(
    edition: Edition,
) -> None:
    chat, other = edition.blueprints
    assert chat.served_names == ("chat", "fast", "late", "copied")
    assert chat.known_names == ("chat", "fast", "late", "copied", "pirate", "poet")
    assert other.served_names == ("late", "copied", "other")
    assert aliases(edition.file.fleet, "chat") == (
        *("chat", "fast", "pirate", "poet", "late", "copied"),
    )


def test_an_engine_that_only_adapters_lead_to_has_its_own_name_only(edition: Edition) -> None:
    chat = replace(edition.by_name["chat"], aliases=("pirate",))
    assert chat.served_names == ("chat",)


def replica(blueprint: Blueprint, **given: Any) -> Any:
    values = {"id": "chat-1", "port": 5, "state": State.READY, "blueprint": blueprint}
    return SimpleNamespace(**{**values, "kv_tokens": None, "was_ready": True, **given})


def test_each_replica_is_told_with_the_names_and_the_cache_of_its_own_engine(
    edition: Edition,
) -> None:
    now = edition.by_name["chat"]
    before = replace(now, aliases=("old",))
    known = views.Known(Restarts(), 0, "", None, {})
    there = [replica(before, kv_tokens=46592), replica(now, id="chat-2")]
    first, second = views.for_gateway(now, known, there).replicas
    assert (first.names, first.cache) == (("old", "chat", "pirate", "poet"), 46592)
    assert (second.names, second.cache) == (now.known_names, None)


@pytest.mark.parametrize("engine", [Vllm("0.32.0"), Emulated(Vllm("0.32.0"))])
def test_the_log_of_a_start_tells_the_cache(engine: LocalEngine) -> None:
    said = "INFO 11-23 10:00:00 [kv_cache_utils.py:1] CPU KV cache size: 46,592 tokens"
    assert outcome.kv_tokens(engine, ["one", said, "two"]) == 46592
    assert outcome.kv_tokens(engine, ["one", "two"]) is None
