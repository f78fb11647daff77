"""The interface of constraints: energies, and statistics of the ocean.

To add a constraint, write a `Term`, a function that builds it, and its options in
`guidance.term_settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid
from data.state import State
from guidance.climatology import Climatology
from guidance.seawater import EquationOfState


class Term(Protocol):
    """A constraint's energy: `State` of batch b to `b`, 0 if the constraint holds, else above."""

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        ...


@runtime_checkable
class LocalTerm(Term, Protocol):
    """A term whose energy is a sum over columns, so that it can be computed in strips."""

    def part(self, rows: slice) -> Term:
        """The contribution of some rows to the energy: `State` of these rows to `b`."""
        ...


class Scales(NamedTuple):
    """Standard deviation of the anomalies of each level, the scale of errors.

    temperature: `z` [K]; salinity: `z` [1e-3 or g/kg]. Levels with 0, such as those without wet
    cells, are excluded.
    """

    temperature: Tensor
    salinity: Tensor

    @classmethod
    def from_channels(cls, std: Tensor, *, levels: int) -> Scales:
        """From `c` in the order of `State.to_channels`, without a sea level channel."""
        return cls(std[:levels], std[levels : 2 * levels])


@dataclass(frozen=True)
class Ocean:
    """The ocean of the sampled states, and statistics of the training states.

    scales: standard deviations of anomalies
    mean: the mean state, batch 1
    climatology: more statistics, loaded only if a constraint needs them
    """

    grid: OceanGrid
    eos: EquationOfState
    scales: Scales
    mean: State
    climatology: Callable[[], Climatology]


def half_squares(distances: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Half the weighted sum of squares of all distances `b ...`, per sample `b`."""
    squares = [
        (weight.to(distance) * distance**2).flatten(1).sum(1)
        for distance, weight in zip(distances, weights, strict=True)
    ]
    return 0.5 * torch.stack(squares).sum(0)


def inverse_square(scale: Tensor) -> Tensor:
    """1 / scale^2 in float64, 0 where the scale is 0."""
    scale = scale.detach().cpu().double()
    return torch.where(scale > 0, 1 / scale.clamp(min=1e-30) ** 2, 0.0)


def level_weights(counted: Tensor, scales: Sequence[Tensor]) -> list[Tensor]:
    """Weight of a squared distance at each level, in float64: each `z`, as the scales.

    counted: `z y x`, the cells or interfaces over which squared distances are averaged
    """
    count = torch.count_nonzero(counted)  # a sum would convert every cell to int64 first
    return [inverse_square(scale) / count for scale in scales]


def check_levels(grid: OceanGrid, *profiles: Tensor, below: int = 0) -> None:
    """Raises UserError unless each profile has a value for each level, or `below` fewer."""
    levels = grid.shape[0] - below
    for profile in profiles:
        if profile.shape != (levels,):
            places = "interface" if below else "level"
            raise UserError(
                f"A constraint has values of shape {tuple(profile.shape)}, but the grid has "
                f"{levels} {places}s; give one value per {places}, surface first."
            )
