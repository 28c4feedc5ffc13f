"""Faults of what is around a batch: others on the machine, clients that do not take answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    MOSTLY,
    best_pace,
    felt,
    known,
    lost,
    mean,
    median,
    mostly,
    pace_kept,
    served,
    whole,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Machine, Observation, Replica, Request
from headrace.diagnosis.words import count, percent, span
from headrace.traffic.quantile import quantile

_TAKEN = 0.25
"""Share of all cores that others must take: less is what any machine's own housekeeping takes."""
_PLAIN = 0.5
"""The same where nobody saw the engines be faster: their own threads crowd one another, too."""
_IDLE = 0.15
"""Share of all cores that may be idle while somebody still waits for one."""
_STARVED = 0.2
"""Share of its time that an engine must wait for a core: a fifth of its speed."""
_WORKS = 0.2
"""Cores that a replica must use before waiting for one matters to it."""
_STOLEN = 0.1
"""Share of all cores that the hypervisor takes."""
_SLOWER = 1.5
"""Times the best, or the peers', pace: more than a batch that differs by a few requests costs."""
_MORE = 1.25
"""Times its peers' work beyond which a replica may be slower for that."""
_APART = 1.5
"""Times the gateway's mean that a client's clock must show."""


def noisy_neighbour(seen: Observation) -> Finding | None:
    """Others take what the engines need, or one replica is slow for no reason of its own."""
    return _on_the_machine(seen) or _among_peers(seen)


def _on_the_machine(seen: Observation) -> Finding | None:
    machine = seen.machine
    if machine is None or not _crowded(machine):
        return None
    best, pace = best_pace(seen), median(_broken_paces(seen.requests))
    slow = best is not None and pace is not None and pace >= _SLOWER * best
    starved = [one for one in seen.replicas if _starved(one)]
    blind = all(one.starved is None for one in seen.replicas)
    plain = starved and (_taken(machine) >= _PLAIN or _robbed(machine))
    if not plain and not (slow and (starved or blind)):
        return None
    figures = [_takers(machine)]
    figures += [
        f"{one.name} waited for a core in {percent(one.starved or 0)} of its time"
        for one in starved
    ]
    if slow and best and pace:
        figures.append(f"a token takes {span(pace)}, at best {span(best)}")
    slower = 1 - best / pace if slow and best and pace else 0.0
    share = max([slower, *(one.starved or 0.0 for one in starved)])
    weight = min(share, _taken(machine))
    return found(Cause.NOISY_NEIGHBOUR, tuple(figures), weight, strong=slow and bool(starved))


def _broken_paces(requests: Sequence[Request]) -> Iterator[float | None]:
    return (one.tpot for one in whole(requests) if not pace_kept(one))


def _crowded(machine: Machine) -> bool:
    taken = machine.others is not None and machine.others >= _TAKEN * machine.cores
    none_left = machine.idle is not None and machine.idle <= _IDLE * machine.cores
    return _robbed(machine) or (taken and none_left)


def _robbed(machine: Machine) -> bool:
    return machine.stolen is not None and machine.stolen >= _STOLEN * machine.cores


def _taken(machine: Machine) -> float:
    """Return the share of the cores that others took: engines lost no more than that."""
    return ((machine.others or 0.0) + (machine.stolen or 0.0)) / machine.cores


def _starved(one: Replica) -> bool:
    works = one.cpu is not None and one.cpu >= _WORKS
    return works and one.starved is not None and one.starved >= _STARVED


def _takers(machine: Machine) -> str:
    by = sorted((machine.by or {}).items(), key=lambda item: -item[1])[:3]
    names = ", ".join(f"{name} {cores:.2g}" for name, cores in by if cores >= 0.05)  # noqa: PLR2004 - a twentieth of a core is nobody
    stolen = f"; the hypervisor took {machine.stolen:.2g}" if machine.stolen else ""
    who = f" ({names})" if names else ""
    return f"others used {machine.others or 0:.2g} of {machine.cores} cores{who}{stolen}"


def _among_peers(seen: Observation) -> Finding | None:
    """One replica's tokens take longer than its peers', and it has no more to do than they."""
    paces = {
        one.name: pace
        for one in seen.replicas
        if len(mine := _of(seen, one)) >= ENOUGH and (pace := median(_broken_paces(mine)))
    }
    for name, pace in paces.items():
        usual = median(paces.get(peer) for peer in _peers(seen, name))
        if usual and pace >= _SLOWER * usual and not _busier(seen, name):
            figures = (f"{name} takes {span(pace)} for a token, its peers {span(usual)}",
                       f"{name} has no more to do than they")  # fmt: skip
            weight = len(_of(seen, name)) / len(seen.requests) * (1 - usual / pace)
            return found(Cause.NOISY_NEIGHBOUR, figures, weight)
    return _pieces_among_peers(seen)


