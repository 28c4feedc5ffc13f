"""What can go wrong before there is traffic to plan for."""

from __future__ import annotations


class TrafficError(Exception):
    """A trace cannot be used, or figures describe no traffic; the message says where and why."""
