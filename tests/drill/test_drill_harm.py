"""What keeps a drill from harming anything but the fleet it was told to harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headrace.drill import processes
from headrace.drill.change import VARIABLE, changed_file
from headrace.fleet.load import load_fleet
from headrace.local.errors import LocalError

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_descendant_of_the_supervisor_is_an_engine(child: subprocess.Popen[bytes]) -> None:
    assert processes.engine(child.pid, os.getpid()).pid == child.pid


def test_any_other_process_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    for pid, supervisor in ((os.getpid(), child.pid), (1, os.getpid()), (os.getpid(), os.getpid())):
        with pytest.raises(LocalError, match="is no replica of the fleet"):
            processes.engine(pid, supervisor)


def test_a_process_that_is_gone_is_not_signalled(child: subprocess.Popen[bytes]) -> None:
    process = processes.engine(child.pid, os.getpid())
    child.kill()
    child.wait()
    assert not processes.send(process, signal.SIGTERM)
    with pytest.raises(LocalError, match="gone already"):
        processes.engine(child.pid, os.getpid())


def test_the_worker_is_the_deepest_python() -> None:
    inner = "import subprocess,sys; subprocess.run([sys.executable,'-S','-c','print(1,flush=True); import time; time.sleep(60)'])"
    outer = subprocess.Popen([sys.executable, "-S", "-c", inner], stdout=subprocess.PIPE)
    assert outer.stdout is not None
    assert outer.stdout.read(1) == b"1"
    process = psutil.Process(outer.pid)
    found = processes.worker(process)
    assert found.parent() == process
    with pytest.raises(LocalError, match="no engine worker"):
        processes.worker(found)
    found.kill()
    outer.wait()
    outer.stdout.close()


def test_the_changed_file_is_another_with_the_same_meaning(tmp_path: Path) -> None:
    original = tmp_path / "fleet.yaml"
    original.write_text(EXAMPLE.read_text().replace("gateway: {", "gateway: {keys: keys.yaml, "))
    (tmp_path / "keys.yaml").write_text("[]")
    original.with_suffix(".lock").write_text("locked")
    with changed_file(original, "smollm2", "7") as path:
        changed, before = load_fleet(path).fleet, load_fleet(original).fleet
        assert path.with_suffix(".lock").read_text() == "locked"
    engine = changed.deployments["smollm2"].engine
    assert engine.env == {VARIABLE: "7"}
    assert engine.model_copy(update={"env": {}}) == before.deployments["smollm2"].engine
    assert changed.gateway.keys == tmp_path / "keys.yaml"
    assert changed.routes == before.routes
    assert not path.exists()
