"""`headrace usage`: what a fleet's gateways counted, to people and to programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.cli.usage import short
from headrace.fleet.load import load_fleet
from headrace.gateway.control import Key
from headrace.gateway.limiting import subjects
from headrace.ledger.ledger import Grant, Ledger
from headrace.ledger.report import read_usage
from headrace.local.state import state_dir
from headrace.routing.allowance import Excess
from headrace.routing.route import Limits, Route, Rule, Variant

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"
LIMITS = Limits(requests_per_minute=600, tokens_per_minute=10**6, concurrency=3)
NOON = 20_000 * 86400 + 43200.0


def work(path: Path, now: float, *, requests: int = 2) -> Ledger:
    """Let requests of 100 tokens in, with answers of 20; more than three at once there cannot be."""
    ledger = Ledger(str(path), clock=lambda: now)
    route = Route(name="chat", rule=Rule(), variants=(Variant("d", 1),))
    whose = subjects(route, Key(name="search", digest="", tenant="acme", limits=LIMITS))
    found = [ledger.admit(whose, 100, None) for _ in range(requests)]
    assert sum(isinstance(one, Excess) for one in found) == max(0, requests - 3)
    for one in found[1:]:
        if isinstance(one, Grant):
            one.settle(100, 20)
    ledger.tick()
    return ledger


def test_sums_of_a_minute_a_day_and_a_month(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    for ago, requests in ((40 * 86400.0, 3), (86400.0, 3), (100.0, 3), (30.0, 4)):
        work(path, NOON - ago, requests=requests).close()  # 2 of each end
    key, route, tenant = read_usage(path, NOON)
    assert (key.subject, route.subject, tenant.subject) == (
        "key search",
        "route chat",
        "tenant acme",
    )
    for one in (key, route, tenant):
        assert (one.minute.requests, one.minute.prompt, one.minute.completion) == (2, 200, 40)
        assert (one.today.requests, one.today.prompt, one.today.completion) == (4, 400, 80)
        assert (one.month.requests, one.month.prompt, one.month.completion) == (6, 600, 120)
    assert (key.minute.beyond, key.today.beyond) == (1, 1)
    assert key.limits == LIMITS
    assert route.limits is None
    assert key.requests is not None
    assert key.requests.limit == 600
    assert key.requests.remaining == 600  # 10 flow back in a second


def test_what_is_shown(tmp_path: Path) -> None:
    state = state_dir(load_fleet(EXAMPLE).fleet.fleet, EXAMPLE, tmp_path)
    state.path.mkdir()
    nothing = usage(tmp_path)
    assert nothing.returncode == 1
    assert nothing.stderr.startswith(f"headrace: {state.usage}, where the gateways count use, ")
    assert "not there yet" in nothing.stderr
    ledger = work(state.usage, time.time())
    shown = usage(tmp_path)
    assert shown.returncode == 0, shown.stderr
    now, sums = (line for line in shown.stdout.splitlines() if line.startswith("key search"))
    assert " of 600 " in now
    assert " of 1M " in now
    assert now.endswith("1 of 3")
    assert sums.split()[2:] == ["1", "100", "20", "0"] * 2
    assert max(map(len, shown.stdout.splitlines())) <= 80
    found = {one["subject"]: one for one in json.loads(usage(tmp_path, "--json").stdout)}
    assert found["key search"]["running"] == 1
    assert found["tenant acme"]["month"] == {
        "requests": 1, "prompt": 100, "completion": 20, "beyond": 0,
    }  # fmt: skip
    ledger.close()
    state.usage.write_text("no database, and longer than a header of one " * 10)
    broken = usage(tmp_path)
    assert broken.returncode == 1
    assert "cannot be read (file is not a database)" in broken.stderr


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10k"), (12_345, "12.3k"), (999_499, "999k"),
     (999_999, "1M"), (2_000_000, "2M"), (1_234_567_890, "1.23G")],
)  # fmt: skip
def test_a_long_number_is_shortened(number: int, written: str) -> None:
    assert short(number) == written


@pytest.mark.parametrize("mode", ["enforce", "count"])
def test_what_is_only_counted_says_so(tmp_path: Path, mode: str) -> None:
    state = state_dir(load_fleet(EXAMPLE).fleet.fleet, EXAMPLE, tmp_path)
    state.path.mkdir()
    ledger = Ledger(str(state.usage))
    limits = Limits(requests_per_minute=600, enforce=mode == "enforce")
    ledger.admit(subjects(_route(limits), None), 1, None)
    ledger.close()
    shown = usage(tmp_path).stdout
    assert ("route chat * " in shown) == (mode == "count")
    assert ("* its limits are only counted" in shown) == (mode == "count")


def _route(limits: Limits) -> Route:
    return Route(name="chat", rule=Rule(), variants=(Variant("d", 1),), limits=(limits,))


def usage(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", "usage", str(EXAMPLE), *options],
        env={**os.environ, "HEADRACE_STATE": str(root), "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
