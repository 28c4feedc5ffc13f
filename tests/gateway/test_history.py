"""Finding requests again: by id, by what they have in common, and a route's figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_records import record

from headrace.gateway import history
from headrace.gateway.control import Store
from headrace.gateway.history import Wanted
from headrace.gateway.records import Record
from headrace.gateway.store import RequestStore, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    store = RequestStore(Store(path=str(tmp_path / "s.db")), print)
    store.write(
        [
            record("chat-1", ago=300, route="chat", deployment="d", key="k", ttft_s=0.5),
            record("chat-2", ago=200, route="chat", deployment="e", replica="e-1", ttft_s=3.0),
            record("bad-1", ago=100, route="docs", outcome="upstream_broke", error="upstream_broke",
                   ttft_s=None, duration_s=2.0),
            record("gone-1", ago=50, route="docs", outcome="client_gone"),
            record("chat-3", ago=10, route="chat", ttft_s=0.2, shadow="e"),
            record("copy-1", ago=9, route="chat", deployment="e", shadow_of="chat-3", ttft_s=9.0),
        ]
    )  # fmt: skip
    store.close()
    return tmp_path / "s.db"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["chat-3", "gone-1", "bad-1", "chat-2", "chat-1"]),
        ({"route": "docs"}, ["gone-1", "bad-1"]),
        ({"deployment": "e"}, ["chat-2"]),
        ({"replica": "e-1"}, ["chat-2"]),
        ({"key": "k"}, ["chat-1"]),
        ({"key": "k' OR '1'='1"}, []),
        ({"errors": True}, ["bad-1"]),
        ({"shadow": True}, ["copy-1"]),
        ({"slow": True, "limit": 3}, ["chat-2", "bad-1", "chat-1"]),
        ({"limit": 2}, ["chat-3", "gone-1"]),
        ({"after": 3}, ["chat-3", "gone-1"]),
        ({"route": "chat", "deployment": "e", "errors": True}, []),
    ],
)
def test_what_is_wanted_is_found(path: Path, wanted: dict[str, Any], expected: list[str]) -> None:
    assert [one.record.id for one in history.select(path, Wanted(**wanted))] == expected


def test_since_counts_from_the_end(path: Path) -> None:
    found = history.select(path, Wanted(since=time.time() - 60))
    assert [one.record.id for one in found] == ["chat-3", "gone-1"]


def test_an_id_finds_the_request_and_its_copy(path: Path) -> None:
    assert [one.record.id for one in history.by_id(path, "chat-3")] == ["chat-3", "copy-1"]
    assert [one.record.id for one in history.by_id(path, "cha")] == ["chat-1", "chat-2", "chat-3"]
    assert history.by_id(path, "chat-%") == []


def test_figures_of_a_route(path: Path) -> None:
    since = time.time() - 250
    found = [
        (one.variant, bool(one.shadow), one.ttft_s) for one in history.figures(path, "chat", since)
    ]
    assert found == [("e", False, 3.0), ("d", False, 0.2), ("e", True, 9.0)]


def test_the_last_number(path: Path) -> None:
    assert history.last(path) == 6


@pytest.mark.parametrize(
    "read", [lambda p: history.by_id(p, "x"), lambda p: history.select(p, Wanted()), history.last]
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    (tmp_path / "bad").write_bytes(b"not a database" * 1000)
    for name in ("bad", "missing"):
        with pytest.raises(StoreError, match=f"/{name} cannot be read: "):
            read(tmp_path / name)


def test_a_record_of_an_older_headrace_is_still_read(path: Path) -> None:
    """Fields that came later have defaults, fields that went are skipped."""
    raw = history.by_id(path, "chat-1")[0].raw
    older = history.Found(1, raw.replace('"key":"k"', '"gone":[1]'))
    assert isinstance(older.record, Record)
    assert older.record.key is None
