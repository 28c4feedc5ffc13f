"""What the gateway of a running fleet is told: its edition, and where its state folder is."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.gateway import control, from_fleet
from headrace.gateway.from_fleet import Files
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.state import StateDir


def configuration(
    edition: Edition,
    state: StateDir,
    keys: tuple[control.Key, ...] | None,
    keep: Sequence[Blueprint] = (),
) -> control.Configure:
    """Return the message that makes a gateway serve the edition.

    `keep` are deployments that no route leads to any more, but whose requests are still finished.
    """
    files = Files(requests=state.requests, usage=state.usage)
    return from_fleet.configuration(edition.file.fleet, (*edition.blueprints, *keep), files, keys)
