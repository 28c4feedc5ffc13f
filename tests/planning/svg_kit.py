"""Reading plots back from their SVG."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(SVG + tag))  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in elements(svg, "text")]


@dataclass(frozen=True)
class Box:
    left: float
    right: float
    top: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left


def boxes(svg: str, colour: str) -> list[Box]:
    """Extents of the closed paths that are filled with a colour."""
    return [
        _box(path.get("d", ""))
        for path in elements(svg, "path")
        if f"fill: var(--{colour}," in path.get("style", "") and "z" in path.get("d", "")
    ]


def _box(path: str) -> Box:
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path)]
    return Box(
        min(x for x, _ in points),
        max(x for x, _ in points),
        min(y for _, y in points),
        max(y for _, y in points),
    )


def markers(svg: str, colour: str) -> list[tuple[float, float]]:
    """Where points of a series are, legend left out."""
    return [
        (float(use.get("x", "nan")), float(use.get("y", "nan")))
        for group in elements(svg, "g")
        if group.get("clip-path")
        for use in group.findall(SVG + "use")
        if f"fill: var(--{colour}," in use.get("style", "")
        and "opacity" not in use.get("style", "")
    ]
