import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.local import logs, ports
from headrace.local.state import Holder, acquire, state_dir


def test_five_logs_are_kept_newest_first(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "chat-1.log"
    for start in range(7):
        logs.renew(log).write_text(str(start))
    kept = {path.name: path.read_text() for path in log.parent.iterdir()}
    names = ["chat-1.log", *(f"chat-1.log.{n}" for n in range(1, 5))]
    assert kept == dict(zip(names, ["6", "5", "4", "3", "2"], strict=True))


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 100_000 + b"\none\ntw\xff\n")
    assert logs.tail(log, 2) == ["one", "tw\ufffd"]
    assert logs.tail(tmp_path / "none.log") == []


async def test_following_gives_whole_lines_and_survives_renewal(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\nhal")
    lines = logs.follow(log)
    assert await anext(lines) == "old"
    waiting = asyncio.ensure_future(anext(lines))
    with log.open("a") as file:
        file.write("f\r\n")
    assert await waiting == "half"
    waiting = asyncio.ensure_future(anext(lines))
    logs.renew(log).write_text("new\n")
    assert await waiting == "new"
    await lines.aclose()


async def test_following_from_the_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    lines = logs.follow(log, from_end=True)
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    with log.open("a") as file:
        file.write("new\n")
    assert await waiting == "new"
    await lines.aclose()


def test_a_busy_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ports.PortError, match=rf"port {port} .* is taken by process \d+ \("):
            ports.listen("127.0.0.1", port)


def test_a_port_that_another_fleet_serves_names_the_fleet_and_how_to_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path))
    lock = acquire(state_dir("shop", tmp_path / "shop.yaml"))
    lock.describe(Holder(pid=os.getpid(), since=0.0, fleet="shop", file="/x/shop.yaml"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tries = f"from headrace.local import ports; ports.listen(*{taken.getsockname()})"
        said = subprocess.run(
            [sys.executable, "-c", tries], capture_output=True, text=True, check=False
        ).stderr
    lock.release()
    assert "is taken by the fleet 'shop' (`headrace down /x/shop.yaml`); stop that, or" in said


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(ports.PortError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        ports.listen("192.0.2.1", 0)
    with pytest.raises(ports.PortError, match="is not an address of this machine"):
        ports.listen("no.such.host.invalid", 0)


def test_a_free_port_can_be_listened_on() -> None:
    with ports.listen("127.0.0.1", ports.free_port()) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
