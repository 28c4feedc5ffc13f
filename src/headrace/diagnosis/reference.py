"""The table of causes for the documentation, made from `causes.py`; a test compares the two.

`headrace diagnose --causes` prints it.
"""

from __future__ import annotations

from headrace.diagnosis.causes import CARDS

HEAD = "| part | cause | what says so | do | next experiment |\n| --- | --- | --- | --- | --- |\n"


def table() -> str:
    """Return the causes as a Markdown table."""
    rows = (
        f"| {card.part} | **{cause}** | {card.says} | {card.advice} | {card.experiment} |\n"
        for cause, card in CARDS.items()
    )
    return HEAD + "".join(rows)
