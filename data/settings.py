"""Base class and types of the sections of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Networks normalise their channels in groups of 8.
Widths = Annotated[
    tuple[Annotated[int, Field(gt=0, multiple_of=8)], ...],
    Field(min_length=1, description="width of each stage; each halves rows and columns"),
]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]  # `~` is the home folder
Per = Literal["sample", "ensemble"]  # means of each sample, or over a batch too
Label = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]


class Section(BaseModel):
    """A block of a YAML: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
