"""Settings of integrations of the basin model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from data.settings import Label, Section
from guidance.settings import GuidanceSettings


class StartSettings(Section):
    """Runs that start from states of one kind."""

    states: Literal[
        "own", "another", "generated", "expected", "nearest_member", "training_mean", "analytic"
    ] = Field(
        description="the held-out member's last state, an earlier one of it, a generated state, "
        "the decoded expectation with exact adjustment, the last state of the nearest training "
        "member, the mean of all training states, or the basin's analytic state"
    )
    guidance: GuidanceSettings | None = Field(
        None,
        description="guidance of the generated states; default: the experiment's, with exact "
        "adjustment",
    )
    seed: int | None = Field(
        None, description="sampling seed of the generated states; default: the experiment's"
    )
    members: int | None = Field(
        None, gt=0, description="number of runs: the first of the points; default: all"
    )
    years: float = Field(2.0, gt=0, description="length of each run")
    long_members: int = Field(0, ge=0, description="number of runs that continue to `long_years`")
    long_years: float = Field(100.0, gt=0, description="length of the long runs")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("guidance", "seed"):
            if getattr(self, name) is not None and self.states != "generated":
                raise ValueError(f"{name} applies to generated states only, not to {self.states}")
        if self.long_members and self.long_years <= self.years:
            raise ValueError(
                f"long_years is {self.long_years:g}; it must exceed years, {self.years:g}"
            )
        if self.members is not None and self.long_members > self.members:
            raise ValueError(
                f"long_members is {self.long_members}; there are only {self.members} members"
            )
        return self


class PointSettings(Section):
    """The held-out members at whose parameters the basin is integrated."""

    test: int = Field(1, ge=0, description="number of members of the test part")
    outside: int = Field(0, ge=0, description="number of members outside the training range")


class IntegrationSettings(Section):
    """Integration of the basin model from states of several kinds."""

    directory: Path | None = Field(
        None, description="directory of the runs; default: integration/ in the run directory"
    )
    points: PointSettings = PointSettings()
    starts: dict[Label, StartSettings] = Field(
        {
            "truth": StartSettings(states="own"),
            "generated": StartSettings(states="generated"),
            "nearest_member": StartSettings(states="nearest_member"),
        },
        min_length=1,
        description="start states by label; the label truth is the reference for the others",
    )
    velocities: Literal["rest", "balanced"] = Field(
        "rest", description="initial velocities: none, or in geostrophic balance with T and S"
    )
    tracer_step_days: float | None = Field(
        None, gt=0, description="of all runs [days]; default: that of the member at each point"
    )
    seed: int = Field(12345, description="forcing anomalies of member 0; member k uses seed + k")
    checkpoint_years: float = Field(2.0, gt=0, description="simulated years between checkpoints")
    workers: int = Field(2, gt=0, description="number of runs in parallel")
