"""A hub: the listing, the choice of files, the commit, the token."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from weights_kit import COMMIT, EAGER, Page, Site, tiny_model

from headrace.fleet.source import HubSource
from headrace.models.errors import AccessError, FormatError, RefusedError, SourceError
from headrace.models.fetch_hub import HubOrigin, hub_endpoint, hub_token
from headrace.models.progress import silent


@pytest.fixture
def hub(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HF_ENDPOINT", site.url + "/")
    return site


@pytest.fixture
def origin(hub: Site, client: httpx.Client) -> HubOrigin:
    assert hub.url
    return HubOrigin(HubSource("o/n", "main"), client, EAGER, silent, allow_pickle=False)


def test_a_branch_resolves_to_its_commit(hub: Site, origin: HubOrigin, tmp_path: Path) -> None:
    files = tiny_model()
    hub.put_repo("o/n", {**files, "README.md": b"#", "pytorch_model.bin": b"\x80\x02"})
    plan = origin.plan(None)
    assert plan.resolved == COMMIT
    assert [file.name for file in plan.files] == sorted(files)
    got = [origin.fetch(file, tmp_path / "files", silent) for file in plan.files]
    assert [file.size for file in got] == [len(files[name]) for name in sorted(files)]
    asked = [path for path, _ in hub.requests]
    assert asked[0] == "/api/models/o/n/revision/main"
    assert f"/o/n/resolve/{COMMIT}/model.safetensors" in asked


def test_the_lock_files_commit_is_asked_instead_of_the_branch(hub: Site, origin: HubOrigin) -> None:
    hub.put_repo("o/n", tiny_model())
    del hub.pages["/api/models/o/n/revision/main"]
    assert origin.plan(COMMIT).resolved == COMMIT


def test_a_slash_in_a_branch_name_is_quoted(hub: Site, client: httpx.Client) -> None:
    hub.put_repo("o/n", tiny_model())
    body = hub.pages["/api/models/o/n/revision/main"]
    hub.pages["/api/models/o/n/revision/refs%2Fpr%2F3"] = body
    source = HubSource("o/n", "refs/pr/3")
    assert HubOrigin(source, client, EAGER, silent, allow_pickle=False).plan(None).files


def test_the_hubs_own_digest_is_planned(hub: Site, origin: HubOrigin) -> None:
    hub.put_repo("o/n", tiny_model())
    planned = {file.name: file for file in origin.plan(None).files}
    assert planned["model.safetensors"].sha256
    assert planned["model.safetensors"].why == "the hub"
    assert planned["config.json"].sha256 is None


def test_a_gated_model_says_where_a_token_goes(hub: Site, origin: HubOrigin) -> None:
    hub.pages["/api/models/o/n/revision/main"] = Page(answers=[401])
    with pytest.raises(AccessError, match=r"HF_TOKEN.*HF_TOKEN_PATH"):
        origin.plan(None)


def test_the_token_is_sent_to_the_hub(
    hub: Site, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", " hf_abc \n")
    hub.put_repo("o/n", tiny_model())
    HubOrigin(HubSource("o/n", "main"), client, EAGER, silent, allow_pickle=False).plan(None)
    assert hub.requests[0][1]["Authorization"] == "Bearer hf_abc"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"sha":"x","siblings":[]}',
        b'{"sha":"' + COMMIT.encode() + b'","siblings":[{"rfilename":1}]}',
        b'{"sha":"'
        + COMMIT.encode()
        + b'","siblings":[{"rfilename":"a","lfs":{"sha256":"z","size":1}}]}',
    ],
)
def test_a_strange_listing_is_refused(hub: Site, origin: HubOrigin, body: bytes) -> None:
    hub.pages["/api/models/o/n/revision/main"] = Page(body)
    with pytest.raises(FormatError, match="HF_ENDPOINT"):
        origin.plan(None)


@pytest.mark.parametrize("name", ["../config.json", "/etc/x.json", "a/../../x.json", "a\\b.json"])
def test_a_listing_that_climbs_out_is_refused(hub: Site, origin: HubOrigin, name: str) -> None:
    hub.put_repo("o/n", {**tiny_model(), name: b"{}"})
    with pytest.raises(RefusedError, match="could leave its folder"):
        origin.plan(None)


def test_token_places_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_token() is None
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("from-home\n")
    assert hub_token() == "from-home"
    (tmp_path / "mine").write_text("from-file")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "mine"))
    assert hub_token() == "from-file"
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "older")
    assert hub_token() == "older"
    monkeypatch.setenv("HF_TOKEN", "newer")
    assert hub_token() == "newer"


def test_a_broken_token_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2\nX-Evil: 1")
    with pytest.raises(SourceError) as caught:
        hub_token()
    assert "hunter2" not in str(caught.value)


def test_the_endpoint_is_the_public_hub_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_endpoint() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "ftp://x")
    with pytest.raises(SourceError, match="HF_ENDPOINT"):
        hub_endpoint()
