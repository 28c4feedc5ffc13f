"""The starts of a fleet in a cluster, as far as somebody with a user's rights can learn of them.

Pods that are ready tell their own, in all phases; the scalers' logs tell those of Pods that have
gone since (`recorded.py`).
"""

from __future__ import annotations

from headrace.fleet.types import Fleet
from headrace.kubernetes import pods
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.gather import gather, noting
from headrace.kubernetes.names import SCALER
from headrace.kubernetes.picture import LOGS
from headrace.kubernetes.recorded import said_in, starts_in
from headrace.starts.start import Start

_BYTES = 4 * 2**20
"""Of each scaler's log, from its end back by the API server's own bound on lines."""
_LINES = "20000"


async def read_starts(
    cluster: Cluster, namespace: str, fleet: Fleet
) -> tuple[list[Start], list[str]]:
    """Return the starts, each once, and sentences about what could not be read."""
    picture = await gather(cluster, namespace, fleet)
    said: list[Start] = []
    for pod in picture.pods(SCALER):
        with noting(picture, LOGS):
            asked = {"tailLines": _LINES, "limitBytes": str(_BYTES)}
            said += said_in(await cluster.log(namespace, pods.name_of(pod), asked))
    found = {one.id: one for one in (*said, *starts_in(picture, fleet))}
    return list(found.values()), list(picture.blind.values())
