"""What a change of conditions does to the ocean: differences of paired states.

The states of a pair share their noise, so that internal variability mostly cancels in their
difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from configs.run import Run
from configs.stages import sample
from data.archive.format import field_attributes
from data.archive.reader import StateArchive
from data.atomic import atomic_write
from data.batches import read_in_batches
from data.dataset import CONVENTIONS, with_grid
from data.errors import UserError
from data.grid import OceanGrid
from data.parameters import unit_suffix
from data.salinity import salinity_of
from evaluation.canvas import (
    Scale,
    draw_map,
    draw_section,
    is_tall,
    new_figure,
    save_figure,
    styled,
)

FIELDS = {"thetao": "temperature", "so": "salinity"}
SURFACE, THERMOCLINE = 0.0, 500.0  # m, depths of the maps
BATCH = 16

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """Mean and standard deviation of the differences of pairs, `z y x` by field, NaN on land.

    Both are those of states about the expected means. How well these are known is not in them.
    """

    mean: dict[str, FloatArray]
    deviation: dict[str, FloatArray]
    pairs: int


def sensitivity(
    run: Run,
    *,
    at: Sequence[str],
    to: Sequence[str],
    output: Path,
    extrapolate: bool = False,
) -> list[Path]:
    """Draw pairs of states at the conditions `at`, and with those of `to` changed.

    Their means are the expected ones.
    Writes both archives, `difference.nc` and `difference.png` into the folder `output`; returns
    the paths of the last two. Raises `UserError` without `to`, and as `configs.stages.sample`.
    """
    if not to or any("=" not in text for text in [*at, *to]):
        raise UserError("sensitivity compares two points: give --at and --to NAME=VALUE")
    paths = [output / f"{name}.zarr" for name in ("before", "after")]
    changed = {text.partition("=")[0].strip() for text in to}
    kept = [text for text in at if text.partition("=")[0].strip() not in changed]
    for path, point in zip(paths, (at, [*kept, *to]), strict=True):
        sample(run, output=path, at=point, extrapolate=extrapolate, certain=True, overwrite=True)
    before, after = (StateArchive.open(path) for path in paths)
    result = differences(before, after)
    dataset = output / "difference.nc"
    start, end = (_with_units(texts, before) for texts in (at, to))
    with atomic_write(dataset) as partial:
        _dataset(result, before, change=f"{start} to {end}").to_netcdf(partial)
    units = {"thetao": "K", "so": salinity_of(before.equation_of_state).shown}
    figure = difference_figure(result, before.grid, units=units, title=f"{start} → {end}".lstrip())
    return [dataset, save_figure(figure, output / "difference.png")]


def _with_units(texts: Sequence[str], archive: StateArchive) -> str:
    """Points such as "warming=1.5 K"."""
    names = [text.partition("=")[0].strip() for text in texts]
    named = zip(texts, names, strict=True)
    return " ".join(f"{text}{unit_suffix(name, archive.units)}" for text, name in named)


def differences(before: StateArchive, after: StateArchive) -> Sensitivity:
    """Mean and standard deviation of the differences, state by state in one pass."""
    totals = {name: torch.zeros(2, *before.grid.shape, dtype=torch.float64) for name in FIELDS}
    pairs = len(before)
    batches = (read_in_batches(one, range(pairs), at_once=BATCH) for one in (before, after))
    for first, second in zip(*batches, strict=True):
        for name, field in FIELDS.items():
            change = getattr(second, field).double() - getattr(first, field).double()
            totals[name] += torch.stack([change.sum(dim=0), change.square().sum(dim=0)])
    mean = {name: total[0] / pairs for name, total in totals.items()}
    spread = {
        name: (total[1] - pairs * mean[name].square()).clamp(min=0).div(max(pairs - 1, 1)).sqrt()
        for name, total in totals.items()
    }
    return Sensitivity(_on_wet(mean, before.grid), _on_wet(spread, before.grid), pairs)


@styled
def difference_figure(
    result: Sensitivity, grid: OceanGrid, *, units: dict[str, str], title: str
) -> Figure:
    """For T and S: maps at the surface and in the thermocline, and the zonal mean.

    units: of the differences, by field
    """
    level = int(np.abs(grid.depth - THERMOCLINE).argmin())
    figure, axes = new_figure(2, 3, panel=(2.6 if is_tall(grid) else 4.0, 3.2))
    for row, (name, field) in zip(axes, FIELDS.items(), strict=True):
        change = result.mean[name]
        section = _zonal_mean(change, grid)
        scale = Scale.symmetric([change[0], change[level], section])
        draw_map(row[0], grid, change[0], scale)
        draw_map(row[1], grid, change[level], scale)
        mesh = draw_section(row[2], grid, section, scale)
        row[0].set_title(f"{field}, surface")
        row[1].set_title(f"{field}, {grid.depth[level]:.0f} m")
        row[2].set_title(f"{field}, zonal mean")
        figure.colorbar(mesh, ax=list(row), label=f"difference [{units[name]}]", extend="both")
    figure.suptitle(f"{title}: mean of {result.pairs} pairs")
    return figure


def _on_wet(fields: dict[str, Tensor], grid: OceanGrid) -> dict[str, FloatArray]:
    return {name: np.where(grid.wet, values.numpy(), np.nan) for name, values in fields.items()}


def _zonal_mean(field: FloatArray, grid: OceanGrid) -> FloatArray:
    """Mean `z y` over wet cells of each row, NaN where there are none."""
    weight = grid.volume
    total = weight.sum(axis=2)
    sums = (np.nan_to_num(field) * weight).sum(axis=2)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)


def _dataset(result: Sensitivity, archive: StateArchive, *, change: str) -> xr.Dataset:
    metadata = field_attributes(archive.equation_of_state)
    metadata["thetao"] |= {"units": "K"}  # of differences
    variables = {}
    for name in FIELDS:
        kind, units = metadata[name]["long_name"], metadata[name]["units"]
        for suffix, values, text in (
            ("difference", result.mean[name], "mean difference of"),
            ("deviation", result.deviation[name], "standard deviation of the difference of"),
        ):
            attributes = {"long_name": f"{text} {kind}", "units": units}
            variables[f"{name}_{suffix}"] = (("depth", "y", "x"), values, attributes)
    return with_grid(xr.Dataset(variables), archive.grid).assign_attrs(
        Conventions=CONVENTIONS,
        title="effect of a change of conditions, from paired generated states",
        change=change,
        pairs=result.pairs,
    )
