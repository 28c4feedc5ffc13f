"""Runs the situations and prints what the diagnosis made of each; status 1 if any is wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

import msgspec

from bench.diagnosis.held_out import HELD_OUT
from bench.diagnosis.situations import SITUATIONS, Situation, look_at
from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.finding import Diagnosis
from headrace.diagnosis.text import lines

NOTHING = "nothing"


def main() -> int:
    """Run them."""
    line = argparse.ArgumentParser(prog="python -m bench.diagnosis", description=__doc__)
    line.add_argument("--only", default="", help="those whose names hold this")
    line.add_argument("--at-once", type=int, default=3, help="how many side by side")
    line.add_argument("--keep", type=Path, help="a folder for what was seen, as JSON")
    line.add_argument("--held-out", action="store_true", help="those no rule was made on")
    given = line.parse_args()
    chosen = [one for one in (HELD_OUT if given.held_out else SITUATIONS) if given.only in one.name]
    results = asyncio.run(_all(chosen, given.at_once, given.keep))
    right = sum(_said(found) == _expected(one) for one, found in results)
    taken = Counter((_expected(one), _said(found)) for one, found in results)
    print("\n| what it was | what was said | how often |\n| --- | --- | --- |")
    for (expected, said), often in sorted(taken.items()):
        print(f"| {expected} | {said} | {often} |")
    print(f"{right} of {len(results)} right")
    return 0 if right == len(results) else 1


async def _all(
    chosen: list[Situation], at_once: int, keep: Path | None
) -> list[tuple[Situation, Diagnosis]]:
    free = asyncio.Semaphore(at_once)

    async def one(situation: Situation) -> tuple[Situation, Diagnosis]:
        async with free:
            seen = await look_at(situation)
        if keep:
            (keep / f"{situation.name}.json").write_bytes(msgspec.json.encode(seen))
        found = diagnose(seen)
        tell(situation, found)
        return situation, found

    return await asyncio.gather(*map(one, chosen))


def tell(situation: Situation, found: Diagnosis) -> bool:
    """Print what was made of a situation, and whether that is right."""
    right = _said(found) == _expected(situation)
    word = "right" if right else "WRONG"
    print(f"{word}  {situation.name}: {_expected(situation)} -> {_said(found)}")
    if strangers := [str(one) for one in _beside(found) if one not in situation.beside]:
        print(f"       and beside it: {', '.join(strangers)}")
    print("\n".join(f"         {text}" for text in lines(found)), flush=True)
    return right


def _beside(found: Diagnosis) -> list[Cause]:
    return [one.cause for one in found.findings[1:]]


def _expected(situation: Situation) -> str:
    return str(situation.expected or NOTHING)


def _said(found: Diagnosis) -> str:
    return str(found.findings[0].cause) if found.findings else NOTHING


if __name__ == "__main__":
    sys.exit(main())
