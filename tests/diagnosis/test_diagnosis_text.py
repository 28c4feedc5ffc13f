"""What a person reads: the verdict first, causes that others bring about after them, the table in the documentation."""

from dataclasses import replace
from pathlib import Path

from diagnosis_kit import SICK, gateway, seen

from headrace.diagnosis.causes import CARDS, Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.observation import Unseen
from headrace.diagnosis.reference import table
from headrace.diagnosis.text import lines
from headrace.diagnosis.words import count, span

PAGES = Path(__file__).parents[2] / "docs"


def test_the_documentation_has_the_table_of_causes() -> None:
    assert any(table() in page.read_text() for page in PAGES.rglob("*.md"))


def test_every_card_names_an_experiment_and_brings_about_known_causes() -> None:
    for cause, card in CARDS.items():
        assert cause not in card.leads_to
        assert card.says[0].islower()
        assert card.advice.endswith(".")
        assert card.experiment.endswith(".")


def test_the_verdict_comes_first_then_figures_then_what_to_do() -> None:
    found = diagnose(SICK[Cause.GATEWAY_QUEUE])
    told = list(lines(found))
    assert told[0] == "chat: admission is at fault: queue at the gateway"
    assert told[1] == "  admission: queue at the gateway (strong evidence)"
    assert (
        told[2]
        == "    - 30 requests waited 2 s for room, then 50 ms in the engine to the first token"
    )
    assert told[3] == "    - 9 wait for room on average; 16 of 16 run"
    assert told[4].startswith("    do:   Add replicas")
    assert told[5].startswith("    next: ")


def test_what_another_cause_brings_about_has_no_advice_of_its_own() -> None:
    crash = SICK[Cause.LOST_REPLICA]
    both = replace(crash, requests=SICK[Cause.GATEWAY_QUEUE].requests, waiting=gateway(queued=9))
    told = list(lines(diagnose(both)))
    assert told[0] == "chat: life cycle is at fault: lost replica"
    assert sum("do:" in line for line in told) == 1
    assert any("which lost replica brings about" in line for line in told)


def test_what_was_not_seen_is_said_last() -> None:
    unseen = (Unseen(what="the moon", remedy="look up"),)
    assert list(lines(diagnose(seen(unseen=unseen))))[-1] == "  not seen: the moon; look up"


def test_times_and_counts_are_words() -> None:
    assert [span(value) for value in (0.0, 0.02414, 1.0, 119.0, 300.0)] == [
        "0 ms",
        "24.1 ms",
        "1 s",
        "119 s",
        "5 min",
    ]
    assert [count(1, "request"), count(2, "request")] == ["1 request", "2 requests"]
