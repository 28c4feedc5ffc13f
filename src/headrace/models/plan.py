"""What a pull is going to fetch, before the first byte of it: the one seam that every source fills.

`fetch_hub.py`, `fetch_http.py`, `fetch_file.py` and `fetch_wheel.py` each have an Origin; `pull.py`
drives it. Promises of the lock file are laid over the plan here, so that a source that no longer
fits is found before anything is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from headrace.models.errors import AlteredError
from headrace.models.lock import LockedFile, LockEntry
from headrace.models.progress import Listener


@dataclass(frozen=True)
class Planned:
    """A file to fetch: its name in the folder, where it is, and what is known of it beforehand.

    `why` says who promised the SHA-256. `immutable` says that the place never changes its content
    (a commit of a hub), so that a part can be continued without an ETag.
    """

    name: str
    place: str
    size: int | None = None
    sha256: str | None = None
    why: str = ""
    immutable: bool = False


@dataclass(frozen=True)
class Plan:
    """All files of a model, and the commit or version that the source resolved to."""

    resolved: str
    files: tuple[Planned, ...]


class Origin(Protocol):
    """A place that gives files; both methods raise WeightsError."""

    def plan(self, resolved: str | None) -> Plan:
        """Find out what there is; `resolved` is the lock file's, or None on a first pull."""

    def fetch(self, file: Planned, into: Path, progress: Listener) -> LockedFile:
        """Bring one planned file to `into / file.name` and return its size and SHA-256."""


def hold_to_lock(plan: Plan, entry: LockEntry, model: str) -> Plan:
    """Add the lock's promises to a plan; AlteredError if the source already contradicts them."""
    locked = {file.path: file for file in entry.fetched}
    offered = {file.name for file in plan.files}
    if offered != set(locked):
        missing, new = sorted(set(locked) - offered), sorted(offered - set(locked))
        raise AlteredError(
            f"{entry.source} does not hold the files of the lock file "
            f"(gone: {', '.join(missing) or 'none'}; new: {', '.join(new) or 'none'}). "
            + advice(model)
        )
    return replace(plan, files=tuple(_hold(file, locked[file.name], model) for file in plan.files))


def advice(model: str) -> str:
    """Say what to do when a source and the lock file differ."""
    return (
        f"If the change is wanted, delete the entry of {model} from the lock file, "
        "pull again and review the difference; if not, something between you and the author "
        "changed the weights"
    )


def _hold(file: Planned, locked: LockedFile, model: str) -> Planned:
    if file.sha256 not in (None, locked.sha256):
        raise AlteredError(
            f"{file.name} is another file now: the lock file promises sha256 "
            f"{locked.sha256}, {file.why} says {file.sha256}. {advice(model)}"
        )
    return replace(file, sha256=locked.sha256, size=locked.size, why="the lock file")
