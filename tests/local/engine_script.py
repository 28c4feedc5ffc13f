"""A stand-in for an engine: a small HTTP server that behaves as a file tells it to, at any moment.

Modes: good, wrong, silent (answers with nothing), crash (at start), mute (port open, never healthy), sick (/health 503), deaf (ignores SIGTERM),
family (starts a helper in a session of its own), clash (says that its port is taken), patient (SIGTERM: finishes what
it has), wedged (healthy, and answers nothing), busy (as wedged, but its counters move), sluggish (0.3 s more for all but
the known prompt), failing (500 to all but the known prompt), untidy (leaves a temporary file; the file left beside the mode has its path).

The prompt "slow" takes a second, "long" takes until there is a file named go beside the mode. The files known and looks
beside it have a byte for each known prompt that was answered, and for each time that the counters were read.
"""

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

port, mode_file = int(sys.argv[1]), Path(sys.argv[2])


go = mode_file.with_name("go")
looks = itertools.count(1)
in_flight: list[object] = []


def mode() -> str:
    return mode_file.read_text().strip()


def note(what: str) -> None:
    """Make a file beside the mode one byte longer."""
    with mode_file.with_name(what).open("a") as file:
        file.write(".")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/metrics":
            note("looks")
            seen = next(looks) if mode() == "busy" else 0
            self.reply(
                200, f"# TYPE script_tokens_total counter\nscript_tokens_total {seen}\n".encode()
            )
            return
        self.answer(503 if mode() in {"mute", "sick"} else 200, {"mode": mode()})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        in_flight.append(body)
        try:
            if body.get("stream"):
                self.stream()
            else:
                self.work(body)
        finally:
            in_flight.remove(body)

    def work(self, body: dict[str, object]) -> None:
        if body.get("prompt") == "slow":
            time.sleep(1)
        while mode() in {"wedged", "busy"} or (body.get("prompt") == "long" and not go.exists()):
            time.sleep(0.02)
        known = str(body.get("prompt")).startswith("1, 2, 3")
        if known:
            note("known")
        if mode() == "failing" and not known:
            self.answer(500, {"error": {"message": "broken on purpose"}})
            return
        if mode() == "sluggish" and not known:
            time.sleep(0.3)
        right = " 7, 8, 9, 10, 11, 12"[: 4 * int(str(body.get("max_tokens", 4)))]
        text = {"wrong": "!!!!", "silent": ""}.get(mode(), right)
        choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": None}
        self.answer(200, {"object": "text_completion", "choices": [choice], "port": port})

    def stream(self) -> None:
        """Send two tokens, and the end of the stream when there is a file named `release`."""
        if mode() == "failing":
            self.answer(500, {"error": {"message": "broken on purpose"}})
            return
        if mode() == "sluggish":
            time.sleep(0.3)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for text, finish in ((" 7", None), (",", None), (" 8", "length")):
            while finish and not mode_file.with_name("release").exists():
                time.sleep(0.05)
            choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
            event = {"id": "c", "object": "text_completion", "model": "m", "choices": [choice]}
            self.chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self, status: int, content: object) -> None:
        self.reply(status, json.dumps(content).encode())

    def reply(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


say = functools.partial(print, flush=True)
say("PHASE load")
if mode() == "crash":
    say('Traceback (most recent call last):\n  File "x"\nValueError: no such weights')
    sys.exit(3)
if mode() == "clash":
    say("OSError: [Errno 98] Address already in use")
    sys.exit(1)
if mode() == "family":
    helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    mode_file.with_name("helper").write_text(str(helper.pid))

if mode() == "untidy":
    mode_file.with_name("left").write_text(tempfile.mkstemp()[1])


def finish() -> None:
    while in_flight:
        time.sleep(0.02)
    os._exit(0)


if mode() == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif mode() == "patient":
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=finish).start())
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
say("PHASE serve")
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
