"""What a deployment of a fleet file is to the ledger: the same words for all runtimes and plans."""

from __future__ import annotations

from headrace.fleet.types import Deployment, Hardware
from headrace.starts.start import Runtime
from headrace.starts.summary import Subject


def subject_in(
    runtime: Runtime, name: str, deployment: Deployment, hardware: Hardware, weights: str = ""
) -> Subject:
    """Return what starts of a deployment are counted under; `weights` is their digest."""
    return Subject(
        deployment=name,
        runtime=runtime,
        engine=deployment.engine.name,
        version=deployment.engine.version,
        model=deployment.model,
        weights=weights,
        hardware=hardware.product or hardware.kind,
        emulated=hardware.kind == "emulated",
    )
