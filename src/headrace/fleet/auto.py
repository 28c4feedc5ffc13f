"""Capacity flags that a file leaves to the plan: `max_num_seqs: auto`.

A field that says `auto` keeps its default here and is named in `open`; `headrace.planning` fills it
in before anything is started from it, and says why it chose what it chose.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from headrace.fleet.base import Strict

AUTO = "auto"


class Open(Strict):
    """A part of the file some of whose fields may say `auto`."""

    MAY_BE_OPEN: ClassVar[frozenset[str]] = frozenset(
        {
            "max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache",
            "gpu_memory_utilization", "tensor_parallel", "pipeline_parallel",
        }
    )  # fmt: skip
    _open: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="wrap")
    @classmethod
    def _leave_open(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        named = frozenset(key for key in cls.MAY_BE_OPEN if data.get(key) == AUTO)
        made = handler({key: value for key, value in data.items() if key not in named})
        made._open = made._open | named  # noqa: SLF001 - its own, in a classmethod
        return made

    @property
    def open(self) -> frozenset[str]:
        """The fields that say `auto` and are not filled in yet."""
        return self._open

    def filled(self, values: dict[str, Any]) -> Self:
        """Return a copy with these fields filled in, and so no longer open."""
        made = self.model_copy(update=values)
        made._open = self._open - values.keys()  # noqa: SLF001 - a copy of its own
        return made
