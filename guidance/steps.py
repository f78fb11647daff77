"""Positions of denoising steps in their chain, and the windows and strengths defined by them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol, Self

from pydantic import Field, model_validator

from data.settings import Section

if TYPE_CHECKING:  # settings are read without PyTorch
    from torch import Tensor

HALF_PI = math.pi / 2
LAST_STEP: Literal["last_step"] = "last_step"
PUBLISHED_STEPS = 1000  # steps of the chains for which strengths were published

Fraction = Annotated[float, Field(ge=0, le=1)]
Position = Fraction | Literal["last_step"]


class Step(NamedTuple):
    """The position of a denoising step in its chain.

    number: from 0; steps: number of steps in the chain
    before, after: noise amplitude of a sample of variance 1, before and after the step
    """

    number: int
    steps: int
    before: float
    after: float

    @classmethod
    def even(cls, number: int, steps: int) -> Step:
        """A step of a chain with equal steps in diffusion time."""
        return cls(number, steps, *(math.cos(HALF_PI * k / steps) for k in (number, number + 1)))

    @property
    def time_before(self) -> float:
        """Diffusion time before the step, from 1 (noise) to 0 (end); see `progress`."""
        return math.asin(min(self.before, 1.0)) / HALF_PI

    @property
    def progress(self) -> float:
        """Elapsed fraction of the diffusion time after the step, from 0 (noise) to 1 (end).

        The angle between sample and noise in right angles, the time of a cosine schedule. It
        measures the noise level independently of the scheduler and its spacing of steps.
        """
        return math.acos(min(self.after, 1.0)) / HALF_PI

    @property
    def is_last(self) -> bool:
        """Whether this is the last step of the chain."""
        return self.number == self.steps - 1


class Window(Section):
    """The part of a chain in which a constraint acts.

    Positions are elapsed fractions of the diffusion time (`Step.progress`), or the last step of the
    chain, for any number of steps.
    """

    start: Position = Field(
        0.0,
        description="first position, or last_step; has no effect below the start of guidance",
    )
    until: Position = Field(
        1.0, description="end position (exclusive), or last_step; 1: to the end"
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if _order(self.start) >= _order(self.until):
            raise ValueError(f"a constraint cannot start at {self.start} and end at {self.until}")
        return self

    def holds(self, at: Step) -> bool:
        """Whether the constraint acts in this step."""
        begun = at.is_last if self.start == LAST_STEP else at.progress >= self.start
        ended = at.is_last if self.until == LAST_STEP else at.progress >= self.until < 1
        return begun and not ended


def _order(position: float | str) -> float:
    """A sort key of positions; the last step is just before the end."""
    return math.nextafter(1.0, 0.0) if isinstance(position, str) else position


class Strength(Protocol):
    """The fraction of a Polyak step to take, from the samples' energies `b` and the position.

    In data space, for a constraint on horizontal means, a fraction k moves every level by k times
    its error, like the published gradient steps of size k; strengths are therefore independent of
    grid and decoder.
    """

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The fraction, 0 to 1."""
        ...


@dataclass(frozen=True)
class Constant:
    """A constant fraction."""

    fraction: float = 1.0

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The fraction, independent of energy and position."""
        return self.fraction


@dataclass(frozen=True)
class Rising:
    """The schedule of Meunier et al. 2025: kappa(t) = rate base (1 + factor exp(-decay t)).

    t is the diffusion time, from 1 (noise) to 0 (end), of a published chain of 1000 steps; the
    defaults are the published values. A longer step equals the published steps in its interval of
    time, each of which leaves 1 - kappa of the error: 1 - exp(-sum of kappa).
    """

    rate: float = 1.0
    base: float = 0.001
    factor: float = 40.0
    decay: float = 20.0

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The fraction for the step's interval of time, independent of the energy."""
        before, after = at.time_before, 1 - at.progress
        rise = math.exp(-self.decay * after) - math.exp(-self.decay * before)
        total = self.base * (before - after + self.factor / self.decay * rise)
        return 1 - math.exp(-self.rate * PUBLISHED_STEPS * total)


@dataclass
class DualAscent:
    """A multiplier that grows while the constraint is violated (Gorce et al. 2025).

    It starts at 0 and increases in each step by rate x mean energy of the batch x the step's
    interval of diffusion time; at most one full Polyak step is taken. The published multiplier
    applies to the raw gradient, whose size depends on the numbers of cells and steps, so published
    rates do not apply here. Samples depend on their batch.
    """

    rate: float
    _multiplier: float = field(default=0.0, init=False)

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The multiplier after this step, at most 1."""
        interval = at.time_before - (1 - at.progress)
        self._multiplier += self.rate * float(energy.mean()) * interval
        return min(self._multiplier, 1.0)
