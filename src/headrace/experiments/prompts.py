"""What experiments ask: open questions, and texts to be repeated word for word.

Each request begins with a number of its own, so that no prefix cache answers for another.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.bench.asks import Ask, Message

OPEN = (
    "Explain to a child why the sky is blue and why it turns red in the evening.",
    "Write the opening of a story about a lighthouse keeper who finds a letter in a bottle.",
    "What should a small town consider before it builds a bridge over its river?",
    "Describe how bread is made, from the field to the table.",
    "Compare travelling by train with travelling by car for a family with two children.",
    "Give advice to somebody who has to speak before a large audience for the first time.",
    "How does a refrigerator keep food cold? Explain the parts and what each does.",
    "Write a short letter to a neighbour whose dog barks every night.",
    "Why do leaves change their colour in autumn?",
    "Plan a day in a museum for a school class of twelve-year-olds.",
    "Summarise what a good night's sleep does for body and mind.",
    "What are the advantages and disadvantages of working from home?",
    "Describe a market on a rainy morning, with its smells and sounds.",
    "How would you explain the idea of interest on a loan to a teenager?",
    "Tell the story of a clock that runs backwards.",
    "Which steps does a doctor take to find out why a patient has a fever?",
)
"""Questions whose answers repeat little of what was asked."""

TEXTS = (
    """The old harbour lay quiet under the fog. Two fishing boats were moored at the stone pier, and
a man in a blue coat was mending a net. From the hill above the town came the sound of a bell, three
strokes and then three more, as it had rung every morning for a hundred years.""",
    """{"order": 4711, "customer": {"name": "Ada Meyer", "city": "Bremen"},
"lines": [{"article": "lamp", "count": 2, "price": 19.9}, {"article": "chair", "count": 4}],
"paid": true, "note": "leave it at the back door"}""",
    """def mean(values):
    total = 0.0
    count = 0
    for value in values:
        total += value
        count += 1
    if count == 0:
        raise ValueError("no values")
    return total / count""",
    """Take two large potatoes, wash them, and cut them into thin slices. Heat a spoon of oil in a
pan, put the slices into the pan, and turn them after five minutes. Add salt, pepper and a little
rosemary, and serve them with a spoon of cream.""",
    """Monday: 08:00 first meeting, 10:30 visit of the supplier, 14:00 report to the board.
Tuesday: 09:00 interview, 11:00 test of the new machine, 16:00 call with Lisbon.
Wednesday: 08:30 training, 13:00 lunch with the team, 15:00 review of the budget.""",
    """The committee met on the third of May and decided three things. First, the road to the
station will be closed for two weeks in June. Second, the library will open on Sundays from ten to
four. Third, the town will plant two hundred trees along the canal.""",
)
"""Texts to repeat: prose, JSON, code, lists."""
_REPEAT = "Repeat the following text exactly, word for word, and write nothing else.\n\n{}"


def open_asks(count: int, tokens: int, mark: str, warmup: int = 0) -> list[Ask]:
    """Return `count` requests with open questions, after `warmup` that are not counted."""
    return _asks("open", OPEN, (warmup, count), tokens, mark)


def repeating_asks(count: int, tokens: int, mark: str, warmup: int = 0) -> list[Ask]:
    """Return `count` requests whose right answer stands in the prompt, after `warmup` others."""
    return _asks("repeating", [_REPEAT.format(one) for one in TEXTS], (warmup, count), tokens, mark)


def _asks(
    shape: str, prompts: Sequence[str], counts: tuple[int, int], tokens: int, mark: str
) -> list[Ask]:
    return [
        Ask(
            number=number,
            prompt=(Message("user", f"[{mark}.{number}] {prompts[number % len(prompts)]}"),),
            max_tokens=tokens,
            shape=shape,
            warmup=number < counts[0],
        )
        for number in range(sum(counts))
    ]
