"""Floor 3: the engine twin, a stand-in for tests and drills that can misbehave on command."""

from headrace.emulation.api import twin_app
from headrace.emulation.behaviour import Behaviour, Faults

__all__ = ["Behaviour", "Faults", "twin_app"]
