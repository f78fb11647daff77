"""Settings of integrations that start from states."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from data.settings import Label, Section
from guidance.settings import GuidanceSettings


class StartSettings(Section):
    """Runs that begin with states of one kind."""

    states: Literal["test", "generated", "training_mean", "nearest_training", "analytic"] = Field(
        description="held-out states, drawn ones, the mean of all that training saw, the training "
        "states nearest to the held-out ones, or the basin's analytic state"
    )
    guidance: GuidanceSettings | None = Field(
        None, description="of drawn states; unsaid: the experiment's own, exactly adjusted"
    )
    members: int = Field(2, gt=0)
    years: float = Field(2.0, gt=0)
    long_members: int = Field(0, ge=0, description="so many of the members go on")
    long_years: float = Field(100.0, gt=0, description="to this length")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.guidance and self.states != "generated":
            raise ValueError(f"guidance is of generated states, and these are {self.states}")
        if self.long_members and self.long_years <= self.years:
            raise ValueError(
                f"long runs go on after {self.years:g} years, and long_years is {self.long_years:g}"
            )
        if self.long_members > self.members:
            raise ValueError(f"{self.long_members} of {self.members} members cannot go on")
        return self


class IntegrationSettings(Section):
    """Integration of states in the basin model."""

    directory: Path | None = Field(
        None, description="where the runs are kept; unsaid: integration/ of the run directory"
    )
    starts: dict[Label, StartSettings] = Field(
        {
            "truth": StartSettings(states="test"),
            "generated": StartSettings(states="generated"),
            "analytic": StartSettings(states="analytic", members=1),
        },
        min_length=1,
        description="by label; what is held against the model's own states is labelled truth",
    )
    velocities: Literal["rest", "balanced"] = Field(
        "rest", description="of all starts: none, or in geostrophic balance with T and S"
    )
    seed: int = Field(12345, description="of the forcing anomalies of the first member of a label")
    checkpoint_years: float = Field(2.0, gt=0, description="simulated years lost at most")
    workers: int = Field(2, gt=0)
