"""Figures as this room writes them into its sentences: times with 3 digits, bytes in decimal GB."""

from __future__ import annotations


def gigabytes(size: float) -> str:
    """Write bytes as data sheets and model cards do: `140.0 GB`."""
    return f"{size / 1e9:,.1f} GB"


def span(seconds: float) -> str:
    """Write a time with 3 digits: `24.1 ms`, `1.64 s`."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
