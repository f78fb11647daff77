"""Settings of the denoiser, of its training and distillation, and of sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from data.settings import Section, Widths
from training.plan import TrainingPlan


class DiffusionSettings(Section):
    """The denoiser of latents: a diffusers UNet2DModel."""

    channels: Widths = (96, 192)
    blocks: int = Field(2, gt=0)
    attention: bool = Field(True, description="self-attention in the lowest stage")
    dropout: float = Field(0.0, ge=0, lt=1)
    train_timesteps: int = Field(1000, gt=1)
    noise_emphasis: float = Field(
        1.0, gt=0, description="1: uniform noise levels; above: more of the high ones"
    )
    training: TrainingPlan

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.attention and self.channels[-1] % 32:
            raise ValueError(
                f"attention has heads of 32 channels, which do not divide {self.channels[-1]}"
            )
        return self


class SamplingSettings(Section):
    """How an ensemble is drawn."""

    members: int = Field(64, gt=0)
    batch_size: int = Field(16, gt=0)
    seed: int = Field(0, ge=0)
    steps: int = Field(25, gt=0)
    scheduler: str = Field("DPMSolverMultistepScheduler", description="any diffusers scheduler")
    scheduler_options: dict[str, bool | int | float | str] = Field({})


class DistillationSettings(Section):
    """How a denoiser of few steps is learnt from a trained one; `sampling.steps` says how few."""

    teacher: Path = Field(description="run directory of the trained experiment")
    teacher_steps: int = Field(
        32, gt=1, description="of its chains; a multiple of the student's, sampling.steps"
    )
    chains: int = Field(4096, ge=16, description="that the teacher draws for the student to learn")
    training: TrainingPlan

    def teacher_sampling(self, student: SamplingSettings) -> SamplingSettings:
        """The sampler of the teacher's chains.

        It is the student's with more steps, and of second order where the student's has an order.
        """
        order = {"solver_order": 2} if "solver_order" in student.scheduler_options else {}
        options = student.scheduler_options | order
        sampler = {"steps": self.teacher_steps, "scheduler_options": options}
        return student.model_copy(update=sampler)
