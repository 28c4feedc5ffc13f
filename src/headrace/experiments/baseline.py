"""What one replica does as it is: alone, then with more and more clients until they only wait.

`baseline_load.py` measures; here is what follows, from figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from headrace.capacity.cost import cost
from headrace.diagnosis.words import count
from headrace.evidence.result import Figure, Support
from headrace.experiments.baseline_shown import off, plots, table
from headrace.experiments.baseline_steps import Knee, Point, Step, knee_of, steps_of
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion
from headrace.experiments.measured import figures
from headrace.experiments.repeats import contrast
from headrace.experiments.words import changed, number, percent, seconds


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say where the knee is, what that costs, which settings follow, and how good the plan was."""
    steps = steps_of(points)
    knee = knee_of(steps, case)
    lone = next((step for step in steps if step.clients == 1), None)
    return Conclusion(
        words=tuple(_words(steps, knee, lone, case)),
        tables=(table(steps, knee, case),),
        plots=plots(steps, knee, case),
        figures=_figures(knee, lone, case),
        variants=_variants(steps, knee),
        doubts=tuple(_doubts(points)),
        supports=_supports(steps, knee, case),
        next=_next(knee),
    )


def raised(slots: int) -> str:
    """Name the copy that takes more requests at once than the file says."""
    return f"max_num_seqs {slots}"


def _variants(steps: Sequence[Step], knee: Knee | None) -> dict[str, dict[str, Figure]]:
    """Return the knee's figures, and those of the most clients of the deployment as it is."""
    own = [step for step in steps if step.raised is None]
    made = {AS_IT_IS.label: figures(own[-1].runs)} if own else {}
    if knee is not None:
        slots = knee.step.raised
        made[AS_IT_IS.label if slots is None else raised(slots)] = figures(knee.step.runs)
    return made


def _words(
    steps: Sequence[Step], knee: Knee | None, lone: Step | None, case: Case
) -> Iterator[str]:
    if knee is None:
        yield _broken(steps[0], case)
        return
    yield _answer(steps, knee, case)
    if lone is not None:
        yield _alone(lone)
    yield from _settings(steps, knee, case)
    yield _money(knee, case)
    yield from _plan(steps, knee)


def _broken(step: Step, case: Case) -> str:
    return (
        f"the promises ({promises(case)}) are kept at no number of clients: already with"
        f" {step.clients} TTFT p95 is {seconds(step.mean('ttft_p95'))} and TPOT p95"
        f" {seconds(step.mean('tpot_p95'))}, {percent(step.mean('failed_share'))} failed"
    )


def _answer(steps: Sequence[Step], knee: Knee, case: Case) -> str:
    step = knee.step
    said = (
        f"{step.clients} requests at once are the most that pay: {number(step.tokens)} output"
        f" tokens/s, {number(step.requests)} requests/s"
    )
    if knee.bound == "open":
        more = f"measure further with --set most={2 * step.clients}"
        further = "let it run" if case.interrupted else more
        return (
            f"no knee up to {count(step.clients, 'client')}: throughput still rises, to"
            f" {number(step.tokens)} output tokens/s; {further}"
        )
    beyond = next(one for one in steps if one.clients > step.clients)
    if knee.bound == "promise":
        return f"{said}; {beyond.clients} break the promises ({promises(case)})"
    return f"{said}; with {beyond.clients} it is {changed(contrast(step.values, beyond.values))}"


def promises(case: Case) -> str:
    """Write what is promised."""
    given = (("TTFT p95", case.ttft), ("TPOT p95", case.tpot))
    return ", ".join(f"{name} {seconds(value)}" for name, value in given if value) or "none"


def _alone(lone: Step) -> str:
    asked = sum(run.whole for run in lone.runs)
    return (
        f"one request alone has TTFT p50 {seconds(lone.mean('ttft_p50'))} and TPOT p50"
        f" {seconds(lone.mean('tpot_p50'))} ({asked} requests), {number(lone.tokens)} tokens/s"
    )


def _settings(steps: Sequence[Step], knee: Knee, case: Case) -> Iterator[str]:
    if knee.bound == "open":
        return
    limit = case.max_num_seqs
    have = "" if limit is None else f" (it is {limit}{_verdict(steps, knee, case)})"
    yield f"max_num_seqs {knee.step.clients} is enough{have}"
    waiting = waiting_target(knee.step, case)
    if waiting is not None:
        yield (
            f"a trigger on waiting requests may have target {waiting}: so many are worked off in"
            f" what the TTFT promise leaves beside {seconds(knee.step.mean('ttft_p95'))}"
        )


