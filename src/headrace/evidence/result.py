"""One result, as it is kept: what was measured on what, what follows, and what it justifies.

`store.py` keeps it beside the fleet file; whoever measures makes it, with `made`.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from headrace.evidence.fingerprint import Fingerprint
from headrace.fleet.types import Scalar

_SUFFIX = 8


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number with its unit (`s`, `tokens/s`, `requests/s`, `bytes`, `share`, …).

    `low` to `high` is where the true value lies with 95 % confidence, None where nobody knows; `n`
    is of how many observations it was made.
    """

    value: float
    unit: str = ""
    n: int | None = None
    low: float | None = None
    high: float | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side of a comparison, or the only one; figures by name, such as `ttft p95`.

    `run` names the folder of the raw data, which is not kept in git.
    """

    name: str
    fingerprint: Fingerprint
    figures: dict[str, Figure] = {}
    run: str = ""


class Support(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A setting for which the result speaks, or against which (`holds` is False), as measured.

    `setting` goes by the fleet file's fields (`max_model_len`, `quantization`, `lifecycle.drain`,
    `lifecycle.startup`, `engine.flags.enable-prefix-caching`, `engine.flags.speculative-config`);
    what answers of quantized weights are worth is `quantization`, also where the weights say it.
    Times are written as a fleet file does (`60s` as `1m`), sizes as bytes.
    `variant` is the one it was measured in; None: in every one. `says` is the figure to cite, in
    a few words: `1.8 times the requests/s of 8192`.
    """

    setting: str
    value: Scalar | None = None
    holds: bool = True
    variant: str | None = None
    says: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result; `conclusion` are sentences, `doubts` what a reader should know against them.

    `valid` False: the figures say something else than they seem to, so nothing rests on them.
    `experiment` is the experiment's name, or `bench`. `figures` are of the whole, such as a ratio
    of two variants.
    """

    version: Literal[1]
    id: str = ""
    experiment: str
    deployment: str
    taken: datetime
    variants: tuple[Variant, ...]
    figures: dict[str, Figure] = {}
    conclusion: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    valid: bool = True
    supports: tuple[Support, ...] = ()

    @property
    def day(self) -> str:
        """When it was taken, as 2026-11-28."""
        return self.taken.date().isoformat()

    def variant(self, name: str) -> Variant | None:
        """Return the variant of that name."""
        return next((one for one in self.variants if one.name == name), None)


def made(
    *,
    experiment: str,
    deployment: str,
    variants: tuple[Variant, ...],
    figures: dict[str, Figure] | None = None,
    conclusion: tuple[str, ...] = (),
    doubts: tuple[str, ...] = (),
    valid: bool = True,
    supports: tuple[Support, ...] = (),
    taken: datetime | None = None,
) -> Evidence:
    """Return a result with its id; `taken` is now unless it is said."""
    one = Evidence(
        experiment=experiment,
        deployment=deployment,
        taken=(taken or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0),
        variants=variants,
        figures=figures or {},
        conclusion=conclusion,
        doubts=doubts,
        valid=valid,
        supports=supports,
        version=1,
    )
    return msgspec.structs.replace(one, id=identity(msgspec.to_builtins(one)))


def identity(content: dict[str, Any]) -> str:
    """Return the id that belongs to a result's content: its day, what it is of, and a digest.

    So names sort by day, and no two results of two branches have the same one.
    """
    rest = {name: value for name, value in content.items() if name != "id"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:_SUFFIX]
    words = (str(rest[name]) for name in ("taken", "experiment", "deployment"))
    day, experiment, deployment = words
    return "-".join((day[:10], _safe(experiment), _safe(deployment), digest))


def _safe(word: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", word.casefold()).strip("-.")[:40] or "unnamed"
