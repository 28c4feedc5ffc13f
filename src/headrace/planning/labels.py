"""Labels beside points: each where it covers no other label and no point, else left out.

Widths are measured by the font that the plot is painted with, so whoever labels has set the limits
of the axes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

from headrace.pages.canvas import settle
from headrace.pages.theme import HALO, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

NEAR = 7
RINGS = (NEAR, 17, 28)
"""Points between a point and its label; from all but near ones a line leads back."""
GAP = 2
"""Points between labels, so that two numbers do not read as one."""
_PLACES = (
    (0.6, 0.6), (0.6, -0.6), (-0.6, 0.6), (-0.6, -0.6), (0, 1), (0, -1), (1, 0), (-1, 0),
)  # fmt: skip
"""Beside error bars first, to the right, as one reads."""


@dataclass(frozen=True)
class Label:
    """What to write at a point of the plot; `short` where there is no room for `words`."""

    x: float
    y: float
    words: str
    short: str = ""


def place(axes: Axes, labels: Sequence[Label], size: float) -> int:
    """Write the labels, first come first served, and return how many found no room.

    `size` is that of the points' markers, in points.
    """
    settle(axes.figure)  # type: ignore[arg-type]  # there are no figures inside
    taken = [_marker(axes, label, size) for label in labels]
    lost = 0
    for label in labels:
        candidates = (label.words, label.short) if label.short else (label.words,)
        lost += not any(_written(axes, label, words, taken) for words in candidates)
    return lost


def _marker(axes: Axes, label: Label, size: float) -> Bbox:
    """Return the pixels of a point."""
    from matplotlib.transforms import Bbox  # noqa: PLC0415 - as in canvas.py

    x, y = axes.transData.transform((label.x, label.y))
    half = size / 2 * axes.figure.dpi / 72
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _written(axes: Axes, label: Label, words: str, taken: list[Bbox]) -> bool:
    """Write `words` at the first place that is free, note it as taken, and say whether one was."""
    for away, (right, up) in product(RINGS, _PLACES):
        offset = right * away, up * away
        text = _text(axes, label, words, offset)
        box = text.get_window_extent()
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.figure.bbox.x1
        level = axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
        if inside and level and not any(box.overlaps(other) for other in taken):
            taken.append(box.padded(GAP * axes.figure.dpi / 72))
            if away > NEAR:
                _line(axes, label, offset)
            return True
        text.remove()
    return False


def _text(axes: Axes, label: Label, words: str, offset: tuple[float, float]) -> Annotation:
    sides: tuple[Literal["right", "center", "left"], ...] = ("center", "left", "right")
    levels: tuple[Literal["top", "center", "bottom"], ...] = ("center", "bottom", "top")
    right, up = ((one > 0) - (one < 0) for one in offset)
    return axes.annotate(
        words,
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha=sides[right],
        va=levels[up],
        fontsize="small",
        bbox=HALO,
    )


def _line(axes: Axes, label: Label, offset: tuple[float, float]) -> None:
    """Lead from a label back to its point."""
    line = {"arrowstyle": "-", "color": INK, "lw": 0.5, "shrinkA": 0, "shrinkB": 2}
    axes.annotate(
        "",
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        arrowprops=line,
        zorder=2.5,  # below words
    )
