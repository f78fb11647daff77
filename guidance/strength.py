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


@dataclass(frozen=True)
class Constant:
    """The same share everywhere."""

    share: float = 1.0

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        return self.share


@dataclass(frozen=True)
class Rising:
    """The schedule of Meunier et al. 2025: kappa(t) = base (1 + factor exp(-decay t / 1000)).

    t = 1000 is noise, 0 the end; the defaults are the published ones, times `rate`. A step of a
    shorter chain does what its many published steps would, each leaving 1 - kappa of an error.
    """

    rate: float = 1.0
    base: float = 0.001
    factor: float = 40.0
    decay: float = 20.0

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        assert at is not None, "a schedule needs the place in the chain"
        left = 1 - (at.number + 1) / at.steps
        kappa = self.rate * self.base * (1 + self.factor * math.exp(-self.decay * left))
        return 1 - (1 - min(kappa, 1.0)) ** (PUBLISHED_STEPS / at.steps)


@dataclass
class DualAscent:
    """A multiplier that grows while the constraint is violated (Gorce et al. 2025).

    After each step it rises by rate x the batch's mean energy x the step's share of the chain, from
    0 at the chain's beginning; at most a whole step is taken. The published update multiplies the
    raw gradient, whose size depends on the number of cells and of steps; here it is counted in
    Polyak steps. The multiplier is the batch's, so samples depend on the batch they are drawn in.
    """

    rate: float
    _multiplier: float = field(default=0.0, init=False)
    _last: int = field(default=-1, init=False)

    def __call__(self, energy: Tensor, at: Step | None) -> float:
        assert at is not None, "a multiplier needs the place in the chain"
        if at.number < self._last:
            self._multiplier = 0.0
        self._last = at.number
        self._multiplier += self.rate * float(energy.mean()) / at.steps
        return min(self._multiplier, 1.0)
