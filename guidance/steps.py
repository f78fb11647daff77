"""Where a denoising step is in its chain, and what depends on it: windows and strengths."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

HALF_PI = math.pi / 2
LAST_STEP: Literal["last_step"] = "last_step"
PUBLISHED_STEPS = 1000  # of the chains that the published strengths are meant for

Share = Annotated[float, Field(ge=0, le=1)]
Place = Share | Literal["last_step"]


class Step(NamedTuple):
    """A denoising step's place in the chain: `number`, from 0, of `steps`, and what noise is left.

    before, after: amplitude of the noise in a sample of variance 1, before and after the step
    """

    number: int
    steps: int
    before: float
    after: float

    @classmethod
    def even(cls, number: int, steps: int) -> Step:
        """A step of a chain whose steps are alike in diffusion time."""
        return cls(number, steps, *(math.cos(HALF_PI * k / steps) for k in (number, number + 1)))

    @property
    def time_before(self) -> float:
        """Diffusion time before the step: 1 is noise, 0 the end (see `progress`)."""
        return math.asin(min(self.before, 1.0)) / HALF_PI

    @property
    def progress(self) -> float:
        """Share of the diffusion time that is done after the step: 0 at noise, 1 at the end.

        The angle between sample and noise, in right angles: the time of a cosine schedule. It says
        how clear an estimate is, whatever the scheduler and however it spaces its steps.
        """
        return math.acos(min(self.after, 1.0)) / HALF_PI

    @property
    def is_last(self) -> bool:
        """Whether the chain ends with this step."""
        return self.number == self.steps - 1


class Window(BaseModel):
    """The part of a chain in which a constraint counts.

    Places are shares of the diffusion time after a step (`Step.progress`), or the last step of the
    scheduler's chain, however many steps that has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Place = Field(0.0, description="first place that counts, or last_step")
    until: Place = Field(1.0, description="first that does not, or last_step; 1: to the end")

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if _order(self.start) >= _order(self.until):
            raise ValueError(f"a constraint cannot start at {self.start} and end at {self.until}")
        return self

    def holds(self, at: Step) -> bool:
        """Whether the constraint counts in this step."""
        begun = at.is_last if self.start == LAST_STEP else at.progress >= self.start
        ended = at.is_last if self.until == LAST_STEP else at.progress >= self.until < 1
        return begun and not ended


def _order(place: float | str) -> float:
    """A number that sorts places: the last step is just before the end."""
    return math.nextafter(1.0, 0.0) if isinstance(place, str) else place


class Strength(Protocol):
    """The share of a Polyak step that is taken, from the samples' energies `b` and the step.

    In data space, for a constraint on horizontal means, a share k moves every level by k times its
    error, as the published gradient steps of size k do; so a strength means the same on every grid
    and through every decoder.
    """

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The share, 0 to 1."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same share everywhere."""

    share: float = 1.0

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The share; neither the energy nor the place matters."""
        return self.share


@dataclass(frozen=True)
class Rising:
    """The schedule of Meunier et al. 2025: kappa(t) = rate base (1 + factor exp(-decay t)).

    t is the diffusion time, 1 at noise and 0 at the end, of a published chain of 1000 steps; the
    defaults are the published ones, with rate 1. A longer step does what the published steps over
    its stretch of time would, each leaving 1 - kappa of an error: 1 - exp(-sum of kappa).
    """

    rate: float = 1.0
    base: float = 0.001
    factor: float = 40.0
    decay: float = 20.0

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The share for the step's stretch of time; the energy does not matter."""
        before, after = at.time_before, 1 - at.progress
        rise = math.exp(-self.decay * after) - math.exp(-self.decay * before)
        total = self.base * (before - after + self.factor / self.decay * rise)
        return 1 - math.exp(-self.rate * PUBLISHED_STEPS * total)


@dataclass
class DualAscent:
    """A multiplier that grows while the constraint is violated (Gorce et al. 2025).

    In each step it rises by rate x the batch's mean energy x the step's stretch of the diffusion
    time, from 0 at the chain's beginning; at most a whole step is taken. The published update
    multiplies the raw gradient, whose size depends on the number of cells and of steps; here it is
    counted in Polyak steps, so the published rates do not carry over. The multiplier is the
    batch's, so samples depend on the batch they are drawn in.
    """

    rate: float
    _multiplier: float = field(default=0.0, init=False)

    def __call__(self, energy: Tensor, at: Step) -> float:
        """The multiplier after this step, at most 1."""
        stretch = at.time_before - (1 - at.progress)
        self._multiplier += self.rate * float(energy.mean()) * stretch
        return min(self._multiplier, 1.0)
