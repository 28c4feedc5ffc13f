"""What all parts of a fleet file share: strictness, and what a name is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$")]
"""A DNS label, because names become Kubernetes objects, metric labels and log files."""


class Strict(BaseModel):
    """A part of the file: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
