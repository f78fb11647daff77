"""The plan of a training; everything that changes is a function of the sample counter."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data.settings import Section

Precision = Literal["auto", "fp32", "bf16"]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainingPlan(Section):
    """How long and how fast to train; all times are counted in training samples."""

    samples: int = Field(gt=0)
    batch_size: int = Field(16, gt=0, description="over all processes")
    learning_rate: Rate | dict[int, Rate] = Field(
        1e-3, description="peak; or peaks by the sample number from which on they hold"
    )
    warmup_samples: int = Field(1000, ge=1)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    gradient_clip: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    checkpoint_samples: int = Field(5000, gt=0)
    checkpoints_kept: int = Field(2, gt=0, description="number of the last checkpoints")
    validation_samples: int = Field(5000, gt=0)
    precision: Precision = "auto"
    workers: int = Field(0, ge=0, description="processes that read states; 0: the trainer reads")
    seed: int = Field(0, ge=0)
    gradient_checkpointing: bool = Field(
        False, description="compute residual blocks again in the backward pass, to save memory"
    )

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        if isinstance(self.learning_rate, dict) and min(self.learning_rate, default=-1) != 0:
            raise ValueError("learning_rate lists peaks by sample number, of which the first is 0")
        return self

    @property
    def peaks(self) -> dict[int, float]:
        """Peaks of the learning rate by the sample number from which on they hold."""
        given = self.learning_rate
        return dict(sorted(given.items())) if isinstance(given, dict) else {0: given}

    def learning_rate_at(self, counter: int) -> float:
        """Linear warm-up, then a half cosine down to 2 % of the peak."""
        peak = self.peaks[max(start for start in self.peaks if start <= counter)]
        if counter < self.warmup_samples:
            return peak * min((counter + self.batch_size) / self.warmup_samples, 1.0)
        span = max(self.samples - self.warmup_samples, 1)
        fraction = min((counter - self.warmup_samples) / span, 1.0)
        return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))

    def lower_from(self, counter: int) -> dict[int, float]:
        """The peaks of the learning rate before `counter`, and a third of the last from there."""
        past = self._peaks_before(counter)
        return past | {counter: float(f"{past[max(past)] / 3:.1g}")}

    def due(self, counter: int, interval: int) -> bool:
        """Whether the step that ended at `counter` crossed a multiple of `interval`, or the end."""
        crossed = counter // interval > (counter - self.batch_size) // interval
        return crossed or counter >= self.samples

    @property
    def identity(self) -> dict[str, object]:
        """The settings that the numbers depend on.

        The precision is not one of them because "auto" depends on the device: `Trainer` adds what
        it is.
        """
        free = {
            "checkpoint_samples",
            "checkpoints_kept",
            "validation_samples",
            "precision",
            "workers",
            "gradient_checkpointing",
        }
        return self.model_dump(exclude=free)

    def identity_at(self, counter: int) -> dict[str, object]:
        """The settings that must not change when a checkpoint at `counter` is resumed.

        Those of `identity`, with the learning rates of the samples before `counter` alone.
        """
        past = self._peaks_before(counter)
        return self.identity | {"learning_rate": past if len(past) > 1 else past[0]}

    def _peaks_before(self, counter: int) -> dict[int, float]:
        return {start: peak for start, peak in self.peaks.items() if start < counter}

    @property
    def record(self) -> dict[str, object]:
        """The settings that the trained weights depend on, as stages record them."""
        return self.identity | {"precision": self.precision}
