"""A page that explains itself: sections with their plots and figures, in one file, without scripts.

It is read from a disk, printed, mailed, put beside the fleet file in review. So nothing in it is
fetched, it is as readable on a dark screen as on paper, and below each plot are its figures.
Whatever comes from a file is escaped here; only an SVG from `canvas.py` goes in as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from headrace.pages.canvas import plain
from headrace.pages.theme import DARK, LIGHT, variables

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">\
"""
"""Should a string ever slip through unescaped, it still can load and run nothing."""

_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Table:
    """Rows of figures under a head; columns `words` are written from the left.

    The first cell of a row names it.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, then what there is of paragraphs, a plot as SVG and tables.

    `level` 3 is a part of the last section of level 2.
    """

    heading: str
    paragraphs: tuple[str, ...] = ()
    svg: str = ""
    tables: tuple[Table, ...] = ()
    level: int = 2


def page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """Return a whole HTML document; `lead` says under the title what it is about."""
    style = resources.files("headrace.pages").joinpath("page.css").read_text("utf-8")
    colours = (
        f":root{{color-scheme:light dark;{variables(LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}"
    )
    parts = [
        _HEAD,
        f"<title>{escape(plain(title))}</title>",
        f"<style>\n{colours}\n{style}</style>\n</head>\n<body>\n<main>",
        f"<h1>{_text(title)}</h1>",
        *([f'<p class="lead">{_text(lead)}</p>'] if lead else []),
        *(_section(section) for section in sections),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _section(section: Section) -> str:
    level = section.level
    return "\n".join(
        (
            f'<section class="level{level}">',
            f"<h{level}>{_text(section.heading)}</h{level}>",
            *(f"<p>{_text(paragraph)}</p>" for paragraph in section.paragraphs),
            *([f"<figure>{section.svg}</figure>"] if section.svg else []),
            *(_table(table) for table in section.tables),
            "</section>",
        )
    )


def _table(table: Table) -> str:
    """Return a table that scrolls by itself on a narrow screen, by keyboard too."""
    name = table.caption or ", ".join(table.head)
    caption = f"<caption>{_text(table.caption)}</caption>\n" if table.caption else ""
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{escape(plain(name))}">\n'
        f"<table>\n{caption}<thead><tr>{_cells(table, table.head, 'col')}</tr></thead>\n<tbody>\n"
        + "".join(f"<tr>{_cells(table, row, 'row')}</tr>\n" for row in table.rows)
        + "</tbody>\n</table>\n</div>"
    )


def _cells(table: Table, cells: Iterable[str], scope: str) -> str:
    return "".join(_row(table, cells, scope))


def _row(table: Table, cells: Iterable[str], scope: str) -> Iterator[str]:
    """Yield the cells: heads of columns, or the head of a row and its figures."""
    for column, cell in enumerate(cells):
        side = ' class="words"' if column in table.words else ""
        if scope == "col" or column == 0:
            yield f'<th scope="{scope}"{side}>{_text(cell)}</th>'
        else:
            yield f"<td{side}>{_text(cell)}</td>"


def _text(text: str) -> str:
    """Return text for a page; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(plain(text)))
