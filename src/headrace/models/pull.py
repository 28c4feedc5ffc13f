"""Bring a model from its source into the store, or find that it is there already.

The order of things: one puller at a time; the plan, held against the lock file; room on the disk;
every file fetched, its digest compared, pickles refused; a GGUF converted; the folder checked as a
whole; only then the rename that publishes it. Whatever stops a pull before that leaves nothing that
could be served, and what was fetched so far for the next one to continue.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.source import FileSource, HttpSource, HubSource, Source
from headrace.models.config import check_folder
from headrace.models.disk import must_match, remove_tree, require_space
from headrace.models.errors import AlteredError, DiskError, WeightsError, disk_error
from headrace.models.fetch_file import FileOrigin
from headrace.models.fetch_http import HttpOrigin
from headrace.models.fetch_hub import HubOrigin
from headrace.models.fetch_wheel import WheelOrigin
from headrace.models.gguf import CONVERTER, Gguf
from headrace.models.lock import Conversion, LockedFile, LockEntry
from headrace.models.pickles import refuse_pickle
from headrace.models.plan import Origin, Plan, Planned, advice, hold_to_lock
from headrace.models.progress import Listener, Progress, silent
from headrace.models.store import Problem, Store
from headrace.models.web import Retry, open_client

_GGUF_GROWTH = 4  # a guess before the header is read: 4.5 bits per weight become 16


@dataclass(frozen=True)
class PullResult:
    """A published folder and the lock entry that describes it.

    `fetched` is False when it was there already. `lock_changed` says that the entry is not the one
    that was given: a first pull, another source, or a newer converter.
    """

    path: Path
    entry: LockEntry
    fetched: bool
    lock_changed: bool


def pull(
    name: str,
    source: Source,
    *,
    store: Store,
    lock_entry: LockEntry | None = None,
    files: tuple[str, ...] = (),
    allow_pickle: bool = False,
    progress: Listener = silent,
    retry: Retry | None = None,
    check: Callable[[Path], None] = check_folder,
) -> PullResult:
    """Make a model's folder available and whole; the caller writes the lock when it changed.

    `files` names the files of an https:// folder; `check` refuses a folder that no engine could
    load (`adapter.check_adapter` for a LoRA adapter). Raises WeightsError, whose message begins
    with the model's name.
    """
    entry = lock_entry if lock_entry and lock_entry.source == str(source) else None
    job = _Job(name, source, store, entry, files, allow_pickle, progress, retry or Retry(), check)
    try:
        found = job.present()
        return job.result(found, fetched=False) if found else job.run()
    except OSError as error:
        raise DiskError(f"{name}: {disk_error(error, store.root)}") from error
    except WeightsError as error:
        raise type(error)(f"{name}: {error}") from error


@dataclass(frozen=True)
class _Job:
    name: str
    source: Source
    store: Store
    entry: LockEntry | None
    files: tuple[str, ...]
    allow_pickle: bool
    progress: Listener
    retry: Retry
    check: Callable[[Path], None]

    def present(self) -> LockEntry | None:
        """Find what the lock file asks for in the store, unaltered."""
        return None if self._problems() else self.entry

    def _problems(self) -> list[Problem]:
        if self.entry is None:
            return [Problem(self.name, "missing", "not in the lock file")]
        return self.store.verify(self.entry, quick=True, progress=self.progress)

    def result(self, entry: LockEntry, *, fetched: bool) -> PullResult:
        path = self.store.path_of(entry)
        return PullResult(path, entry, fetched, lock_changed=entry != self.entry)

    def run(self) -> PullResult:
        """Pull under the source's guard, unless another process did so while we waited for it."""
        with self.store.exclusive(str(self.source), self._waiting) as waited:
            problems = self._problems()
            found = (waited and self._made_by_another()) if problems else self.entry
            if found:
                return self.result(found, fetched=False)
            self._tell_damage(problems[0])
            with ExitStack() as stack:
                return self.result(self._bring(stack), fetched=True)

    def _waiting(self) -> None:
        note = "another process is pulling this model; waiting for it"
        self.progress(Progress("wait", self.name, note=note))

    def _made_by_another(self) -> LockEntry | None:
        made = self.store.latest(str(self.source)) if self.entry is None else None
        return made if made and not self.store.verify(made, quick=True) else None

    def _tell_damage(self, problem: Problem) -> None:
        """Say why a model that was here is pulled again."""
        if self.entry and self.store.locate(self.entry):
            note = f"the stored copy is not whole, so it is replaced: {problem}"
            self.progress(Progress("retry", self.name, note=note))

    def _bring(self, stack: ExitStack) -> LockEntry:
        self.progress(Progress("resolve", self.name, note=str(self.source)))
        resolved = self.entry.resolved if self.entry else None
        work = self.store.staging(str(self.source), resolved or "")
        origin, plan = self._plan(stack, work, resolved)
        fetched = self._fetch(origin, plan, work / "files")
        folder, entry = self._prepare(work, plan, fetched)
        self.check(folder)
        self._compare(entry)
        self.progress(Progress("publish", self.name))
        self.store.publish(folder, entry)
        remove_tree(work)
        return entry

    def _plan(self, stack: ExitStack, work: Path, resolved: str | None) -> tuple[Origin, Plan]:
        require_space(self.store.root, 0, what="the pull")
        origin = self._origin(stack, work)
        plan = origin.plan(resolved)
        if self.entry:
            plan = hold_to_lock(plan, self.entry, self.name)
        self._require_space(plan, work)
        return origin, plan

    def _origin(self, stack: ExitStack, work: Path) -> Origin:
        source = self.source
        if isinstance(source, FileSource):
            return FileOrigin(source, allow_pickle=self.allow_pickle)
        if isinstance(source, HubSource):
            client = stack.enter_context(open_client())
            return HubOrigin(source, client, self.retry, self.progress, self.allow_pickle)
        if isinstance(source, HttpSource):
            return HttpOrigin(source, self.files, stack.enter_context(open_client()), self.retry)
        return WheelOrigin(source, work / "wheel", self.progress, self.allow_pickle)

    def _require_space(self, plan: Plan, work: Path) -> None:
        there = sum(path.stat().st_size for path in work.glob("files*/**/*") if path.is_file())
        need = sum((file.size or 0) * _growth(file) for file in plan.files)
        require_space(self.store.root, max(0, need - there), what="the pull")

    def _fetch(self, origin: Origin, plan: Plan, into: Path) -> tuple[LockedFile, ...]:
        for stale in _unplanned(into, plan):
            stale.unlink()
        return tuple(self._fetch_one(origin, file, into) for file in plan.files)

    def _fetch_one(self, origin: Origin, file: Planned, into: Path) -> LockedFile:
        got = origin.fetch(file, into, self.progress)
        try:
            refuse_pickle(into / file.name, file.name, allow=self.allow_pickle)
            self._check_one(got, file)
        except WeightsError:
            (into / file.name).unlink()  # the next pull must not continue from wrong bytes
            raise
        return got

    def _check_one(self, got: LockedFile, file: Planned) -> None:
        if file.sha256 is not None:
            wanted = LockedFile(file.name, file.size or got.size, file.sha256)
            must_match(got, wanted, why=f"by {file.why}", advice=advice(self.name))
        elif file.size is not None and got.size != file.size:
            raise AlteredError(f"{file.name} is {got.size:,} bytes, promised were {file.size:,}")

    def _prepare(
        self, work: Path, plan: Plan, fetched: tuple[LockedFile, ...]
    ) -> tuple[Path, LockEntry]:
        """Return the folder to publish and its entry; a GGUF is converted on the way."""
        files = work / "files"
        entry = LockEntry(str(self.source), plan.resolved, fetched)
        if len(fetched) != 1 or not fetched[0].path.lower().endswith(".gguf"):
            return files, entry
        folder = work / "folder"
        remove_tree(folder)
        gguf = Gguf(files / fetched[0].path)
        require_space(self.store.root, gguf.converted_bytes, what="the conversion")
        converted = gguf.convert(folder, self.progress)
        made_from = Conversion("gguf", CONVERTER, fetched)
        return folder, LockEntry(entry.source, entry.resolved, converted, made_from)

    def _compare(self, entry: LockEntry) -> None:
        """Hold what a conversion made against the lock, if the same converter made that."""
        before = self.entry.converted_from if self.entry else None
        if self.entry is None or before is None or before.converter != CONVERTER:
            return
        made = {file.path: file for file in entry.files}
        for wanted in self.entry.files:
            if wanted.path not in made:
                raise AlteredError(f"the conversion made no {wanted.path}. {advice(self.name)}")
            must_match(made[wanted.path], wanted, why="by the lock file", advice=advice(self.name))


def _growth(file: Planned) -> int:
    return 1 + _GGUF_GROWTH if file.name.lower().endswith(".gguf") else 1


def _unplanned(folder: Path, plan: Plan) -> list[Path]:
    """List what an earlier, different plan left behind."""
    planned = {folder / file.name for file in plan.files}
    return [path for path in folder.rglob("*") if path.is_file() and path not in planned]
