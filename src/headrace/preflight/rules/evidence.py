"""Rules about what a fleet's settings rest on; `fleet_evidence.py` looks at the fleet's results.

A result is compared with the file, not with this machine: that it was taken on another CPU says
`headrace explain`.
"""

from __future__ import annotations

from headrace.preflight.finding import Fact, Rule

_HABIT = Fact(
    "A default copied from a manual is a guess; each tuning decision should be tied to a fact that"
    " was observed on the same model, engine and hardware.",
    "Headrace, docs/how-to/measure.md",
)
UNMEASURED = Rule(
    id="HR801",
    severity="note",
    title="settings that rest on nothing",
    what="It works; whether another value would serve more, or sooner, nobody knows.",
    fix="run the experiment, or say `auto` and let the plan choose",
    fact=_HABIT,
)
STALE = Rule(
    id="HR802",
    severity="warning",
    title="settings that rest on a stale measurement",
    what="What was measured was something else than what this file starts.",
    fix="run the experiment again; keep the old result, for `headrace evidence compare`",
    fact=Fact(
        "Between releases of an engine defaults and kernels change: of vLLM the share of memory"
        " (0.9 to 0.92 between 0.19.1 and 0.20.2) and asynchronous scheduling (on since 0.14).",
        "read in the wheels of vLLM 0.13 to 0.32",
    ),
)
UNCOMPARED = Rule(
    id="HR803",
    severity="warning",
    title="quantized weights without a comparison of answers",
    what="Domain tasks, structured output and code may come out worse, and no metric shows it.",
    fix="run `headrace experiment quantization`, and read the prompts whose answers differ",
    fact=Fact(
        "Quantized weights are another model: what a plan computes of them are bytes and speed,"
        " never what the answers are worth.",
        "Headrace, capacity/schemes.py",
    ),
)
SHORT = Rule(
    id="HR804",
    severity="warning",
    title="time limit below the measured cold start",
    what="Starts are given up before they end, or requests that wake the model are refused.",
    fix="set it above the slowest start that was seen, with room",
    fact=Fact(
        "What a start takes varies with the page cache and with what else starts: of one model"
        " on two cores 24 to 114 s.",
        "measured with vLLM 0.32 on a CPU",
    ),
)
UNTRIED = Rule(
    id="HR805",
    severity="warning",
    title="speculative decoding that was not measured",
    what="Where few guesses are accepted, each of them costs time: throughput falls.",
    fix="run `headrace experiment speculative` with your prompts",
    fact=Fact(
        "n-gram guesses on short answers that repeat nothing: 317 tokens/s, fewer than without.",
        "measured with vLLM 0.32 on a CPU",
    ),
)
DAMAGED = Rule(
    id="HR806",
    severity="warning",
    title="result that cannot be read",
    what="It counts as not measured.",
    fix="take the file from version control, or delete it; two branches never write the same one",
    fact=Fact("A result's name holds a digest of its content, which it must match.", "Headrace"),
)
AGAINST = Rule(
    id="HR807",
    severity="warning",
    title="setting that a measurement speaks against",
    what="The same was measured with another value, and that one was better.",
    fix="take the better value; `headrace evidence show` has the figures",
    fact=_HABIT,
)
EVIDENCE_RULES = (UNMEASURED, STALE, UNCOMPARED, SHORT, UNTRIED, DAMAGED, AGAINST)
