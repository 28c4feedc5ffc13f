"""How much of a data sheet an engine reaches, and how sure we are: the only fudge factors.

`calibration.py` fits them to a measured run; `roofline.py` uses them. Nothing that rests on them is
shown without `label`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Efficiency:
    """Shares of the data sheet's bandwidth, compute and link; `overhead` in seconds for each step.

    `error` is the mean absolute relative error to expect of a predicted time, as a share.
    """

    bandwidth: float
    compute: float
    overhead: float
    link: float
    error: float
    label: str


UNCALIBRATED = Efficiency(
    bandwidth=0.8, compute=0.7, overhead=0.002, link=0.4, error=0.3, label="uncalibrated, ±30 %"
)
"""Between what published runs reached; such figures were off by 16 to 37 % from GPU to GPU."""
