"""Why a file cannot be planned: sentences that name the field and what would help."""

from __future__ import annotations


class PlanError(Exception):
    """A plan cannot be made; the message says what is missing, or what cannot be."""
