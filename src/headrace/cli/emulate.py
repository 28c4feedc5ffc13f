"""`headrace emulate`: the engine twin as a process, for tests and drills."""

from __future__ import annotations

import typer

PASS_THROUGH = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["--emulate-help"],
}
"""The twin reads its own arguments, `--help` included."""


def emulate(context: typer.Context) -> None:
    """Run an engine twin; it speaks an engine's API and can misbehave on command (--help)."""
    from headrace.emulation.__main__ import main  # noqa: PLC0415 - the other verbs start faster

    raise typer.Exit(main(context.args))
