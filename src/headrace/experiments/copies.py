"""Copies of a deployment beside the user's fleet: a fleet of its own, which ends with us.

A copy is `headrace up` on a changed file, so it starts, serves and stops as the user's fleet does.
It runs under a keeper (`local/kept.py`): whatever ends us ends the copy, its gateway and its
engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.experiments.endpoint import Endpoint
from headrace.local.state import StateDir
from headrace.view.status import ReplicaStatus


@dataclass(frozen=True)
class Copy:
    """A copy that is ready.

    `endpoint` is its gateway's address, `direct` its first replica's own; `folder` has its file
    and its state. `kv_tokens` and `concurrency` ("Maximum concurrency for N tokens") are from the
    engine's log, None where it does not tell. `started` is the seconds of its start.
    """

    endpoint: Endpoint
    direct: Endpoint
    state: StateDir
    folder: Path
    replicas: tuple[ReplicaStatus, ...]
    kv_tokens: int | None
    concurrency: float | None
    started: float

    @property
    def log(self) -> Path:
        """The first replica's log."""
        return Path(self.replicas[0].log)

    def memory(self) -> int:
        """Return the bytes that the replicas' processes have in memory now (PSS where readable)."""
        raise NotImplementedError
