"""What can go wrong on one machine and a person can mend.

LocalError
  AlreadyUpError          the fleet is up (`state.py`)
  StateError              its state folder cannot be used (`state.py`)
  PortError               an address cannot be listened on (`ports.py`)
  AddressError            one or both of its addresses are such (`reserve.py`)
  EnvironmentFailedError  an engine's packages could not be installed (`environment.py`)
  SetUpInterruptedError   Ctrl-C came before anything was started (`prepare.py`); status 130
  GatewayError            the gateway does not stay up, or cannot be replaced (`gateway_link.py`)
  StartError              a program could not be started (`kept.py`); becomes a replica's last words
  NotUpError              nobody answers for the fleet (`client.py`)
  RefusedError            the fleet did not do what it was asked (`client.py`)

What is wrong with the fleet file itself, this machine's memory included, is a FleetError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class LocalError(Exception):
    """The message is a sentence that says what is wrong and what to do."""


class SetUpInterruptedError(LocalError):
    """Ctrl-C came while something was made ready; the message says what, and what is kept of it."""

    def __init__(self, doing: str, kept: str) -> None:
        super().__init__(f"interrupted while {doing}: {kept}, and the same command goes on")


@contextmanager
def setting_up(doing: str, kept: str) -> Iterator[None]:
    """Make Ctrl-C in the block a SetUpInterruptedError."""
    try:
        yield
    except KeyboardInterrupt:
        raise SetUpInterruptedError(doing, kept) from None
