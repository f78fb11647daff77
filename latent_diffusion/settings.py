"""Settings of the denoiser, its training and distillation, and sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from data.observations import Quantity
from data.settings import Section, Widths
from training.plan import TrainingPlan

ATTENDED_CELLS = 1024  # as of 32 x 32; a basin at 1/4 degree has 50 x 16 in its third stage


class DiffusionSettings(Section):
    """The denoiser of latents: a diffusers UNet2DModel."""

    channels: Widths = (96, 192)
    blocks: int = Field(2, gt=0)
    attention: bool = Field(
        True,
        description="self-attention in the coarsest stage; on large grids stages of the last width "
        f"are appended, until that has at most {ATTENDED_CELLS} cells",
    )
    dropout: float = Field(0.0, ge=0, lt=1)
    patterns: int = Field(
        512,
        ge=0,
        description="principal components of the latents known to the denoiser in closed form; 0: "
        "none",
    )
    train_timesteps: int = Field(1000, gt=1)
    noise_emphasis: float = Field(
        1.0, gt=0, description="distribution of noise levels; 1: uniform; above 1: more high noise"
    )
    training: TrainingPlan

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.attention and self.channels[-1] % 32:
            raise ValueError(
                "attention has heads of 32 channels, so the last of channels must be a multiple of "
                f"32, not {self.channels[-1]}"
            )
        return self

    def widths_on(self, rows: int, columns: int) -> tuple[int, ...]:
        """Width of each stage of the network for latents of `rows` x `columns` cells.

        The cost of attention grows with the square of the cells that it sees. With attention,
        stages of the last width follow those of `channels` until the coarsest has at most
        `ATTENDED_CELLS`. Each costs a quarter of the one before, so the sum is proportional to the
        cells. Padded latents have the stages of those without padding.
        """
        widths = self.channels
        while self.attention and _coarsest_cells(rows, columns, len(widths)) > ATTENDED_CELLS:
            widths += widths[-1:]
        return widths

    def record_on(self, rows: int, columns: int) -> dict[str, Any]:
        """What records say beside the settings of a network for `rows` x `columns` cells.

        Nothing without appended stages, so trained models remain valid.
        """
        widths = self.widths_on(rows, columns)
        return {} if widths == self.channels else {"network_widths": list(widths)}

    @property
    def record(self) -> dict[str, Any]:
        """The settings as stages record them."""
        network = self.model_dump(mode="json", exclude={"training"})
        return network | {"training": self.training.record}


def _coarsest_cells(rows: int, columns: int, stages: int) -> int:
    """Cells of the last of so many stages, after padding; each halves rows and columns."""
    width = 2 ** (stages - 1)
    return -(-rows // width) * -(-columns // width)


class SamplingSettings(Section):
    """How an ensemble is drawn."""

    members: int = Field(64, gt=0, le=1_000_000)
    batch_size: int = Field(16, gt=0, le=100_000)
    seed: int = Field(0, ge=0)
    steps: int = Field(25, gt=0)
    scheduler: str = Field("DPMSolverMultistepScheduler", description="any diffusers scheduler")
    scheduler_options: dict[str, bool | int | float | str] = Field({})


class AssimilationSettings(Section):
    """How states are drawn given observations."""

    steps: int = Field(
        60, gt=0, description="number of steps; with few the spread of the states is wrong"
    )
    errors: dict[Quantity, float] = Field(
        {},
        description="standard deviation of measurements whose file states none, such as "
        "{temperature: 0.1, salinity: 0.02, sea_level: 0.03}",
    )
    correlation_depth: float = Field(
        0.0, ge=0, description="over which errors in a profile are correlated [m]; 0: not at all"
    )
    prior_inflation: float = Field(
        1.0,
        gt=0,
        description="factor of the prior's variance; above 1 where the ocean may lie off the "
        "training states",
    )
    localisation_km: float | None = Field(
        28_000.0,
        gt=0,
        description="distance at which covariances of the errors of a conditional model's mean "
        "vanish; null: the errors have the patterns of the training members across the whole ocean",
    )
    denoiser_iterations: int = Field(
        0,
        ge=0,
        le=20,
        description="of conjugate gradients with the covariance from the denoiser's gradient; 0: "
        "the covariance in closed form; 3 cost four gradients of the network in each step",
    )
    trust: float = Field(
        0.1,
        gt=0,
        le=1,
        description="exponent of the probability of the observations in that of unknown "
        "conditions; 1: as if errors of the model's mean were independent between observations",
    )

    @model_validator(mode="after")
    def _errors_are_positive(self) -> Self:
        for quantity, error in self.errors.items():
            if not error > 0:
                raise ValueError(f"the error of {quantity} is {error}: give a number above 0")
        return self


class DistillationSettings(Section):
    """Distillation of a trained denoiser into one that needs only `sampling.steps` steps."""

    teacher: Path = Field(description="run directory of the trained model")
    teacher_steps: int = Field(
        32, gt=1, description="steps of the teacher's chains; a multiple of sampling.steps"
    )
    chains: int = Field(
        4096, ge=16, description="number of chains that the teacher draws for training"
    )
    training: TrainingPlan

    @property
    def record(self) -> dict[str, Any]:
        """The settings as stages record them; the teacher is recorded by its weights."""
        chains = self.model_dump(mode="json", exclude={"teacher", "training"})
        return chains | {"training": self.training.record}

    def teacher_sampling(self, student: SamplingSettings) -> SamplingSettings:
        """The sampler of the teacher's chains.

        The student's sampler with more steps and, where it has an order, second order.
        """
        order = {"solver_order": 2} if "solver_order" in student.scheduler_options else {}
        options = student.scheduler_options | order
        sampler = {"steps": self.teacher_steps, "scheduler_options": options}
        return student.model_copy(update=sampler)
