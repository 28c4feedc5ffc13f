"""Doubts about the answers: how many failed, how many there are, and who counted their tokens.

**Failures.** Latencies are of whole answers, and what fails is seldom what would have been fast:
with a share f of failures the p-th percentile shown is at best the p * (1 - f)-th of all. From 1 %
on the p99 is moved by whole percentiles; from 5 % on the p95 too, and nothing of a tail is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.bench.answers import Answer
from headrace.bench.asked import load_of, shares_prompts
from headrace.bench.doubt import Doubt, Kind, doubtful, note, worthless
from headrace.bench.run import Run
from headrace.bench.spread import enough, spread
from headrace.bench.summary import Summary
from headrace.bench.words import number, percent
from headrace.diagnosis.words import count

SOME, MANY = 0.01, 0.05
"""Shares of failures that make latencies doubtful, and worthless."""
FEW, TOO_FEW = 100, 20
"""Whole answers below which the p90, and the median, are a matter of chance."""
CACHED = 0.05
"""Share of prompt tokens from a cache that changes TTFT by more than runs usually differ."""
TEMPLATE = 64
"""Tokens that all prompts of a chat may share: the beginning that a template gives them."""
_SHORT = 0.95
_MORE_EVENTS = 1.1
_SEVERAL = 1.5


def answer_doubts(run: Run, summary: Summary) -> Iterator[Doubt]:
    """Yield what is to be said of the answers."""
    good = [one for one in run.counted if one.failure is None]
    yield from _nothing(summary)
    yield from _failures(summary)
    if good:
        yield from _few(len(good))
        yield from _counted_by(summary)
        yield from _events(good)
        yield from _short(run, good)
        yield from _cached(run, good)
    yield from _ended_early(run, summary)


def _nothing(summary: Summary) -> Iterator[Doubt]:
    if not summary.counts.asked:
        warmup = summary.counts.warmup
        yield worthless(
            f"No request was counted{f': all {warmup:,} were warm-up' if warmup else ''}.",
            "Send more requests, or make the warm-up shorter.",
        )


def _failures(summary: Summary) -> Iterator[Doubt]:
    counts, share = summary.counts, summary.counts.failed_share
    if share <= SOME:
        return
    kinds = ", ".join(f"{name} {many:,}" for name, many in counts.failures.items())
    said = (
        f"{percent(share)} of the requests failed ({kinds}), and latencies are of the other"
        f" {counts.whole:,}"
    )
    remedy = "See the failures' own words below; measure latencies at a load without them."
    if share > MANY:
        said += ": what would have been slow is not among them."
        yield worthless(said, remedy, Kind.FAILED)
    else:
        said += f": percentiles above the {100 * (1 - share):.0f}th flatter."
        yield doubtful(said, remedy, Kind.FAILED)


def _few(whole: int) -> Iterator[Doubt]:
    if whole < TOO_FEW:
        yield doubtful(
            f"There are {count(whole, 'whole answer')}: even the median is a matter of chance, and"
            " the p99 is the largest value.",
            f"Send {FEW} requests or more.",
            Kind.FEW,
        )
    elif whole < FEW:
        yield doubtful(
            f"There are {whole:,} whole answers: the p99 lies between the two largest, and the p90"
            f" rests on {whole // 10}.",
            f"Send {FEW} requests or more for a p90, 1,000 for a p99.",
            Kind.FEW,
        )
    elif not enough(99, whole):
        yield note(
            f"The p99 of {whole:,} answers rests on the slowest {max(1, whole // 100)}: in another"
            " run it will be another.",
            "Send 1,000 requests or more before comparing a p99.",
        )


def _counted_by(summary: Summary) -> Iterator[Doubt]:
    events = summary.tokens.by_events
    if events:
        yield doubtful(
            f"Of {count(events, 'answer')} the endpoint told no usage, so events were counted as"
            " tokens: where an event carries several, tokens/s are too few and TPOT is too long.",
            "Ask an endpoint that answers stream_options.include_usage.",
        )


def _events(good: list[Answer]) -> Iterator[Doubt]:
    """Compare usage with the events that came: no event with text can be less than a token."""
    telling = [one for one in good if one.tokens_from == "usage" and one.first is not None]
    events = sum(1 + len(one.gaps) for one in telling)
    tokens = sum(one.output_tokens or 0 for one in telling)
    if events > _MORE_EVENTS * tokens:
        yield doubtful(
            f"{events:,} events with text came, but usage tells {tokens:,} tokens: one of the two"
            " is wrong, and with it tokens/s and TPOT.",
            "Count the tokens of one answer with the model's own tokenizer.",
        )
    elif events and tokens > _SEVERAL * events:
        yield note(
            f"An event carried {number(tokens / events)} tokens in the mean, so the ITL is the time"
            " between groups of tokens.",
            "Compare TPOT instead; it is by tokens.",
        )


def _short(run: Run, good: list[Answer]) -> Iterator[Doubt]:
    if not load_of(run.about).exact_length:
        return
    short = [one for one in good if (one.output_tokens or 0) < _SHORT * one.max_tokens]
    if len(short) > SOME * len(good):
        got, asked = (
            spread(getattr(one, name) for one in short).mean
            for name in ("output_tokens", "max_tokens")
        )
        yield doubtful(
            f"{len(short):,} of {len(good):,} answers are shorter than asked ({number(got)} of"
            f" {number(asked)} tokens in the mean): the engine does not honour ignore_eos, so the"
            " load was lighter than it says.",
            "Compare only with runs of the same answers, or ask for lengths the model reaches.",
        )


def _cached(run: Run, good: list[Answer]) -> Iterator[Doubt]:
    """Look for prompts that were sent before; what the chat's template shares is no fault."""
    if shares_prompts(run.about):
        return
    telling = [one for one in good if one.cached_tokens is not None]
    again = sum(max(0, (one.cached_tokens or 0) - TEMPLATE) for one in telling)
    prompts = sum(one.prompt_tokens or 0 for one in telling)
    if again > CACHED * prompts:
        yield doubtful(
            f"{percent(again / prompts)} of the prompt tokens came from the prefix cache, beyond"
            " what chats begin with, though no prompts were to begin alike: they were sent before,"
            " and new ones would wait longer.",
            "Use another seed, or start the engine anew.",
        )


def _ended_early(run: Run, summary: Summary) -> Iterator[Doubt]:
    stopped = summary.counts.stopped
    if not run.about.interrupted and not stopped:
        return
    said = "The run was ended early"
    if stopped:
        said += f", leaving {count(stopped, 'request')} in flight that no figure counts"
    if stopped > MANY * summary.counts.asked:
        yield doubtful(
            f"{said}: the slowest are missing from every latency.", "Let a run come to its end."
        )
    else:
        yield note(f"{said}.", "Let a run come to its end before comparing it.")
