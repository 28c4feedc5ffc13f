"""What a plan would have said of a load: to be shown beside what was measured.

The plan's own arithmetic (`capacity`), for the lengths that were sent instead of the routes'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace.fleet.load import FleetFile
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError

if TYPE_CHECKING:
    from headrace.planning.subject import Subject
    from headrace.traffic.traffic import Traffic


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """Rates a second, seconds; `label` names what the times rest on, `error` is a share."""

    requests: float
    output_tokens: float
    ttft: float | None
    tpot: float | None
    label: str
    error: float


@dataclass(frozen=True)
class Oracle:
    """Predicts for one deployment and the lengths (tokens) of the requests that are sent."""

    subject: Subject
    prompts: Sequence[int]
    outputs: Sequence[int]

    @classmethod
    def of(
        cls, file: FleetFile, deployment: str, prompts: Sequence[int], outputs: Sequence[int]
    ) -> Oracle | None:
        """Return it; None where too little is known of the model or its place for a plan."""
        from headrace.planning.subject import subject  # noqa: PLC0415 - not every verb needs numpy

        try:
            return cls(subject(file, deployment), prompts, outputs)
        except (PlanError, WeightsError):
            return None

    def closed_loop(self, clients: int) -> Predicted | None:
        """Return what clients see who each send the next request after an answer; None: no fit."""
        from headrace.capacity.closed_loop import closed_loop  # noqa: PLC0415 - as above
        from headrace.capacity.lengths import Lengths  # noqa: PLC0415 - as above

        state = closed_loop(self.subject.steady_of(Lengths.of(self._traffic)), clients)
        if state is None:
            return None
        return self._labelled(state.rate, state.tokens_per_second, state.ttft, state.tpot)

    def static(self, size: int) -> Predicted:
        """Return what static batches of `size` would do with all requests there from the start."""
        from headrace.capacity.static_batching import serve_static  # noqa: PLC0415 - as above

        served = serve_static(self._traffic, self.subject.setup, self.subject.efficiency, size)
        seconds = float(served.last.max())
        return self._labelled(len(self.outputs) / seconds, served.throughput, None, None)

    def _labelled(
        self, requests: float, tokens: float, ttft: float | None, tpot: float | None
    ) -> Predicted:
        efficiency = self.subject.efficiency
        return Predicted(
            requests=requests,
            output_tokens=tokens,
            ttft=ttft,
            tpot=tpot,
            label=efficiency.label,
            error=efficiency.error,
        )

    @property
    def _traffic(self) -> Traffic:
        import numpy as np  # noqa: PLC0415 - as above

        from headrace.traffic.traffic import Traffic  # noqa: PLC0415 - as above

        prompts, outputs = np.array(self.prompts), np.array(self.outputs)
        return Traffic(np.zeros(len(prompts)), prompts, outputs, "an experiment's requests")
