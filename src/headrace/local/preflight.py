"""What must be true of this machine before anything starts: every shortage, in one list.

Each finding names the field of the fleet file that would mend it. `up.py` asks; the lock and the
port are taken in `reserve.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.fleet.document import Path_
from headrace.fleet.units import format_size

Finding = tuple[Path_, str]


@dataclass(frozen=True)
class Need:
    """Memory of one deployment: `each` bytes for a replica, at most `replicas` of them."""

    deployment: str
    each: int
    replicas: int


def memory_findings(needs: Sequence[Need], available: int) -> Iterator[Finding]:
    """Yield where all replicas together need more memory than is available, both in bytes.

    The most that scaling may ask for counts: a replica that scaling starts under load must not be
    the one that the kernel kills.
    """
    total = sum(need.each * need.replicas for need in needs)
    if total <= available:
        return
    for need in needs:
        others = total - need.each * need.replicas
        yield from _shortage(need, max(0, available - others), available)


def _shortage(need: Need, share: int, available: int) -> Iterator[Finding]:
    fit = share // need.each if need.each else need.replicas
    if fit >= need.replicas:
        return
    path: Path_ = ("deployments", need.deployment, "scaling", "max")
    wanted = f"{need.replicas} replicas of {format_size(need.each)}"
    have = f"{format_size(available)} of memory are available"
    cure = f"set max to {fit}, or lower kv_cache" if fit else "lower kv_cache, or free memory"
    yield path, f"{wanted} do not fit, as {have}; {cure}"


def device_findings(deployment: str, wanted: int, devices: Sequence[str]) -> Iterator[Finding]:
    """Yield where a deployment's replicas need more GPUs than this machine has."""
    if wanted > len(devices):
        path: Path_ = ("deployments", deployment, "scaling", "max")
        yield path, f"needs {wanted} GPUs for all its replicas; this machine has {len(devices)}"
