"""The plan of a training; everything that changes is a function of the sample counter."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from data.settings import Section

Precision = Literal["auto", "fp32", "bf16"]


class TrainingPlan(Section):
    """How long and how fast to train; all times are counted in training samples."""

    samples: int = Field(gt=0)
    batch_size: int = Field(16, gt=0, description="over all processes")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_samples: int = Field(1000, ge=1)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    gradient_clip: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    checkpoint_samples: int = Field(5000, gt=0)
    validation_samples: int = Field(5000, gt=0)
    precision: Precision = "auto"
    workers: int = Field(0, ge=0, description="processes that read states; 0: the trainer reads")
    seed: int = Field(0, ge=0)

    def learning_rate_at(self, counter: int) -> float:
        """Linear warm-up, then a half cosine down to 2 % of the peak."""
        if counter < self.warmup_samples:
            return self.learning_rate * (counter + self.batch_size) / self.warmup_samples
        span = max(self.samples - self.warmup_samples, 1)
        fraction = min((counter - self.warmup_samples) / span, 1.0)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))

    def due(self, counter: int, interval: int) -> bool:
        """Whether the step that ended at `counter` crossed a multiple of `interval`, or the end."""
        crossed = counter // interval > (counter - self.batch_size) // interval
        return crossed or counter >= self.samples

    @property
    def identity(self) -> dict[str, object]:
        """The settings that must not change when a checkpoint is resumed.

        The precision is not one of them because "auto" depends on the device: `Trainer` adds what
        it is.
        """
        free = {"checkpoint_samples", "validation_samples", "precision", "workers"}
        return self.model_dump(exclude=free)

    @property
    def record(self) -> dict[str, object]:
        """The settings that the trained weights depend on, as stages record them."""
        return self.identity | {"precision": self.precision}
