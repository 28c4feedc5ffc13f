"""Who is compared: how each proxy is started in front of two back ends, in its best case.

Peers keep nothing that Headrace keeps: nginx writes no access log, vllm-router has retries and
circuit breaker off. Headrace runs with all it has: ten routes, keys, limits of the key and of the
route in the file that gateways share, prefix affinity, records in the store, accounting, metrics.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import router_install
from bench.messages import API_KEY
from bench.processes import free_port
from headrace.gateway.control import Configure, Deployment, Key, Replica, Replicas, Store
from headrace.routing.route import Limits, Range, Route, Rule, Variant

_LIMITS = Limits(requests_per_minute=10**9, tokens_per_minute=10**9, concurrency=10**6)
"""All that can be limited, and never reached."""

Command = Callable[[int, Sequence[int], Path], list[str]]
"""From the port to listen on, the back ends' ports and a folder for files to the command line."""


NAMES = ("direct", "headrace", "nginx", "vllm-router")


@dataclass(frozen=True)
class Contender:
    """A proxy (`command` none: no proxy at all); `absent`: why it cannot take part."""

    name: str
    command: Command | None = None
    absent: str = ""


def contenders(folder: Path, say: Callable[[str], None], names: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names; vllm-router is installed under `folder` if need be."""
    makers: dict[str, Callable[[], Contender]] = {
        "direct": lambda: Contender("direct"),
        "headrace": _find_headrace,
        "nginx": _find_nginx,
        "vllm-router": lambda: _find_router(folder, say),
    }
    return [makers[name]() for name in names]


def _find_headrace() -> Contender:
    there = importlib.util.find_spec("headrace.gateway.__main__")
    return Contender("headrace", _headrace, "" if there else "this checkout has no gateway")


def _find_nginx() -> Contender:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    if program := shutil.which("nginx", path=path):
        return Contender("nginx", _nginx(program))
    return Contender("nginx", absent="not found (apt-get install nginx)")


def _find_router(folder: Path, say: Callable[[str], None]) -> Contender:
    try:
        return Contender("vllm-router", _router(router_install.install(folder, say)))
    except router_install.InstallError as error:
        return Contender("vllm-router", absent=str(error))


def _headrace(listen: int, backends: Sequence[int], folder: Path) -> list[str]:
    messages = [
        Configure(
            routes=tuple(_routes()),
            keys=(Key(name="bench", digest=_digest(API_KEY), limits=_LIMITS),),
            deployments=(Deployment(name="bench", queue_limit=10_000, max_wait=60.0),),
            store=Store(path=str(folder / "records.db")),
            usage=str(folder / "usage.db"),
        ),
        Replicas(
            deployment="bench",
            replicas=tuple(
                Replica(id=f"bench-{n}", host="127.0.0.1", port=port, room=10_000)
                for n, port in enumerate(backends)
            ),
        ),
    ]
    static = folder / "static.json"
    static.write_bytes(msgspec.json.encode(messages))
    return [
        *(sys.executable, "-m", "headrace.gateway"),
        *("--listen", f"127.0.0.1:{listen}", "--static", str(static)),
    ]


def _routes() -> Iterator[Route]:
    """Yield ten routes: nine that look at a request and do not take it, and a limited one."""
    variants = (Variant("bench", 1),)
    rules = [
        *(Rule(models=("bench",), headers=(("x-team", (f"team-{n}",)),)) for n in range(3)),
        *(Rule(models=("bench",), prompt=Range(least=10**n)) for n in range(8, 11)),
        *(Rule(models=("bench",), output=Range(most=n)) for n in range(3)),
    ]
    for number, rule in enumerate(rules):
        yield Route(name=f"other-{number}", rule=rule, variants=variants)
    yield Route(name="b", rule=Rule(models=("bench",)), variants=variants, limits=(_LIMITS,))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


_NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  keepalive_requests 1000000;
  upstream engines {{
    {servers}
    keepalive 2048;
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{listen} backlog=2048;
    location / {{
      proxy_pass http://engines;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def _nginx(program: str) -> Command:
    def command(listen: int, backends: Sequence[int], folder: Path) -> list[str]:
        config = folder / "nginx.conf"
        servers = " ".join(f"server 127.0.0.1:{port};" for port in backends)
        config.write_text(_NGINX.format(folder=folder, listen=listen, servers=servers))
        return [program, "-p", str(folder), "-e", "stderr", "-c", str(config)]

    return command


def _router(program: Path) -> Command:
    def command(listen: int, backends: Sequence[int], folder: Path) -> list[str]:
        del folder
        return [
            str(program),
            *("--host", "127.0.0.1", "--port", str(listen)),
            *("--worker-urls", *(f"http://127.0.0.1:{port}" for port in backends)),
            *("--policy", "round_robin", "--disable-retries", "--disable-circuit-breaker"),
            *("--health-check-interval-secs", "3600", "--worker-startup-check-interval", "1"),
            *("--prometheus-port", str(free_port()), "--log-level", "error"),
        ]

    return command
