"""Where plots are painted: matplotlib set up so that the same figures give the same small SVG.

Text stays text, colours become the variables of `theme.py`, and nothing in the SVG depends on the
day, the machine or another plot of the page. matplotlib takes half a second to import, so only who
paints does.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from headrace.pages.theme import GRID, INK, LIGHT, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

WIDTH = 7.6
"""Inches; a page shows them at 96 pixels."""
DPI = 288
"""For measuring: at the 72 of SVG a word's width is that of letters of whole pixels."""
FONT = 9
"""Points."""
WIDE = 6.0
"""From this ratio of the largest to the least value on, an axis is logarithmic."""
DASHED = (0, (4, 2))
"""How bounds are drawn, in points of line and gap."""
NUMBERS = "{x:,.6g}"
"""How values are written on an axis."""
MARGIN = 0.08
"""Share of an axis that is left free at its ends."""

_SETTINGS: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with two dollars is no formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; the page's own font is narrower
    "font.size": FONT,
    "text.hinting": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What neither XML nor HTML may contain."""


def painted(alt: str, height: float, paint: Callable[[Figure], None]) -> str:
    """Return what `paint` draws as an SVG element for a page; `alt` says it to who cannot see it.

    `height` in inches.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - other verbs start half a second faster
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    file, alt = io.StringIO(), plain(alt)
    with rc_context({**_SETTINGS, "svg.hashsalt": alt}), warnings.catch_warnings():
        # The browser has fonts for names that the one for measuring lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        paint(figure)
        settle(figure)
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    return _element(file.getvalue(), alt)


def settle(figure: Figure) -> None:
    """Lay the figure out, for good: saving would measure again, and coarser."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def plain(text: str) -> str:
    """Return `text` without the characters that no document may contain."""
    return _FORBIDDEN.sub("\ufffd", text)


def spread(axes: Axes, axis: Literal["x", "y"], low: float, high: float) -> None:
    """Let an axis show `low` to `high`: from 0, or logarithmic if they are far apart."""
    if low <= 0 or high < WIDE * low:
        axes.set(**{f"{axis}lim": (0, high * (1 + MARGIN) or 1)})
        (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(NUMBERS)
        return
    room = (high / low) ** MARGIN
    low, high = low / room, high * room
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": (low, high)})
    ticks = [value for value in _round_values(low) if value <= high]
    set_ticks = axes.set_xticks if axis == "x" else axes.set_yticks
    set_ticks(ticks, [NUMBERS.format(x=value) for value in ticks])
    set_ticks([], minor=True)


def _round_values(low: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten, from `low` on, over nine decades."""
    first = int(f"{low:e}".partition("e")[2])
    values = (step * 10.0**power for power in range(first, first + 9) for step in (1, 2, 5))
    return [value for value in values if value >= low]


def _element(svg: str, alt: str) -> str:
    """Return the `svg` element alone: named, without ids of groups, colours as variables."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace(" font-family: 'DejaVu Sans', sans-serif;", "")
    body = body.replace(" font-family: 'DejaVu Sans';", "").replace("xlink:href", "href")
    names = {colour: name for name, colour in LIGHT.items()}
    body = re.sub(
        r"(?<=(?:fill|roke): )(#[0-9a-f]{6})",
        lambda found: f"var(--{names[found[1]]},{found[1]})" if found[1] in names else found[1],
        body,
    )
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    head = f'<svg role="img" aria-label="{escape(alt)}" stroke-linejoin="round"'
    return head + body.removeprefix("<svg")
