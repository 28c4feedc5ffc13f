"""How much of a data sheet an engine reaches, and how sure we are: the only fudge factors.

`calibration.py` fits them to a measured run; `roofline.py` uses them. Nothing that rests on them is
shown without `label`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Efficiency:
    """Shares of the data sheet's bandwidth, compute and link; `overhead` in seconds for each step.

    `per_sequence` are seconds for each sequence that gets a token in a step: scheduling, sampling,
    handing the token on. `error` is the mean absolute relative error to expect of a predicted time,
    as a share.
    """

    bandwidth: float
    compute: float
    overhead: float
    link: float
    error: float
    label: str
    per_sequence: float = 0.0


UNCALIBRATED = Efficiency(
    bandwidth=0.9,
    compute=0.8,
    overhead=0.002,
    link=0.4,
    error=0.3,
    label="uncalibrated, ±30 %",
    per_sequence=20e-6,
)
"""Between what published runs reached; such figures were off by 16 to 37 % from GPU to GPU."""

UNCALIBRATED_CPU = Efficiency(
    bandwidth=0.33,
    compute=1.0,
    overhead=0.005,
    link=0.4,
    error=0.5,
    label="uncalibrated CPU, ±50 %",
    per_sequence=20e-6,
)
"""What vLLM 0.32 reached on one CPU of two cores, of its measured bandwidth and matrix product."""
