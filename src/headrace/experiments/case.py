"""What a conclusion may know beside the figures: names, promises, prices, what the plan says."""

from __future__ import annotations

from typing import Any

import msgspec


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was experimented on.

    `ttft` and `tpot` are promised seconds, `hourly` what one replica costs an hour in the file's
    own currency (None: nobody said), `settings` the experiment's knobs. `emulated`: an engine twin
    answered.
    """

    deployment: str
    model: str
    address: str = ""
    engine: str = ""
    hardware: str = ""
    ttft: float | None = None
    tpot: float | None = None
    hourly: float | None = None
    max_num_seqs: int | None = None
    max_model_len: int | None = None
    settings: dict[str, Any] = {}
    emulated: bool = False
    interrupted: bool = False

    @property
    def slo(self) -> dict[str, float]:
        """The promises by name, as a run has them."""
        given = {"ttft": self.ttft, "tpot": self.tpot}
        return {name: value for name, value in given.items() if value is not None}
