"""`up` itself: what it refuses, all at once, before anything starts; and that it serves what was prepared."""

import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from fleet_kit import Recorder, ScriptEngine, write_fleet

from headrace.fleet.problems import FleetError
from headrace.hardware.machine import Machine
from headrace.local import prepare
from headrace.local import up as up_module
from headrace.local.state import AlreadyUpError, acquire, state_dir
from headrace.models.progress import Listener, silent

GIB = 2**30


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "c"))


def bars() -> nullcontext[Listener]:
    return nullcontext(silent)


def machine(available: int) -> Machine:
    return Machine(cores=(0,), core_quota=1, memory_total=available, memory_available=available)


def test_every_shortage_is_told_at_once_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up_module, "read_machine", lambda: machine(GIB))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = write_fleet(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(FleetError) as refused:
            up_module.up(file, Recorder(), bars)
    fields = [(problem.line, problem.field) for problem in refused.value.problems]
    assert fields == [(10, "deployments.chat.scaling.max"), (15, "gateway.port")]
    assert "is taken by process" in str(refused.value)


def test_a_fleet_that_is_up_is_refused_before_anything_else(tmp_path: Path) -> None:
    file = write_fleet(tmp_path)
    lock = acquire(state_dir("test", file.path))
    with pytest.raises(AlreadyUpError):
        up_module.up(file, Recorder(), bars)
    lock.release()


def test_after_a_refusal_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up_module, "read_machine", lambda: machine(GIB))
    file = write_fleet(tmp_path)
    for _ in range(2):
        with pytest.raises(FleetError):
            up_module.up(file, Recorder(), bars)


def test_what_was_prepared_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that only crashes ends the fleet by itself, with status 1."""
    file = write_fleet(tmp_path)
    (tmp_path / "mode").write_text("crash")
    monkeypatch.setattr("headrace.local.restarts.FIRST", 0.01)
    monkeypatch.setattr(up_module, "read_machine", lambda: machine(64 * GIB))
    monkeypatch.setattr(prepare, "prepare_weights", lambda *_, **_kw: {"small": tmp_path})
    monkeypatch.setattr(
        prepare, "prepare_engines", lambda *_, **_kw: {"chat": Path(sys.executable)}
    )
    monkeypatch.setattr(prepare, "Vllm", lambda _version: ScriptEngine(tmp_path / "mode"))
    display = Recorder()
    assert up_module.up(file, display, bars) == 1
    assert "no such weights" in display.texts("gave-up")[0]
