"""Results beside the fleet file: `laptop.yaml` has the folder `laptop.evidence`.

One JSON file a result, named by its id, so that two branches that measured merge without a
conflict, and a review reads figures. A file never changes: its name holds a digest of what is in
it. Nothing here needs the raw data of a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.evidence.result import Evidence, identity
from headrace.models.lock import replace_file

MAX_BYTES = 1 << 20
"""Of one result; a larger one holds raw data, which belongs to the run."""
MAX_FILES = 10_000


class EvidenceError(Exception):
    """A result cannot be kept or found; the message says why and what to do."""


@dataclass(frozen=True)
class Known:
    """All results of a fleet file, oldest first, and a sentence for each file that is no result."""

    folder: Path
    results: tuple[Evidence, ...] = ()
    damaged: tuple[str, ...] = ()

    def find(self, prefix: str) -> Evidence:
        """Return the result whose id, or whose digest at the id's end, begins so; EvidenceError."""
        found = [one for one in self.results if _begins(one.id, prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(one.id for one in found[:5])
            raise EvidenceError(f"'{prefix}' could be {len(found)} results, such as {names}")
        raise EvidenceError(
            f"{self.folder} has no result '{prefix}'; see `headrace evidence list FLEET`, and give"
            " the same file with --fleet"
        )


def evidence_folder(fleet: Path) -> Path:
    """Return where the results of a fleet file are."""
    return fleet.with_suffix(".evidence")


def keep(fleet: Path, evidence: Evidence) -> Path:
    """Write a result beside a fleet file and return its path; EvidenceError if that cannot be."""
    folder = evidence_folder(fleet)
    content = _content(evidence)
    if len(content) > MAX_BYTES:
        raise EvidenceError(
            f"{evidence.id} would take {len(content):,} bytes, more than {MAX_BYTES:,}; keep raw"
            " data in the run's folder"
        )
    path = folder / f"{evidence.id}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror or error}") from error
    return path


def load(fleet: Path) -> Known:
    """Read all results of a fleet file; what is damaged is named and passed over."""
    return load_folder(evidence_folder(fleet))


def load_folder(folder: Path) -> Known:
    """Read all results of a folder, as `load` does; one that is not there has none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return Known(folder)
    except OSError as error:
        return Known(folder, damaged=(f"{folder}: {error.strerror or error}",))
    read = [_read(path) for path in paths[:MAX_FILES] if not path.name.startswith(".")]
    results = [one for one in read if isinstance(one, Evidence)]
    damaged = [one for one in read if isinstance(one, str)]
    if len(paths) > MAX_FILES:
        damaged.append(f"{folder}: more than {MAX_FILES:,} results; the newest are not read")
    return Known(
        folder, tuple(sorted(results, key=lambda one: (one.taken, one.id))), tuple(damaged)
    )


def _content(evidence: Evidence) -> bytes:
    plain = msgspec.to_builtins(evidence)
    try:
        text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise EvidenceError(f"{evidence.id}: a figure is no number: {error}") from error
    return text.encode() + b"\n"


def _begins(id_: str, prefix: str) -> bool:
    return bool(prefix) and (id_.startswith(prefix) or id_.rpartition("-")[2].startswith(prefix))


def _read(path: Path) -> Evidence | str:
    """Return a file's result, or a sentence about what is wrong with it."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return f"{path}: no file of at most {MAX_BYTES >> 20} MiB, so no result"
        content: Any = json.loads(path.read_bytes())
        found = msgspec.convert(content, Evidence)
        wanted = identity(content)
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        return f"{path}: {_first_line(error)}; take it from version control, or delete it"
    if not found.id == wanted == path.stem:
        return f"{path}: was changed after it was taken; take it from version control, or delete it"
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
