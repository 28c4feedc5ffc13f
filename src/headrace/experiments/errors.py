"""Why an experiment cannot be done, in words that a person can act on."""

from __future__ import annotations

from headrace.local.errors import LocalError


class ExperimentError(LocalError):
    """The experiment cannot be done; the message says why, with figures, and what to do."""


class StoppedError(ExperimentError):
    """Somebody stopped it before anything was measured."""
