"""Colours of plots and pages, for light and dark screens, under the names that both use.

`canvas.py` paints with the light ones and leaves a CSS variable in their place; `html.py` says what
the variables are on a dark screen. Series colours keep apart for most colour-blind readers, and
each has a contrast of at least 3 to 1 with its paper.
"""

from __future__ import annotations

from types import MappingProxyType

LIGHT = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1f2328",
        "muted": "#59636e",
        "grid": "#d8dee4",
        "bad": "#b3202c",
        "s1": "#2a6db0",
        "s2": "#c25d12",
        "s3": "#2b8757",
        "s4": "#8657b5",
        "s5": "#b8860b",
        "s6": "#177f8e",
        "s7": "#c2498f",
        "s8": "#7b848d",
    }
)
DARK = MappingProxyType(
    {
        "paper": "#0f1419",
        "ink": "#e6edf3",
        "muted": "#9da7b1",
        "grid": "#313942",
        "bad": "#ff7b82",
        "s1": "#6fb0f2",
        "s2": "#f0985a",
        "s3": "#63c78f",
        "s4": "#bd9ae6",
        "s5": "#e0b94a",
        "s6": "#52c3d1",
        "s7": "#ee8cc2",
        "s8": "#9aa4ad",
    }
)
SERIES = tuple(LIGHT[f"s{number}"] for number in range(1, 9))
PAPER, INK, MUTED, GRID, BAD = (LIGHT[name] for name in ("paper", "ink", "muted", "grid", "bad"))
HALO = MappingProxyType({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.5})
"""What keeps words readable that lie on lines, as matplotlib's `bbox`."""


def variables(colours: MappingProxyType[str, str]) -> str:
    """Return CSS that sets a variable for each colour."""
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())
