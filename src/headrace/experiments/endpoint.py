"""Where an experiment sends its load: a copy, a running fleet, or any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """An address that answers for one model.

    `address` is the base URL that ends in `/v1`; `pages` are metrics pages by the names that
    samples have (`gateway`, `engine:<replica>`); `engine` and `version` say whose metrics they are.
    """

    address: str
    model: str
    key: str | None = field(default=None, repr=False)
    pages: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    version: str = ""
