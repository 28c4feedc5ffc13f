"""The folders of copies: what belongs to nobody who lives goes, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from headrace.experiments.copy_folder import copy_folder
from headrace.local.state import Holder, StateDir, acquire

ABANDON = """
import os
from headrace.experiments.copy_folder import copy_folder
with copy_folder() as folder:
    (folder / "fleet.yaml").write_text("fleet: f")
    os._exit(9)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def abandoned(tmp_path: Path) -> Path:
    """Return the folder of an experiment that was killed."""
    before = set(tmp_path.iterdir())
    assert subprocess.run([sys.executable, "-c", ABANDON], check=False).returncode == 9
    (folder,) = set(tmp_path.iterdir()) - before
    return folder


def test_a_folder_goes_with_its_block() -> None:
    with copy_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()


def test_what_a_killed_experiment_left_goes_at_the_next(tmp_path: Path) -> None:
    folder = abandoned(tmp_path)
    with copy_folder():
        assert not folder.exists()


def test_the_folder_of_an_experiment_that_lives_stays() -> None:
    with copy_folder() as one, copy_folder() as other:
        assert one.is_dir()
        assert other.is_dir()


def test_a_copy_that_is_still_ending_keeps_its_folder(tmp_path: Path) -> None:
    folder = abandoned(tmp_path)
    held = acquire(StateDir(folder / "f-12345678"))
    held.describe(Holder(pid=1, since=0.0, fleet="f", file="fleet.yaml"))
    with copy_folder():
        assert folder.is_dir()
    held.release()
    with copy_folder():
        assert not folder.exists()


def test_folders_of_others_stay_whatever_they_are_called(tmp_path: Path) -> None:
    mine = tmp_path / "headrace-mine"
    mine.mkdir()
    linked = abandoned(tmp_path).rename(tmp_path / "elsewhere")
    (tmp_path / "headrace-link").symlink_to(linked)
    with copy_folder():
        assert mine.is_dir()
        assert (linked / "fleet.yaml").exists()
