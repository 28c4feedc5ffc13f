"""A stand-in for an engine: a small HTTP server that behaves as a file tells it to, at any moment.

Modes: good, wrong, crash (at start), mute (port open, never healthy), sick (/health 503), deaf (ignores SIGTERM),
family (starts a helper in a session of its own), clash (says that its port is taken).
"""

import functools
import json
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

port, mode_file = int(sys.argv[1]), Path(sys.argv[2])


def mode() -> str:
    return mode_file.read_text().strip()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(503 if mode() in {"mute", "sick"} else 200, {"mode": mode()})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("prompt") == "slow":
            time.sleep(1)
        right = mode() != "wrong"
        text = " 7, 8, 9, 10, 11, 12"[: 4 * int(body.get("max_tokens", 4))] if right else "!!!!"
        choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": None}
        self.answer(200, {"object": "text_completion", "choices": [choice], "port": port})

    def answer(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
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
if mode() == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
say("PHASE serve")
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
