"""vLLM's own `bench serve`, run by the engine's Python with our prompts.

Its command line needs a distribution named vllm (the CPU build has another name) and its readers of
prompt files need pandas; so its main function is called, and it is given the prompts. Everything
that sends, waits and measures is vLLM's.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.trust.plan import Plan, Times
from headrace.bench.asks import Ask
from headrace.bench.export import export

_CALL = """
import json, sys
from vllm.benchmarks import serve
from vllm.benchmarks.datasets import SampleRequest
from vllm.utils.argparse_utils import FlexibleArgumentParser

lines = [json.loads(line) for line in open(sys.argv.pop(1))]
serve.get_samples = lambda args, tokenizer: [
    SampleRequest(prompt=one["prompt"], prompt_len=1, expected_output_len=one["output_tokens"])
    for one in lines
]
parser = FlexibleArgumentParser()
serve.add_cli_args(parser)
serve.main(parser.parse_args())
"""


def theirs(python: Path, url: str, model: str, plan: Plan, scratch: Path) -> Times:
    """Return what vLLM's client saw; RuntimeError with its last words if it failed."""
    prompts, result = scratch / "prompts.jsonl", scratch / "theirs.json"
    export(
        [
            Ask(number=number, prompt=prompt, max_tokens=plan.tokens)
            for number, prompt in enumerate(plan.prompts)
        ],
        prompts,
    )
    flags = {
        "backend": "openai",
        "base-url": url,
        "endpoint": "/v1/completions",
        "model": model,
        "dataset-name": "custom",
        "num-prompts": plan.requests,
        "request-rate": plan.rate,
        "burstiness": plan.burstiness,
        "seed": plan.seed,
        "temperature": 0,
        "result-dir": scratch,
        "result-filename": result.name,
    }
    words = [f"--{name}={value}" for name, value in flags.items()]
    switches = ("ignore-eos", "save-result", "save-detailed", "disable-tqdm", "skip-tokenizer-init")
    words += [f"--{name}" for name in switches]
    done = subprocess.run(
        [str(python), "-P", "-c", _CALL, str(prompts), *words],
        capture_output=True, text=True, cwd=scratch, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError("\n".join((done.stdout + done.stderr).splitlines()[-15:]))
    return _read(json.loads(result.read_text()), plan)


def _read(found: dict[str, Any], plan: Plan) -> Times:
    failed = [error for error in found["errors"] if error]
    if failed:
        raise RuntimeError(f"{len(failed)} of its requests failed, the first: {failed[0]}")
    gaps = [sum(one) for one in found["itls"]]
    first = min(found["start_times"])
    return Times(
        ttft=found["ttfts"],
        tpot=[gap / (plan.tokens - 1) for gap in gaps],
        sent=[start - first for start in found["start_times"]],
    )
