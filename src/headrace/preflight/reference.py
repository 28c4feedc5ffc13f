"""The rules as Markdown, from the rules themselves, so that the page cannot go stale.

`headrace preflight --rules > docs/reference/preflight.md` writes it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.preflight.finding import Rule
from headrace.preflight.rules.all_rules import RULES

_INTRODUCTION = """\
# Preflight rules

Made by `headrace preflight --rules`.

`headrace preflight PATH…` reads manifests, folders, `helm template` output (`-`) and fleet files,
and says what will break before a cluster does. `--fail-on warning` or `--fail-on error` (the
default) sets what ends with status 1; `--json` and `--sarif FILE` are for programs.

* **error**: it will not work, or it cuts or loses requests.
* **warning**: it does not do what it says, or not under load.
* **note**: it works today.

A comment on the line of a finding, or right above it, silences a rule and must say why:
`# headrace: ignore HR308 because the lab has one GPU`.

What a rule cannot know it does not say: an image of unknown version, a model or GPU that is not in
the catalogue, flags in a script inside the image."""


def rules_reference() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, *("\n".join(_section(rule)) for rule in RULES)]
    return "\n\n".join(parts) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    yield from (f"## {rule.id}: {rule.title}", "")
    yield from (f"**{rule.severity}**. {rule.what}", "")
    yield f"* Fix: {rule.fix}"
    yield f"* Fact: {rule.fact.text} ({rule.fact.source})"
