"""Everything in training that changes with time, as functions of the sample counter."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train; all times are counted in training samples."""

    samples: int
    batch_size: int  # over all processes
    learning_rate: float
    warmup_samples: int
    ema_decay: float
    gradient_clip: float
    weight_decay: float
    checkpoint_samples: int
    validation_samples: int
    seed: int

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
