"""An https endpoint is measured like another, and one whose certificate nobody vouches for is not."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from scripted_kit import DONE, HEAD, answers, ask, token, usage

from headrace.bench.answers import Failure
from headrace.bench.load import Load


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a key and its own certificate for localhost, in one file."""
    file = tmp_path / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    return file


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(
                int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            )
            events = (token("a"), token("b", "length"), usage(3, 2), DONE)
            writer.write(
                HEAD + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events) + b"0\r\n\r\n"
            )
    except asyncio.IncompleteReadError:
        writer.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = Load(concurrency=1, patience=5.0)
        found = await answers(f"https://localhost:{port}/v1", [ask(0), ask(1)], load)
    if trusted:
        assert [answer.failure for answer in found] == [None, None]
        assert [answer.output_tokens for answer in found] == [2, 2]
    else:
        assert [answer.failure for answer in found] == [Failure.UNREACHABLE] * 2
        assert found[0].detail.startswith("its certificate is not trusted: self-signed certificate")
        assert "SSL_CERT_FILE" in found[0].detail


async def test_https_where_http_is_spoken() -> None:
    server = await asyncio.start_server(serve_plainly, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = Load(concurrency=1, patience=5.0)
        (found,) = await answers(f"https://localhost:{port}/v1", [ask(0)], load)
    assert found.failure is Failure.UNREACHABLE
    assert "is it http and not https?" in found.detail


async def serve_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    writer.close()
