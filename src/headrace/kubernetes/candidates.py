"""A deployment's Pods as the gateway is told of them.

Told after each change: which may get work, which only finish what they have, which broke. What
Kubernetes no longer lists is gone; streams that still come from there go on for as long as they do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from headrace.gateway import control
from headrace.kubernetes.candidate import Candidate, Site
from headrace.kubernetes.edition import Served
from headrace.kubernetes.slices import Endpoint


class Candidates:
    """One deployment's Pods; `tell` gets what the gateway should know."""

    def __init__(
        self, served: Served, site: Site, tell: Callable[[control.Replicas], None]
    ) -> None:
        self._served, self._site, self._tell = served, site, tell
        self._pods: dict[str, Candidate] = {}
        self._told: control.Replicas | None = None

    def see(self, found: Mapping[str, Endpoint]) -> None:
        """Take all endpoints that there are now."""
        for name in [name for name in self._pods if not _same(self._pods[name], found.get(name))]:
            self._pods.pop(name).close()
        for name, endpoint in found.items():
            if name not in self._pods:
                self._pods[name] = Candidate(endpoint, self._served, self._site, self._changed)
            self._pods[name].see(endpoint)
        self._changed()

    def adopt(self, served: Served) -> None:
        """Go by another edition of the file; Pods are replaced by somebody else."""
        self._served = served
        for pod in self._pods.values():
            pod.served = served
        self._told = None  # a gateway that has just been configured has forgotten it
        self._changed()

    def suspect(self, pod: str) -> None:
        """Have a Pod asked now: the gateway saw it fail."""
        if pod in self._pods:
            self._pods[pod].suspect()

    def close(self) -> None:
        """Leave all Pods alone: no route leads here any more."""
        for pod in self._pods.values():
            pod.close()
        self._pods.clear()

    def states(self) -> Counter[str]:
        """Return how many Pods there are in each state, in the words of the metrics."""
        return Counter(self._state(pod) for pod in self._pods.values())

    @staticmethod
    def _state(pod: Candidate) -> str:
        if pod.endpoint.terminating:
            return "terminating"
        if pod.wrong:
            return "wrong"
        if not pod.endpoint.ready:
            return "not_ready"
        return pod.told(others=True) or "asked"

    def _changed(self) -> None:
        message = self._message()
        if message != self._told:
            self._told = message
            self._tell(message)

    def _message(self) -> control.Replicas:
        ready = any(pod.told(others=False) == "ready" for pod in self._pods.values())
        return control.Replicas(
            deployment=self._served.name,
            replicas=tuple(
                _replica(pod, state)
                for _, pod in sorted(self._pods.items())
                if (state := pod.told(others=ready))
            ),
            hint="" if ready else _hint(self._served.name, self._pods.values()),
            coming=any(pod.comes for pod in self._pods.values()),
        )


def _same(pod: Candidate, endpoint: Endpoint | None) -> bool:
    """Whether it is still this Pod: another may have come to its name, or it to another address."""
    before = pod.endpoint
    return endpoint is not None and (before.uid, before.base) == (endpoint.uid, endpoint.base)


def _replica(pod: Candidate, state: control.ReplicaState) -> control.Replica:
    deployment = pod.served.deployment
    return control.Replica(
        id=pod.endpoint.pod,
        host=pod.endpoint.address,
        port=pod.endpoint.port,
        room=deployment.max_num_seqs,
        state=state,
        names=(*pod.names, *deployment.adapters),
        adapter_room=pod.served.engine.adapter_room(deployment),
    )


def _hint(name: str, pods: Iterable[Candidate]) -> str:
    """Say why nobody answers, to a client that has waited too long."""
    left = [pod for pod in pods if not pod.endpoint.terminating]
    wrong = [pod.endpoint.pod for pod in left if pod.wrong]
    if wrong:
        return f"{name} answers wrongly: Pod {wrong[0]}"
    if left:
        return f"{name} is starting: Pod {left[0].endpoint.pod} is not ready yet"
    return f"{name} has no Pod that runs yet"
