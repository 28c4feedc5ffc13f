"""Kubernetes' times as Unix times in seconds: whole seconds in status, microseconds in logs."""

from __future__ import annotations

from datetime import UTC, datetime


def unix(text: str | None) -> float | None:
    """Return an RFC 3339 time as seconds since 1970, None for none."""
    return datetime.fromisoformat(text).timestamp() if text else None


def iso(seconds: float) -> str:
    """Return a Unix time as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def stamped(line: str) -> tuple[float | None, str]:
    """Return when a line was logged, and the line, from a log that was read with timestamps.

    A container's runtime writes up to nine digits of a second.
    """
    stamp, _, text = line.partition(" ")
    whole, dot, rest = stamp.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        return unix(f"{whole}{dot}{digits[:6]}{rest[len(digits) :]}"), text
    except ValueError:
        return None, line
