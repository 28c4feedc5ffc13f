"""A gateway's part in a ledger, by itself: `PATH TIMES SETTLE` with limits as JSON on its input.

It waits for that line, asks TIMES times for a request of 10 tokens, prints how often it was let in,
and lives until its input ends. SETTLE: the tokens that each answer has, or `none`: it goes on.
"""

from __future__ import annotations

import sys

import msgspec

from headrace.ledger.ledger import Grant, Ledger
from headrace.routing.allowance import Subject
from headrace.routing.route import Limits


def main() -> None:
    path, times, settle = sys.argv[1:]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    limits = msgspec.json.decode(sys.stdin.readline(), type=Limits)
    # no time passes, so that nothing flows back; patient, however busy the machine is
    ledger = Ledger(path, clock=lambda: 1_800_000_000.0, patience=60.0)
    subjects = (Subject("key a", limits, "key a"),)
    let_in = 0
    for _ in range(int(times)):
        found = ledger.admit(subjects, 10, None)
        if isinstance(found, Grant):
            let_in += 1
            if settle != "none":
                found.settle(10, int(settle))
    assert not ledger.missed
    sys.stdout.write(f"{let_in}\n")
    sys.stdout.flush()
    sys.stdin.read()


main()
