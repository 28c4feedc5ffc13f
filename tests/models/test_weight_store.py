"""Published folders: whole, read-only, and found out when altered."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from weights_kit import tiny_model, write_folder

from headrace.models import disk
from headrace.models.disk import free_bytes, require_space
from headrace.models.errors import DiskError
from headrace.models.lock import LockedFile, LockEntry
from headrace.models.store import Store


def _publish(store: Store, source: str = "file:///m", **more: bytes) -> tuple[LockEntry, Path]:
    files = {**tiny_model(), "sub/extra.json": b"{}", **more}
    staged = write_folder(store.staging(source, "") / "files", files)
    locked = tuple(
        LockedFile(name, len(body), sha256(body).hexdigest()) for name, body in files.items()
    )
    entry = LockEntry(source, "", locked)
    return entry, store.publish(staged, entry)


def test_a_published_folder_is_whole_and_read_only(store: Store) -> None:
    entry, path = _publish(store)
    assert store.locate(entry) == path
    assert store.verify(entry) == []
    modes = {found.stat().st_mode & 0o777 for found in path.rglob("*") if found.is_file()}
    assert modes == {0o444}
    assert {path.stat().st_mode & 0o777, (path / "sub").stat().st_mode & 0o777} == {0o555}
    assert [stored.entry for stored in store.stored()] == [entry]


def test_content_not_yet_there_is_not_found(store: Store) -> None:
    entry = LockEntry("file:///m", "", (LockedFile("x", 1, "a" * 64),))
    assert store.locate(entry) is None
    assert [problem.detail for problem in store.verify(entry)] == ["not pulled"]
    assert store.stored() == []
    assert store.latest("file:///m") is None


def _overwrite(path: Path, body: bytes) -> None:
    path.chmod(0o644)
    times = path.stat()
    path.write_bytes(body)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a careful culprit


@pytest.mark.parametrize("quick", [False, True])
def test_one_altered_byte_is_found(store: Store, quick: bool) -> None:
    entry, path = _publish(store)
    weights = path / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    _overwrite(weights, bytes(body))
    (problem,) = store.verify(entry, quick=quick)
    assert (problem.path, problem.kind) == ("model.safetensors", "altered")
    assert sha256(body).hexdigest() in str(problem)


@pytest.mark.parametrize("quick", [False, True])
def test_missing_extra_linked_and_cut_files_are_found(store: Store, quick: bool) -> None:
    entry, path = _publish(store)
    path.chmod(0o755)
    (path / "sub").chmod(0o755)
    _overwrite(path / "model.safetensors", b"short")
    (path / "config.json").unlink()
    (path / "tokenizer.json").rename(path / "real")
    (path / "tokenizer.json").symlink_to("real")
    (path / "sub/evil.py").write_text("")
    found = sorted((problem.path, problem.kind) for problem in store.verify(entry, quick=quick))
    assert found == [
        ("config.json", "missing"),
        ("model.safetensors", "altered"),
        ("real", "extra"),
        ("sub/evil.py", "extra"),
        ("tokenizer.json", "missing"),
    ]


def test_a_quick_check_reads_only_what_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, path = _publish(store)
    read: list[str] = []
    monkeypatch.setattr(
        "headrace.models.store.hash_file",
        lambda path, progress, name: read.append(name) or disk.hash_file(path, progress, name),
    )
    assert store.verify(entry, quick=True) == []
    assert read == []
    (path / "config.json").touch()
    assert store.verify(entry, quick=True) == []
    assert read == ["config.json"]
    assert store.verify(entry) == []
    assert sorted(read) == sorted(["config.json", *(file.path for file in entry.files)])


def test_publishing_again_replaces_what_was_altered(store: Store) -> None:
    entry, path = _publish(store)
    _overwrite(path / "config.json", b"!!")
    assert store.verify(entry)
    assert _publish(store) == (entry, path)
    assert store.verify(entry) == []


def test_sources_and_contents_do_not_share_folders(store: Store) -> None:
    one, _ = _publish(store)
    two, _ = _publish(store, source="file:///other")
    three, _ = _publish(store, **{"more.json": b"{}"})
    assert len({store.path_of(entry) for entry in (one, two, three)}) == 3
    assert store.latest("file:///m") == three


def test_a_name_from_outside_cannot_leave_the_store(store: Store) -> None:
    for source in (
        "file:///../../etc",
        "wheel://..",
        "https://h/%2e%2e/..",
        "hf://a/b@" + "x" * 500,
    ):
        path = store.path_of(LockEntry(source, "", ()))
        assert path.parent == store.root
        assert not path.name.startswith(".")
        assert len(path.name) < 120


def test_staging_keeps_its_own_and_clears_other_revisions(store: Store) -> None:
    old = store.staging("hf://o/n@main", "commit1")
    (old / "x.part").write_bytes(b"1")
    assert (store.staging("hf://o/n@main", "commit1") / "x.part").exists()
    other = store.staging("hf://o/m@main", "")
    new = store.staging("hf://o/n@main", "commit2")
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_a_folder_sealed_just_before_a_crash_can_be_used_again(store: Store) -> None:
    work = store.staging("file:///m", "")
    folder = write_folder(work / "files", {"a/b": b"1"})
    (folder / "a/b").chmod(0o444)
    (folder / "a").chmod(0o555)
    store.staging("file:///m", "")
    assert (folder / "a/b").stat().st_mode & 0o200
    assert (folder / "a").stat().st_mode & 0o200


def test_room_is_checked_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 100 << 20)
    with pytest.raises(DiskError, match=r"smol needs 356 MiB at .*, and 100 MiB are free"):
        require_space(tmp_path, 100 << 20, what="smol")  # 100 MiB and the margin of 256
    monkeypatch.setattr(disk, "free_bytes", lambda _: 356 << 20)
    require_space(tmp_path, 100 << 20, what="smol")


def test_room_is_known_before_the_folder_is(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not/yet") > 0
