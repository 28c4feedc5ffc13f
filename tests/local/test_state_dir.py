import os
import stat
from pathlib import Path

import pytest

from headrace.fleet.home import state_root
from headrace.local import strays
from headrace.local.state import (
    AlreadyUpError,
    Holder,
    StateError,
    acquire,
    holder,
    running_fleets,
    state_dir,
)

WHO = Holder(pid=42, since=1_750_000_000.0, fleet="f", file="/x/f.yaml", address="http://a/v1")


def test_the_root_follows_the_environment() -> None:
    assert state_root({"HEADRACE_STATE": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert state_root({"XDG_STATE_HOME": "/b"}) == Path("/b/headrace")
    assert state_root({}) == Path.home() / ".local/state/headrace"


def test_one_file_has_one_folder_however_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real.yaml")
    (tmp_path / "real.yaml").touch()
    real = state_dir("f", tmp_path / "real.yaml", tmp_path)
    assert real == state_dir("f", tmp_path / "link.yaml", tmp_path)
    assert real != state_dir("f", tmp_path / "other.yaml", tmp_path)
    assert real.path.name.startswith("f-")
    assert len(real.path.name) == len("f-12345678")


def test_the_folder_is_private(tmp_path: Path) -> None:
    state = state_dir("f", tmp_path / "f.yaml", tmp_path / "s")
    acquire(state).release()
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_a_held_lock_refuses_and_says_who_holds_it(tmp_path: Path) -> None:
    state = state_dir("f", tmp_path / "f.yaml", tmp_path / "s")
    lock = acquire(state)
    lock.describe(WHO)
    with pytest.raises(AlreadyUpError, match=r"process 42, since 20.*headrace down /x/f.yaml"):
        acquire(state)
    assert holder(state) == WHO
    assert list(running_fleets(tmp_path / "s")) == [(state, WHO)]
    lock.release()
    assert holder(state) is None
    assert list(running_fleets(tmp_path / "s")) == []


def test_what_a_dead_fleet_left_is_no_fleet_and_its_socket_goes(tmp_path: Path) -> None:
    state = state_dir("f", tmp_path / "f.yaml", tmp_path / "s")
    lock = acquire(state)
    lock.describe(WHO)
    lock.release()
    state.socket.touch()
    assert holder(state) is None
    acquire(state).release()
    assert not state.socket.exists()


def test_a_path_too_long_for_a_socket_is_said_before_anything_is_made(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 120)
    with pytest.raises(StateError, match="set HEADRACE_STATE to a shorter folder"):
        acquire(state_dir("f", tmp_path / "f.yaml", root))
    assert not root.exists()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(StateError, match="cannot be made: Not a directory"):
        acquire(state_dir("f", tmp_path / "f.yaml", tmp_path / "s"))


def test_strays_are_known_by_their_mark_only(tmp_path: Path) -> None:
    assert strays.find(str(tmp_path)) == []
    assert os.environ.get(strays.MARK) is None
