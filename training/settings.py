"""How a stage is trained, as a configuration gives it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from data.settings import Section
from training.schedule import TrainingPlan


class TrainingSettings(Section):
    """How a stage is trained; times are counted in training samples."""

    samples: int = Field(gt=0)
    batch_size: int = Field(16, gt=0, description="over all processes")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_samples: int = Field(1000, ge=1)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    gradient_clip: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    checkpoint_samples: int = Field(5000, gt=0)
    validation_samples: int = Field(5000, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int = Field(0, ge=0, description="processes that read states; 0 reads in the trainer")
    seed: int = Field(0, ge=0)

    def plan(self) -> TrainingPlan:
        """The part of these settings that the training loop follows."""
        return TrainingPlan(**self.model_dump(exclude={"precision", "workers"}))
