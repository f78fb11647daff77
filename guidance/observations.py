"""Observed temperatures and salinities as a constraint: points, profiles, sections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.terms import half_squares


@dataclass(frozen=True)
class Points:
    """Observations of one field: `n` values at cells of the grid.

    cells: level, row and column of each value, `n 3`
    values: `n`, in the field's units
    std: `n` or a number, combined observation and representation error, in the same units

    Profiles and sections are sets of points.
    """

    cells: Tensor
    values: Tensor
    std: Tensor | float


class Observations:
    """Half the mean squared distance of a state to observations, in standard errors.

    Energy of sample i: 1 / (2 N) sum_n ((value_n - field[cell_n]) / std_n)^2 over all N points of
    temperature and salinity; 1/2 if the misfit equals the errors.

    Raises UserError for points on land or outside the grid, and for errors that are not positive.
    """

    def __init__(
        self,
        grid: OceanGrid,
        *,
        temperature: Points | None = None,
        salinity: Points | None = None,
    ) -> None:
        self._points = [temperature, salinity]
        present = [points for points in self._points if points is not None]
        count = sum(len(points.values) for points in present)
        if not count:
            raise UserError("There are no observations; give points of temperature or salinity.")
        for points in present:
            _check(points, grid)
        self._count = count

    def __call__(self, state: State) -> Tensor:
        """The energy of each sample, `b`."""
        distances, weights = [], []
        for field, points in zip((state.temperature, state.salinity), self._points, strict=True):
            if points is None:
                continue
            level, row, column = points.cells.to(field.device).unbind(1)
            distances.append(field[:, level, row, column] - points.values.to(field))
            precision = torch.as_tensor(points.std).to(field) ** -2
            weights.append(precision.expand(len(points.values)) / self._count)
        return half_squares(distances, weights)


def _check(points: Points, grid: OceanGrid) -> None:
    if points.cells.shape != (len(points.values), 3):
        raise UserError(
            f"Observations have {len(points.values)} values and cells of shape "
            f"{tuple(points.cells.shape)}; give a level, a row and a column for each value."
        )
    if points.cells.is_floating_point() or not points.values.isfinite().all():
        raise UserError(
            "Observations need whole numbers for cells and finite values; leave out missing ones."
        )
    std = torch.as_tensor(points.std)
    if std.numel() not in (1, len(points.values)) or not (std > 0).all():
        raise UserError(
            "Observations need one error above 0, or one for each value; correct their standard "
            "deviations."
        )
    inside = ((points.cells >= 0) & (points.cells < torch.tensor(grid.shape))).all(1)
    wet = inside.clone()
    wet[inside] = wet_tensor(grid)[tuple(points.cells[inside].unbind(1))]
    if not wet.all():
        first = tuple(points.cells[~wet][0].tolist())
        raise UserError(
            f"{int((~wet).sum())} observations lie on land or outside the grid, the first at "
            f"level, row and column {first}; leave them out."
        )
