"""The lock file: readable, reviewable, never half written."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.models.cache import cache_root
from headrace.models.errors import LockError
from headrace.models.lock import (
    Conversion,
    LockedFile,
    LockEntry,
    lock_path,
    read_lock,
    update_lock,
    write_lock,
)

A, B = "a" * 64, "b" * 64
PLAIN = LockEntry("hf://o/n@main", "0" * 40, (LockedFile("config.json", 2, A),))
MADE = LockEntry(
    "wheel://p",
    "1.0",
    (LockedFile("config.json", 2, A), LockedFile("model.safetensors", 9, B)),
    Conversion("gguf", 1, (LockedFile("x.gguf", 5, B),)),
)


def test_the_lock_lies_beside_its_fleet() -> None:
    assert lock_path(Path("/x/laptop.yaml")) == Path("/x/laptop.lock")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.lock"
    assert read_lock(path) == {}
    write_lock(path, {"b": PLAIN, "a": MADE})
    assert read_lock(path) == {"a": MADE, "b": PLAIN}


def test_the_file_is_the_same_whatever_the_order_and_fit_for_review(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    write_lock(one, {"b": PLAIN, "a": MADE})
    write_lock(two, {"a": MADE, "b": PLAIN})
    assert one.read_bytes() == two.read_bytes()
    text = one.read_text()
    assert text.endswith("}\n")
    assert f'"sha256": "{A}"\n' in text
    assert list(json.loads(text)["models"]) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] in (["1", "2"], ["2", "1"])


def test_a_models_digest_follows_its_files_only() -> None:
    moved = LockEntry("file:///elsewhere", "", PLAIN.files)
    assert moved.digest == PLAIN.digest
    changed = LockEntry(PLAIN.source, PLAIN.resolved, (LockedFile("config.json", 2, B),))
    assert changed.digest != PLAIN.digest
    swapped = LockEntry(MADE.source, MADE.resolved, MADE.files[::-1])
    assert swapped.digest == MADE.digest


def _with_file(**changes: object) -> str:
    file = {"path": "a", "size": 1, "sha256": A, **changes}
    entry = {"source": "x", "resolved": "", "files": [file]}
    return json.dumps({"version": 1, "models": {"m": entry}})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "truncated"),
        ("<<<<<<< HEAD\n", "not a lock file"),
        ("[" * 100_000, "not a lock file"),
        ('{"version":2,"models":{}}', r"\$\.version"),
        ('{"version":1,"models":{},"more":1}', "more"),
        (_with_file(size=-1), r"files\[0\]\.size"),
        (_with_file(sha256="A" * 64), r"files\[0\]\.sha256"),
        (_with_file(path="../a"), "could leave its folder"),
    ],
)
def test_a_broken_lock_says_where(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "laptop.lock"
    path.write_text(content)
    with pytest.raises(LockError, match=says) as caught:
        read_lock(path)
    assert "laptop.lock" in str(caught.value)


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_lock_or_a_lock_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("l") / "x.lock"
    path.write_bytes(content)
    with pytest.raises(LockError):
        read_lock(path)


def test_update_keeps_the_other_models_and_says_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "f.lock"
    assert update_lock(path, "a", MADE)
    assert update_lock(path, "b", PLAIN)
    assert not update_lock(path, "b", PLAIN)
    assert read_lock(path) == {"a": MADE, "b": PLAIN}
    assert [found.name for found in tmp_path.glob("*.lock")] == ["f.lock"]


def test_an_update_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another update begins between our reading and our writing; it has to wait for us."""
    path = tmp_path / "f.lock"
    other = threading.Thread(target=update_lock, args=(path, "b", PLAIN))

    def write_late(*args: Any) -> None:
        if other.ident is None:
            other.start()
            other.join(0.2)  # it would be done by now, if it did not have to wait
        write_lock(*args)

    monkeypatch.setattr("headrace.models.lock.write_lock", write_late)
    update_lock(path, "a", MADE)
    other.join()
    assert read_lock(path) == {"a": MADE, "b": PLAIN}


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", "/own")
    assert cache_root() == Path("/own")
    monkeypatch.delenv("HEADRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/headrace")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_root() == Path("/home/me/.cache/headrace")
