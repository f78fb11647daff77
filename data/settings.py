"""What the settings of all rooms have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A block of a configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
