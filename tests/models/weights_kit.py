"""A web server that cuts, lies and changes its mind, and small models to serve from it."""

from __future__ import annotations

import base64
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from headrace.models.web import Retry

EAGER = Retry(attempts=3, base=0.0)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Page:
    """What is at one path; `cuts` are bytes after which to hang up, one for each request."""

    body: bytes = b""
    etag: str = ""
    cuts: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Status codes to answer the next requests with, instead of the page."""
    location: str = ""
    ranges: bool = True
    careless: bool = False
    """Ignores If-Range and continues whatever the client has."""
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    """Half of the page is sent, and the rest when this is set."""
    halfway: threading.Event = field(default_factory=threading.Event)


@dataclass
class Site:
    """Pages by path, and the requests that came in."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked == path]

    def put_repo(self, repo: str, files: dict[str, bytes], *, lfs: bool = True) -> None:
        """Lay out a repository as a hub does: a listing, and files by commit."""
        listing = [_listed(name, body, lfs=lfs) for name, body in files.items()]
        body = json.dumps({"id": repo, "sha": COMMIT, "siblings": listing}).encode()
        for revision in ("main", COMMIT):
            self.pages[f"/api/models/{repo}/revision/{revision}"] = Page(body)
        for name, content in files.items():
            self.pages[f"/{repo}/resolve/{COMMIT}/{name}"] = Page(content, f'"{name}"')


def _listed(name: str, body: bytes, *, lfs: bool) -> dict[str, Any]:
    listed: dict[str, Any] = {"rfilename": name, "size": len(body), "blobId": "0" * 40}
    if lfs and name.endswith((".safetensors", ".gguf", ".bin")):
        listed["lfs"] = {"sha256": sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return listed


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.requests.append((path, dict(self.headers.items())))
        page = self.site.pages.get(path)
        if page is None:
            self._plain(404)
        elif page.answers:
            self._plain(page.answers.pop(0), {"Retry-After": "0"})
        elif page.location:
            self._plain(302, {"Location": page.location})
        else:
            self._body(page)

    def _plain(self, code: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self, page: Page) -> None:
        begin, end = self._range(page)
        if begin is not None and begin >= len(page.body):
            self._plain(416, {"Content-Range": f"bytes */{len(page.body)}"})
            return
        self.send_response(200 if begin is None else 206)
        if page.etag:
            self.send_header("ETag", page.etag)
        if begin is not None:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(page.body)}")
        body = page.body[begin or 0 : end]
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(page, body)

    def _range(self, page: Page) -> tuple[int | None, int]:
        asked = self.headers.get("Range", "")
        if not asked or not page.ranges:
            return None, len(page.body)
        if self.headers.get("If-Range", page.etag) != page.etag and not page.careless:
            return None, len(page.body)
        begin, _, last = asked.removeprefix("bytes=").partition("-")
        return int(begin), min(int(last) + 1, len(page.body)) if last else len(page.body)

    def _send(self, page: Page, body: bytes) -> None:
        if page.cuts:
            self.wfile.write(body[: page.cuts.pop(0)])
            self.close_connection = True
            return
        if page.gate is not None:
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            page.halfway.set()
            page.gate.wait(30)
            body = body[half:]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that are killed in the middle are part of the tests."""


@contextmanager
def serve() -> Iterator[Site]:
    site = Site()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        for page in site.pages.values():
            if page.gate is not None:
                page.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def tiny_model(values: int = 1024) -> dict[str, bytes]:
    """Make a folder that passes for a Hugging Face model: configuration, tokenizer, weights."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 16,
        "max_position_embeddings": 32,
        "torch_dtype": "float32",
    }
    weights = np.arange(values, dtype=np.float32)
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": save({"model.norm.weight": weights}),
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def write_wheel(
    index: Path,
    files: dict[str, bytes],
    version: str = "1.0",
    lies: dict[str, bytes] | None = None,
) -> None:
    """Build a wheel; its RECORD believes that the files in `lies` have those contents."""
    info = f"tiny_model-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    told = {**files, **(lies or {})}
    lines = [f"{name},sha256={_digest(body)},{len(body)}" for name, body in told.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(index / f"tiny_model-{version}-py3-none-any.whl", "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(body).digest()).rstrip(b"=").decode()
