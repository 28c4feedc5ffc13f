"""A copy of a fleet file that differs in nothing that matters, so that a rollout has work to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

VARIABLE = "HEADRACE_DRILL"
"""In the changed deployment's `engine.env`; no engine reads it."""


@contextmanager
def changed_file(original: Path, deployment: str, mark: str) -> Iterator[Path]:
    """Give the path of a copy in which the deployment's engine gets one more variable.

    The copy, and the lock file beside it, are gone when the block ends.
    """
    yaml = YAML()
    data = yaml.load(original)
    engine = data["deployments"][deployment].setdefault("engine", {})
    engine.setdefault("env", {})[VARIABLE] = mark
    _absolute_keys(data, original.parent)
    with tempfile.TemporaryDirectory(prefix="headrace-drill-") as folder:
        copy = Path(folder) / original.name
        with copy.open("w", encoding="utf-8") as out:
            yaml.dump(data, out)
        lock = original.with_suffix(".lock")
        if lock.exists():
            shutil.copy(lock, copy.with_suffix(".lock"))
        yield copy


def _absolute_keys(data: dict[str, dict[str, str]], folder: Path) -> None:
    """Keep a key file's relative path true in another folder."""
    gateway = data.get("gateway") or {}
    if gateway.get("keys"):
        gateway["keys"] = str((folder / gateway["keys"]).absolute())
