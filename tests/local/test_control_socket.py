import asyncio
import contextlib
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.local import control


async def answer(request: control.Request) -> control.Reply:
    return control.Refused(f"heard {type(request).__name__}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type":"status"}', "heard GetStatus"),
        (b'{"type":"scale","deployment":"a","replicas":null}', "heard Scale"),
        (b'{"type":"scale","deployment":"a"}', "not understood"),
        (b'{"type":"scale","deployment":"a","replicas":"two"}', "not understood"),
        (b"nonsense", "not understood"),
        (b"", "not understood"),
    ],
)
async def test_one_line_asks_one_line_answers(tmp_path: Path, line: bytes, expected: str) -> None:
    server = await control.listen(tmp_path / "c.sock", answer)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    for _ in range(2):
        writer.write(line + b"\n")
        reply = control.decode_reply(await reader.readline())
        assert isinstance(reply, control.Refused)
        assert expected in reply.why
    writer.close()
    server.close()


async def test_a_line_without_end_closes_the_connection(tmp_path: Path) -> None:
    server = await control.listen(tmp_path / "c.sock", answer)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "c.sock")
    writer.write(b"x" * (2 << 20))
    with contextlib.suppress(ConnectionResetError):  # closed while we still wrote
        assert await reader.read() == b""
    writer.close()
    server.close()


@given(st.binary(max_size=200).filter(lambda line: b"\n" not in line))
def test_whatever_is_asked_gets_an_answer(line: bytes) -> None:
    reply = asyncio.run(control._reply(line, answer))
    assert isinstance(reply, control.Refused)


@pytest.mark.parametrize(("uid", "ours"), [(os.getuid(), True), (0, True), (54321, False)])
def test_only_this_user_and_root_may_ask(uid: int, *, ours: bool) -> None:
    class Peer:
        def get_extra_info(self, _name: str) -> Any:
            return self

        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("3i", 1, uid, 1)

    assert control._is_ours(Peer()) is ours  # type: ignore[arg-type]
