"""A rig whose gateway asks for keys, or has tighter limits than the rig's own."""

from __future__ import annotations

import hashlib
from typing import Any

from harness import Rig

from headrace.gateway import control
from headrace.routing.route import Route, Rule, Variant

SECRET = "hr-distinctive-7Hq2vXw9"  # noqa: S105  of this test only


def key(name: str, secret: str, streams: int | None = None) -> control.Key:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return control.Key(name=name, digest=digest, streams=streams)


def guard(it: Rig, *keys: control.Key, anybody: bool = False, **limits: Any) -> None:
    """Configure the rig's gateway again; replicas stay as they are."""
    it.gateway.configure(
        control.Configure(
            routes=(
                Route(name="r", rule=Rule(models=("m", "m-alias")), variants=(Variant("d", 1),)),
            ),
            deployments=(control.Deployment(name="d", queue_limit=100, max_wait=60.0),),
            limits=control.Limits(**limits),
            keys=None if anybody else keys,
            store=control.Store(path=str(it.records)) if it.records else None,
        )
    )
