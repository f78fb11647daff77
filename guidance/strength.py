"""How strongly a noisy sample is pulled over the chain: schedules of the published methods.

A strength is the share of a Polyak step that is taken. In data space, for a constraint on
horizontal means, a share k moves every level by k times its error, as the published gradient steps
of size k do; counted so, a strength means the same on every grid and through every decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from guidance.guide import Step

PUBLISHED_STEPS = 1000  # of the chains that the published strengths are meant for


class Strength(Protocol):
    """Share of a step to take, from the samples' energies `b` and the place in the chain."""

    def __call__(self, energy: Tensor, at: Step | None) -> float: ...

    def fresh(self) -> Strength:
        """The strength at the beginning of a chain."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same share everywhere."""

    share: float = 1.0

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        return self.share

    def fresh(self) -> Constant:
        return self


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

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        assert at is not None, "a schedule needs the place in the chain"
        before, after = at.time_before, 1 - at.progress
        rise = math.exp(-self.decay * after) - math.exp(-self.decay * before)
        total = self.base * (before - after + self.factor / self.decay * rise)
        return 1 - math.exp(-self.rate * PUBLISHED_STEPS * total)

    def fresh(self) -> Rising:
        return self


@dataclass
class DualAscent:
    """A multiplier that grows while the constraint is violated (Gorce et al. 2025).

    With each pull it rises by rate x the batch's mean energy x the step's stretch of the diffusion
    time, from 0 at the chain's beginning; at most a whole step is taken. The published update
    multiplies the raw gradient, whose size depends on the number of cells and of steps; here it is
    counted in Polyak steps, so the published rates do not carry over. The multiplier is the
    batch's, so samples depend on the batch they are drawn in.
    """

    rate: float
    _multiplier: float = field(default=0.0, init=False)

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        assert at is not None, "a multiplier needs the place in the chain"
        stretch = at.time_before - (1 - at.progress)
        self._multiplier += self.rate * float(energy.mean()) * stretch
        return min(self._multiplier, 1.0)

    def fresh(self) -> DualAscent:
        return DualAscent(self.rate)