def _verdict(steps: Sequence[Step], knee: Knee, case: Case) -> str:
    if case.max_num_seqs == knee.step.clients:
        return ""
    same = next((step for step in steps if step.clients == case.max_num_seqs), None)
    if same is None:
        return ""
    return f", where {number(same.tokens)} tokens/s were measured"


def waiting_target(step: Step, case: Case) -> int | None:
    """Return how many waiting requests one replica works off within the promise; None: no promise.

    Throughput times what TTFT p95 leaves of the promise, at least 1.
    """
    ttft = step.mean("ttft_p95")
    if case.ttft is None or ttft is None:
        return None
    return max(1, math.floor(step.requests * (case.ttft - ttft)))


def _money(knee: Knee, case: Case) -> str:
    step = knee.step
    if not case.hourly:
        return (
            f"1,000 such requests take {seconds(1000 / step.requests)} of a replica"
            " (hourly_price of the hardware is open, so there is no cost)"
        )
    paid = cost(
        case.hourly,
        step.requests,
        step.mean("prompt_mean") or 0.0,
        step.mean("output_mean") or 0.0,
    )
    return (
        f"at {case.hourly:g} an hour 1,000 such requests cost {number(paid.thousand_requests)} and"
        f" a million tokens {number(paid.million_tokens)}, when it is always so busy"
    )


def _plan(steps: Sequence[Step], knee: Knee) -> Iterator[str]:
    known = [(step, found) for step in steps if (found := off(step)) is not None]
    if not known:
        return
    at_knee = {step.clients: found for step, found in known}.get(knee.step.clients)
    worst, error = max(known, key=lambda one: abs(one[1]))
    label = worst.predicted.label if worst.predicted else ""
    clients = count(knee.step.clients, "client")
    place = f"with {clients}" if knee.bound == "open" else "at the knee"
    here = "" if at_knee is None else f"{percent(at_knee, signed=True)} {place}, "
    yield (
        f"the plan's throughput ({label}) is off by {here}at worst {percent(error, signed=True)}"
        f" with {count(worst.clients, 'client')}"
    )


def _figures(knee: Knee | None, lone: Step | None, case: Case) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    if lone is not None:
        for name in ("ttft_p50", "tpot_p50"):
            value = lone.mean(name)
            if value is not None:
                made[f"{name.replace('_', ' ')} alone"] = Figure(
                    value=value, unit="s", n=len(lone.runs)
                )
    if knee is not None and knee.bound != "open":
        made["knee"] = Figure(value=knee.step.clients, unit="requests", n=len(knee.step.runs))
        waiting = waiting_target(knee.step, case)
        if waiting is not None:
            made["waiting target"] = Figure(value=waiting, unit="requests")
    return made


def _doubts(points: Sequence[Point]) -> Iterator[str]:
    yield from doubts_of((f"{one.clients} clients ({one.repeat + 1})", one.run) for one in points)
    if max(one.repeat for one in points) == 0:
        yield "each step was measured once, so nothing is known of the noise"


def _supports(steps: Sequence[Step], knee: Knee | None, case: Case) -> tuple[Support, ...]:
    """Return max_num_seqs: the file's, where that number of clients is as good as the best."""
    if knee is None or knee.bound == "open":
        return ()
    good = [step for step in steps if step.keeps(case) and step.clients >= knee.step.clients]
    own = next((step for step in good if step.clients == case.max_num_seqs), knee.step)
    says = (
        f"{number(own.tokens)} tokens/s with {own.clients} at once, at most"
        f" {number(knee.best.tokens)} with any number that keeps the promises"
    )
    return (Support(setting="max_num_seqs", value=own.clients, says=says),)


def _next(knee: Knee | None) -> str:
    if knee is None:
        return (
            "headrace experiment shapes: which part of the time is it, prompts or answers? Or plan"
            " faster hardware with headrace choose"
        )
    return (
        "headrace experiment shapes: the same cores with short and long requests; headrace"
        " calibrate makes the plan rest on this machine"
    )
