from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from weights_kit import EAGER, Site, serve

from headrace.models.store import Store
from headrace.models.web import Web, open_client


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, proxy or cache of the person who runs the tests takes part in them."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with open_client() as client:
        yield client


@pytest.fixture
def web(client: httpx.Client) -> Web:
    return Web(client, retry=EAGER)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights")
