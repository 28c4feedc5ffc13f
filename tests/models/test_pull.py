"""A pull from end to end: first, again, concurrent, killed, cheated, and out of room."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from gguf_kit import write_gguf
from weights_kit import COMMIT, EAGER, Page, Site, tiny_model, write_folder, write_wheel

from headrace.fleet.source import FileSource, HttpSource, HubSource, Source, WheelSource
from headrace.models import disk
from headrace.models.errors import (
    AlteredError,
    DiskError,
    FormatError,
    MissingError,
    RefusedError,
    TransferError,
    WeightsError,
)
from headrace.models.lock import LockEntry
from headrace.models.look_up import read_folder
from headrace.models.progress import Listener, Progress, silent
from headrace.models.pull import PullResult, pull
from headrace.models.store import Store

HUB = HubSource("o/n", "main")


def _pull(store: Store, source: Source, entry: LockEntry | None = None, **more: Any) -> PullResult:
    return pull("tiny", source, store=store, lock_entry=entry, retry=EAGER, **more)


@pytest.fixture
def hub(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    site.put_repo("o/n", tiny_model())
    return site


def _nothing_published(store: Store) -> bool:
    return not [path for path in store.root.glob("*") if not path.name.startswith(".")]


def test_a_first_pull_makes_the_lock_and_a_second_asks_nobody(hub: Site, store: Store) -> None:
    first = _pull(store, HUB)
    assert first.fetched
    assert first.lock_changed
    assert (first.entry.source, first.entry.resolved) == ("hf://o/n@main", COMMIT)
    expected = {name: sha256(body).hexdigest() for name, body in tiny_model().items()}
    assert {file.path: file.sha256 for file in first.entry.files} == expected
    assert read_folder(first.path).weights.total == 2 * 1024
    hub.requests.clear()
    second = _pull(store, HUB, first.entry)
    assert (second.path, second.fetched, second.lock_changed) == (first.path, False, False)
    assert hub.requests == []


def test_nothing_but_the_model_stays_on_disk(hub: Site, store: Store) -> None:
    assert hub.url
    path = _pull(store, HUB).path
    assert list((store.root / ".staging").iterdir()) == []
    assert sorted(file.name for file in path.iterdir()) == [".headrace.json", *sorted(tiny_model())]


def test_an_altered_folder_is_never_handed_out(hub: Site, store: Store) -> None:
    first = _pull(store, HUB)
    weights = first.path / "model.safetensors"
    weights.chmod(0o644)
    body = weights.read_bytes()
    weights.write_bytes(body[:-1] + b"!")
    hub.requests.clear()
    told: list[str] = []
    again = _pull(store, HUB, first.entry, progress=lambda one: told.append(one.note))
    assert again.fetched
    assert any("not whole, so it is replaced: model.safetensors: altered" in note for note in told)
    assert hub.requests
    assert weights.read_bytes() == body


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_other_than_the_locks_is_an_error(hub: Site, store: Store, name: str) -> None:
    first = _pull(store, HUB)
    store.discard(first.entry)
    files = {**tiny_model(), name: tiny_model()[name] + b" "}
    hub.put_repo("o/n", files)
    wanted = sha256(tiny_model()[name]).hexdigest()
    found = sha256(files[name]).hexdigest()
    with pytest.raises(AlteredError) as caught:
        _pull(store, HUB, first.entry)
    message = str(caught.value)
    assert message.startswith("tiny: ")
    for part in (name, wanted, found, "delete the entry of tiny", "review"):
        assert part in message
    assert _nothing_published(store)


def test_a_file_other_than_the_hubs_own_digest_is_an_error(hub: Site, store: Store) -> None:
    page = hub.pages[f"/o/n/resolve/{COMMIT}/model.safetensors"]
    page.body = page.body[:-1] + b"!"
    with pytest.raises(AlteredError, match="by the hub"):
        _pull(store, HUB)
    assert _nothing_published(store)
    assert not list(store.root.glob(".staging/*/files/model.safetensors"))
    page.body = tiny_model()["model.safetensors"]
    assert _pull(store, HUB).fetched  # the wrong bytes are forgotten


def test_a_digest_that_the_hub_changed_is_an_error_before_fetching(hub: Site, store: Store) -> None:
    first = _pull(store, HUB)
    store.discard(first.entry)
    hub.put_repo("o/n", tiny_model(7))
    hub.requests.clear()
    with pytest.raises(AlteredError, match="is another file now"):
        _pull(store, HUB, first.entry)
    assert len(hub.requests) == 1  # the listing


def test_files_that_come_or_go_are_an_error(hub: Site, store: Store) -> None:
    first = _pull(store, HUB)
    store.discard(first.entry)
    files = tiny_model()
    files["tokenizer_config.json"] = files.pop("tokenizer.json")
    hub.put_repo("o/n", files)
    with pytest.raises(AlteredError, match=r"gone: tokenizer\.json; new: tokenizer_config\.json"):
        _pull(store, HUB, first.entry)


def test_another_source_makes_a_new_entry(hub: Site, store: Store, tmp_path: Path) -> None:
    assert hub.url
    first = _pull(store, HUB)
    source = FileSource(str(write_folder(tmp_path / "mine", tiny_model())))
    result = _pull(store, source, first.entry)
    assert result.lock_changed
    assert result.entry.source == str(source)


def test_a_folder_on_this_machine_is_copied_not_shared(store: Store, tmp_path: Path) -> None:
    mine = write_folder(tmp_path / "mine", {**tiny_model(), "notes.md": b"", "x.bin": b""})
    result = _pull(store, FileSource(str(mine)))
    (mine / "config.json").write_bytes(b"changed")
    assert store.verify(result.entry) == []
    assert not (result.path / "notes.md").exists()
    with pytest.raises(MissingError, match="no such file"):
        _pull(store, FileSource(str(tmp_path / "nowhere")))


def test_files_of_a_web_folder(site: Site, store: Store) -> None:
    for name, body in tiny_model().items():
        site.pages[f"/m/{name}"] = Page(body)
    source = HttpSource(f"{site.url}/m/")
    assert (
        read_folder(_pull(store, source, files=tuple(tiny_model())).path).architecture.layers == 1
    )


def test_a_gguf_is_converted_and_its_origin_locked(
    site: Site, store: Store, tmp_path: Path
) -> None:
    body = write_gguf(tmp_path / "x.gguf").read_bytes()
    site.pages["/x.gguf"] = Page(body, '"1"')
    source = HttpSource(f"{site.url}/x.gguf")
    first = _pull(store, source)
    made_from = first.entry.converted_from
    assert made_from is not None
    assert [file.sha256 for file in made_from.files] == [sha256(body).hexdigest()]
    assert not list(first.path.glob("*.gguf"))
    assert read_folder(first.path).architecture.layers == 2
    store.discard(first.entry)
    assert _pull(store, source, first.entry).entry == first.entry


def test_a_conversion_that_differs_from_the_lock_is_an_error(store: Store, tmp_path: Path) -> None:
    source = FileSource(str(write_gguf(tmp_path / "x.gguf")))
    entry = _pull(store, source).entry
    files = tuple(
        type(file)(file.path, file.size, "f" * 64) if file.path == "config.json" else file
        for file in entry.files
    )
    other = LockEntry(entry.source, entry.resolved, files, entry.converted_from)
    with pytest.raises(AlteredError, match=r"config\.json"):
        _pull(store, source, other)


def test_a_wheel_is_held_to_its_record(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    inside = {f"m/{name}": body for name, body in tiny_model().items()}
    write_wheel(index, inside)
    assert read_folder(_pull(store, WheelSource("tiny-model", "1.0")).path).architecture.layers == 1
    write_wheel(index, inside, "2.0", lies={"m/tokenizer.json": b"{ }"})
    with pytest.raises(AlteredError, match=r"tokenizer\.json .*RECORD"):
        _pull(store, WheelSource("tiny-model", "2.0"))


def test_a_disguised_pickle_is_refused(hub: Site, store: Store) -> None:
    hub.put_repo("o/n", {**tiny_model(), "tokenizer.json": pickle.dumps({"a": 1})})
    with pytest.raises(RefusedError, match=r"tiny: tokenizer\.json is a pickle"):
        _pull(store, HUB)
    assert _nothing_published(store)


def test_pickled_weights_need_permission(hub: Site, store: Store) -> None:
    files = tiny_model()
    files["pytorch_model.bin"] = pickle.dumps({"w": files.pop("model.safetensors")})
    hub.put_repo("o/n", files)
    with pytest.raises(RefusedError, match="allow_pickle"):
        _pull(store, HUB)
    assert (_pull(store, HUB, allow_pickle=True).path / "pytorch_model.bin").exists()


@pytest.mark.parametrize(
    "files",
    [
        {**tiny_model(), "model.safetensors": tiny_model()["model.safetensors"][:-5]},
        {**tiny_model(), "config.json": b"<html>"},
        {"tokenizer.json": b"{}", "model.safetensors": tiny_model()["model.safetensors"]},
    ],
)
def test_a_folder_that_no_engine_could_load_is_not_published(
    hub: Site, store: Store, files: dict[str, bytes]
) -> None:
    hub.put_repo("o/n", files)
    with pytest.raises(FormatError):
        _pull(store, HUB)
    assert _nothing_published(store)


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - the shape of shutil.disk_usage


def test_too_little_room_is_said_before_anything_is_fetched(
    hub: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 30, 0, 256 << 20))
    with pytest.raises(DiskError, match=r"tiny: the pull needs 257 MiB at .*256 MiB are free"):
        _pull(store, HUB)  # the margin is all there is, the model has some kB
    assert f"/o/n/resolve/{COMMIT}/model.safetensors" not in [path for path, _ in hub.requests]


def test_a_disk_that_fills_up_is_said_and_the_next_pull_continues(
    hub: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.url

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("headrace.models.fetch_http.os.fsync", full)
        with pytest.raises(DiskError, match=r"tiny: .*is full; .*HEADRACE_CACHE"):
            _pull(store, HUB)
    assert _nothing_published(store)
    assert _pull(store, HUB).fetched


def _child(root: Path, entry: LockEntry | None, results: Any) -> None:
    heard: list[str] = []

    def listen(progress: Progress) -> None:
        heard.append(progress.step)
        if progress.step == "wait":
            results.put("waiting")

    result = pull("tiny", HUB, store=Store(root), lock_entry=entry, retry=EAGER, progress=listen)
    results.put((str(result.path), result.fetched))


@pytest.fixture
def children() -> Iterator[list[BaseProcess]]:
    started: list[BaseProcess] = []
    yield started
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


def test_of_two_processes_one_fetches_and_the_other_waits(
    hub: Site, store: Store, children: list[BaseProcess]
) -> None:
    page = hub.pages[f"/o/n/resolve/{COMMIT}/model.safetensors"]
    page.gate = threading.Event()
    context = get_context("spawn")
    results: Any = context.Queue()
    first = context.Process(target=_child, args=(store.root, None, results))
    children.append(first)
    first.start()
    assert page.halfway.wait(30)
    second = context.Process(target=_child, args=(store.root, None, results))
    children.append(second)
    second.start()
    assert results.get(timeout=30) == "waiting"
    page.gate.set()
    (one, fetched), (two, waited) = results.get(timeout=30), results.get(timeout=30)
    assert one == two
    assert sorted([fetched, waited]) == [False, True]
    assert len(hub.asked(f"/o/n/resolve/{COMMIT}/model.safetensors")) == 1


def test_a_killed_pull_publishes_nothing_and_the_next_one_continues(
    hub: Site, store: Store, children: list[BaseProcess]
) -> None:
    hub.put_repo("o/n", tiny_model(1_000_000), lfs=False)
    place = f"/o/n/resolve/{COMMIT}/model.safetensors"
    hub.pages[place].gate = threading.Event()
    context = get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_child, args=(store.root, None, results))
    children.append(process)
    process.start()
    assert hub.pages[place].halfway.wait(30)
    part = _wait_for_part(store)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert _nothing_published(store)
    got = part.stat().st_size
    hub.pages[place].gate.set()
    hub.requests.clear()
    assert store.verify(_pull(store, HUB).entry) == []
    assert hub.asked(place)[0]["Range"] == f"bytes={got}-"


def _wait_for_part(store: Store) -> Path:
    """Wait until the first bytes of the weights are on disk."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for part in store.root.glob(".staging/*/files.parts/model.safetensors.part"):
            if part.stat().st_size > 0:
                return part
    pytest.fail("no byte arrived in 30 s")


def test_a_pull_that_gives_up_leaves_its_words(hub: Site, store: Store) -> None:
    hub.pages[f"/o/n/resolve/{COMMIT}/config.json"] = Page(answers=[503] * 9)
    with pytest.raises(TransferError, match=r"tiny: config\.json: .*503"):
        _pull(store, HUB)


def test_every_step_is_told(hub: Site, store: Store) -> None:
    heard: list[Progress] = []
    listen: Listener = heard.append
    assert hub.url
    _pull(store, HUB, progress=listen)
    assert [event.step for event in heard if event.step != "fetch"] == ["resolve", "publish"]
    last = {event.item: event for event in heard if event.step == "fetch"}
    assert all(event.done == event.total for event in last.values())
    assert set(last) == set(tiny_model())
    silent(heard[0])


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path, hub: Site) -> None:
    assert hub.url
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="file"):
        _pull(Store(tmp_path / "file" / "weights"), HUB)


def test_the_manifest_in_the_folder_is_the_entry(hub: Site, store: Store) -> None:
    assert hub.url
    result = _pull(store, HUB)
    manifest = json.loads((result.path / ".headrace.json").read_text())
    assert manifest["resolved"] == COMMIT
    assert disk.hash_file(result.path / "config.json").sha256 in json.dumps(manifest)
