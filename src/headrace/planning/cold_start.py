"""How late help comes for a deployment: by its own recorded starts, else assumed.

The cold-start ledger has the starts (`headrace.starts`); scaling's threshold and the number of
warm replicas follow from it (`plan.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.capacity.options import ASSUMED_REACTION
from headrace.capacity.replicas import Reaction
from headrace.fleet.load import FleetFile
from headrace.starts.ledger import Ledger, of_fleet
from headrace.starts.start import Runtime
from headrace.starts.subjects import subject_in
from headrace.starts.summary import Subject, Summary, summaries

_WHERE = {"local": "on one machine", "kubernetes": "on Kubernetes"}
_RUNTIMES: tuple[Runtime, ...] = ("local", "kubernetes")


@dataclass(frozen=True)
class ColdStart:
    """`seconds` that a start takes, by `count` starts that were seen (0: it is assumed)."""

    seconds: float
    count: int
    label: str

    @property
    def reaction(self) -> Reaction:
        """Return the whole time until help comes."""
        return Reaction(self.seconds, ASSUMED_REACTION.notice)


UNSEEN = ColdStart(
    ASSUMED_REACTION.cold_start,
    0,
    f"a cold start of {ASSUMED_REACTION.cold_start:g} s is assumed: none of it was recorded yet",
)


def cold_start(file: FleetFile, name: str, known: Ledger | None = None) -> ColdStart:
    """Return what a deployment's start takes, late in one of ten (the 90th percentile).

    Only real starts of the same model by the same version on the same hardware say so; where there
    are such of both runtimes, the newest. `known` None: the ledger of the file's fleet.
    """
    if known is None:
        known = of_fleet(file.fleet.fleet, file.path)
    deployment = file.fleet.deployments[name]
    hardware = file.fleet.hardware[deployment.hardware]
    wanted = {
        _same(subject_in(runtime, name, deployment, hardware)._replace(emulated=False))
        for runtime in _RUNTIMES
    }
    return _measured(one for one in summaries(known.starts) if _same(one.subject) in wanted)


def _same(subject: Subject) -> Subject:
    """Return a subject whatever the digest of its weights: bytes of one name start alike."""
    return subject._replace(weights="")


def _measured(found: Iterable[Summary]) -> ColdStart:
    newest = max((one for one in found if one.lead), key=lambda one: one.last, default=None)
    if newest is None or newest.lead is None:
        return UNSEEN
    lead = newest.lead
    starts = f"{lead.count} start{'s' if lead.count > 1 else ''}"
    label = (
        f"a cold start of {lead.p90:.1f} s is measured: the 90th percentile of {starts}"
        f" {_WHERE[newest.subject.runtime]}, the last on {newest.last[:10]} (`headrace starts`)"
    )
    return ColdStart(round(lead.p90, 1), lead.count, label)