def _pieces_among_peers(seen: Observation) -> Finding | None:
    """Find the same among answers in one piece, of which nobody sees the first token.

    Lengths differ, so three of four must take longer for each token than is usual elsewhere.
    """
    paces = {one.name: paces for one in seen.replicas if len(paces := _pieces(seen, one)) >= ENOUGH}
    for name, mine in paces.items():
        usual = median(median(paces.get(peer, ())) for peer in _peers(seen, name))
        quick = quantile(mine, 1 - MOSTLY) or 0.0
        if usual and quick >= _SLOWER * usual and not _busier(seen, name):
            took = f"{name} takes {span(median(mine) or 0.0)} for a token, its peers {span(usual)}"
            figures = (f"{took}, in answers in one piece", f"{name} has no more to do than they")
            weight = len(mine) / len(seen.requests) * (1 - usual / quick)
            return found(Cause.NOISY_NEIGHBOUR, figures, weight)
    return None


def _pieces(seen: Observation, replica: Replica) -> list[float]:
    """Return the seconds for each token of answers in one piece that ran on it alone."""
    mine = (one for one in whole(_of(seen, replica)) if one.engine is None and not one.left)
    return [served(one) / one.output_tokens for one in mine if one.output_tokens]


def _of(seen: Observation, replica: Replica | str) -> list[Request]:
    name = replica if isinstance(replica, str) else replica.name
    return [one for one in seen.requests if one.replica == name]


def _busier(seen: Observation, name: str) -> bool:
    """Whether a replica runs more than its peers; also where nobody knows."""
    loads = {one.name: _load(one) for one in seen.replicas}
    mine, peers = loads[name], known(loads[peer] for peer in _peers(seen, name))
    return mine is None or not peers or mine > _MORE * max(1.0, *peers)


def _peers(seen: Observation, name: str) -> list[str]:
    """Return the other replicas of its deployment: those of another may have another model."""
    of = {one.name: one.deployment for one in seen.replicas}
    return [peer for peer, deployment in of.items() if deployment == of[name] and peer != name]


def _load(replica: Replica) -> float | None:
    return mean(
        look.assigned if look.assigned is not None else look.running for look in replica.looks
    )


def slow_client(seen: Observation) -> Finding | None:
    """Answers are there, and the client does not take them."""
    stalled = [one for one in seen.requests if one.stalled and felt(one.stalled, one)]
    if len(stalled) > 1 and len(stalled) >= MANY * len(seen.requests):
        waits = [one.stalled or 0.0 for one in stalled]
        usual = span(median(waits) or 0.0)
        figure = f"{count(len(stalled), 'client')} left answers untaken for {usual} each"
        return found(Cause.SLOW_CLIENT, (figure,), lost(waits, seen), strong=True)
    return _stalling(seen) or _by_two_clocks(seen)


def _stalling(seen: Observation) -> Finding | None:
    """Clients stall at every look, many of those that are served."""
    looks = [look for look in seen.waiting if look.stalled is not None]
    many = [bool(one.stalled and one.stalled >= MANY * (one.running or 1)) for one in looks]
    if not mostly(many):
        return None
    stalled = mean(one.stalled for one in looks) or 0.0
    share = stalled / max(1.0, sum(one.running or 0 for one in looks) / len(looks))
    figures = (f"{stalled:.3g} clients on average do not take what is there for them",)
    return found(Cause.SLOW_CLIENT, figures, share)


def _by_two_clocks(seen: Observation) -> Finding | None:
    if seen.client_mean is None or not seen.gateway_mean:
        return None
    if seen.client_mean < _APART * seen.gateway_mean:
        return None
    busy = f"; the load generator used {percent(seen.sender)} of a core" if seen.sender else ""
    client, gateway = span(seen.client_mean), span(seen.gateway_mean)
    figure = f"an answer took {client} by the client's clock and {gateway} by the gateway's{busy}"
    return found(Cause.SLOW_CLIENT, (figure,), 1 - seen.gateway_mean / seen.client_mean)
