"""Random inputs of chains as vectors, for smoothers that assimilate into them.

Di Federico & Durlofsky (2025, arXiv 2508.16621) give an ensemble smoother the noise from which a
latent diffusion model starts: a deterministic chain makes a state of it, and the prior of the noise
is exactly normal. Here what else a conditional model draws is a part of the vector, too: its
conditions, which are uniform, as the distribution function of a normal number, and the amplitudes
of the mean's uncertain patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr

from data.conditions import Conditions
from data.errors import UserError
from data.state import State
from latent_diffusion.drawn import Frame
from latent_diffusion.expectation import Expectation
from latent_diffusion.inference import ConditionBox
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChainInputs:
    """What a chain of `steps` steps draws, as vectors `b n` of independent normal numbers."""

    pipeline: StatePipeline
    steps: int

    @property
    def size(self) -> int:
        """Length n of a vector."""
        return sum(self._sizes)

    def prior(self, count: int, *, seed: int) -> FloatArray:
        """Vectors `count n` of the prior."""
        return np.random.default_rng(seed).standard_normal((count, self.size))

    @torch.no_grad()
    def states(self, vectors: FloatArray) -> State:
        """The states that unguided chains make of vectors `b n`.

        Raises `UserError` for a scheduler that draws noise in its steps.
        """
        noise, conditions, amplitudes = np.split(vectors, np.cumsum(self._sizes)[:-1], axis=1)
        pipeline = self.pipeline
        pipeline.set_steps(self.steps)
        frame = self._frame(conditions, amplitudes)
        shape = pipeline.codec.latent_shape
        sample = torch.from_numpy(noise).float().view(-1, *shape)
        sample = sample * pipeline.scheduler.init_noise_sigma
        # A deterministic chain draws nothing from these.
        generators = [member_generator(0, number) for number in range(len(vectors))]
        untouched = [one.get_state() for one in generators]
        for index in range(len(pipeline.scheduler.timesteps)):
            sample = pipeline.advance(sample, index, generators=generators, frame=frame)
        if any(
            not torch.equal(one.get_state(), state)
            for one, state in zip(generators, untouched, strict=True)
        ):
            raise UserError(
                f"{type(pipeline.scheduler).__name__} draws noise in its steps, so that its states "
                "are no function of the first noise: choose a deterministic scheduler"
            )
        return pipeline.codec.decode(frame.latents(sample) if frame else sample)

    @cached_property
    def _sizes(self) -> tuple[int, int, int]:
        """Numbers for the noise, for the conditions, and for the amplitudes of the mean."""
        latents = int(np.prod(self.pipeline.codec.latent_shape))
        expectation = self.pipeline.expectation
        if expectation is None:
            return latents, 0, 0
        return latents, len(self._box(expectation).free), expectation.scales.numel()

    def _frame(self, conditions: FloatArray, amplitudes: FloatArray) -> Frame | None:
        expectation = self.pipeline.expectation
        if expectation is None:
            return None
        box = self._box(expectation)
        given: Conditions = box.conditions(box.low + ndtr(conditions) * (box.high - box.low))
        deviations = expectation.deviations(given)
        errors = deviations * torch.from_numpy(amplitudes).view(deviations.shape)
        mean = expectation.mean(given) + expectation.along(errors)
        return Frame(mean, expectation.scale, expectation.features(given), given)

    @staticmethod
    def _box(expectation: Expectation) -> ConditionBox:
        return ConditionBox.of(expectation, {})
