"""Reads CF output of ocean models (NetCDF or zarr), one file at a time, sample by sample.

Signs, units and masks are settled here. An ambiguous file is refused with a sentence that names the
setting that decides.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.geometry import cell_area, layer_thickness
from data.grid import OceanGrid
from data.kinds import check_kind, of_right_kind
from data.plausibility import check_grid
from data.readers.base import ModelOutput
from data.readers.chunks import in_chunks
from data.readers.clock import sample_times
from data.readers.conversion import celsius_offset, field_factor, horizontal_positions
from data.readers.dimensions import Axes, constant
from data.readers.gaps import with_positions
from data.readers.groups import check_groups
from data.readers.land import check_mask, wet_by_values
from data.readers.levels import metres_of_depth, refuse_other_levels
from data.readers.merging import grouped_by_output, merged
from data.readers.raw import decoded
from data.readers.references import REFERENCES
from data.readers.repeats import check_repeats, without_columns
from data.readers.settings import CfReader, Conventions
from data.readers.stores import is_zarr, store_of
from data.readers.variables import find_variables
from data.remote import copy_of, located, network_errors
from data.units import AREAS, LENGTHS, factor
from data.urls import RemotePath

_TRACERS = ("temperature", "salinity")
_VOLUME = ("z", "y", "x")


def group(reader: CfReader, paths: Sequence[Path]) -> list[list[Path]]:
    """Files that hold different variables of one output together, others alone."""
    return grouped_by_output([[path] for path in paths], open_together, reader.variables)


def open_output(reader: CfReader, *paths: Path) -> ModelOutput:
    """Open one file or zarr store, or the files that hold one output by variable.

    Raises UserError for a file that cannot be read, lacks a variable (the message lists those
    found), or is ambiguous about units, signs or land.
    """
    return from_dataset(open_together(paths), path=paths[0], conventions=reader)


def open_together(paths: Sequence[Path]) -> xr.Dataset:
    """The files of one output as one dataset. Raises UserError as `open_dataset` and `merged`."""
    return merged([open_dataset(path) for path in paths], paths)


def open_dataset(path: Path) -> xr.Dataset:
    """Open lazily, times undecoded.

    Raises UserError if `path` is missing, unreadable, or has fields in groups, and for a URL if
    its server cannot be reached or refuses.
    """
    try:
        with network_errors(path):
            check_groups(path)
            if is_zarr(path):
                return decoded(_open_zarr(path), zarr=True)
            return decoded(xr.open_dataset(located(path), decode_cf=False), zarr=False)
    except (OSError, RuntimeError, ValueError, KeyError, BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "it is in neither format" if "did not find a match" in reason else reason
        raise UserError(
            f"{path} cannot be read ({reason}): expected NetCDF or zarr; {_advice(path)}."
        ) from error


def _open_zarr(path: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        if path.suffix in REFERENCES:  # are in one place anyway
            warnings.filterwarnings("ignore", ".*consolidated metadata", RuntimeWarning)
        dataset = xr.open_zarr(store_of(path), decode_cf=False, chunks=None)
    if isinstance(path, RemotePath) and not dataset.variables:
        raise UserError(
            f"{path} lists no variables: expected consolidated metadata, which a store needs where "
            "the server lists no files; write them with zarr.consolidate_metadata."
        )
    return dataset


def _advice(path: Path) -> str:
    if isinstance(path, RemotePath) and (copy := copy_of(path)).exists():
        return f"check the URL, and remove its copy {copy} to have it copied again"
    return "check the path and the file"


def from_dataset(dataset: xr.Dataset, *, path: Path, conventions: Conventions) -> ModelOutput:
    """As `CfReader.open`, for an opened dataset."""
    names = conventions.variables
    refuse_other_levels(dataset, path)
    suitable = of_right_kind(dataset, conventions.equation, named=names.model_dump().values())
    known = find_variables(suitable, path, names)
    found = known.variables
    _check_kinds(found, path, conventions)
    if conventions.drop_columns:
        found = without_columns(found, known.axes.x, conventions.drop_columns, path)
    metres = metres_of_depth(found["depth"], dataset, path)
    depth, order = _depth(found["depth"], path, conventions)
    temperature, salinity = (_over_time(found[name], known.axes) for name in _TRACERS)
    _count_wet_levels(found, order)
    wet, dry = _wet_mask(found, temperature, salinity, path)
    offset = celsius_offset(temperature, wet, path, conventions.temperature_units)
    grid = _grid(dataset, found, metres * depth, order, wet[order], path, conventions)
    check_grid(grid, source=path)
    check_repeats(temperature, salinity, grid, order, path)
    sea_level = found.get("sea_level")
    sea_level = None if sea_level is None else _over_time(sea_level, known.axes)
    _check_same_times(temperature, [salinity, sea_level], path)
    years, clock = sample_times(
        dataset, temperature, path, conventions.calendar, conventions.time_units
    )
    zarr = is_zarr(path)
    return ModelOutput(
        path=path,
        grid=grid,
        years=years,
        clock=clock,
        temperature=in_chunks(temperature, zarr=zarr),
        salinity=in_chunks(salinity, zarr=zarr),
        sea_level=None if sea_level is None else in_chunks(sea_level, zarr=zarr),
        dataset=dataset,
        order=order,
        offset=offset,
        salinity_factor=field_factor("salinity", salinity, path),
        sea_level_factor=1.0 if sea_level is None else field_factor("sea level", sea_level, path),
        dry=None if dry is None else dry[order],
    )


def _check_kinds(found: dict[str, xr.DataArray], path: Path, conventions: Conventions) -> None:
    if conventions.equation is not None:
        for name in _TRACERS:
            field = found[name]
            check_kind(name, field.name, field.attrs, equation=conventions.equation, path=path)


def _over_time(field: xr.DataArray, axes: Axes) -> xr.DataArray:
    """A single state gets a time axis."""
    return field if axes.time in field.dims else field.expand_dims(axes.time or "time")


def _check_same_times(
    temperature: xr.DataArray, others: Sequence[xr.DataArray | None], path: Path
) -> None:
    for field in others:
        if field is not None and len(field) != len(temperature):
            raise UserError(
                f"{field.name} of {path} has {len(field)} times, {temperature.name} "
                f"{len(temperature)}: expected them at the same times; name another variable."
            )


def _depth(
    variable: xr.DataArray, path: Path, conventions: Conventions
) -> tuple[NDArray[np.float64], slice]:
    """Depth of cell centres, positive down and surface first, and the slice that orders it."""
    values = np.asarray(variable.squeeze().values, dtype=np.float64)
    if values.ndim != 1:
        raise UserError(f"depth of {path} has shape {values.shape}: expected one value a level.")
    if conventions.depth_positive == "up":
        values = -values
    elif variable.attrs.get("positive", "down") == "up" or (values < 0).any():
        raise UserError(
            f"depth of {path} is positive upward ({values[0]:g} to {values[-1]:g} m): expected "
            "positive down; set data.ingest.depth_positive: up to change the sign."
        )
    # A monotonic order is unambiguous: the surface goes first.
    order = slice(None, None, -1) if values[0] > values[-1] else slice(None)
    values = values[order]
    if (values < 0).any() or not (np.diff(values) > 0).all():
        raise UserError(
            f"depth of {path} ({values[0]:g} to {values[-1]:g} m) is not positive down and "
            "steadily increasing: check the depth variable and data.ingest.depth_positive."
        )
    return values, order


def _count_wet_levels(found: dict[str, xr.DataArray], order: slice) -> None:
    """Put a mask into `found` where the file gives only the number of wet levels of a column."""
    count = found.get("wet_levels")
    if count is None or ("mask" in found and found["mask"].ndim == len(_VOLUME)):
        return
    depth = found["depth"]
    number = xr.DataArray(np.arange(depth.size)[order], dims=depth.dims)
    found["mask"] = (number < xr.DataArray(count.variable)).rename(str(count.name))


def _wet_mask(
    found: dict[str, xr.DataArray], temperature: xr.DataArray, salinity: xr.DataArray, path: Path
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """`z y x` in the file's order of levels, and the cells that only their values call land.

    A mask of columns is combined with the values. With a mask of cells the second is None.
    """
    mask = np.asarray(found["mask"].values) > 0.5 if "mask" in found else np.array(True)
    first = temperature[0].values, salinity[0].values
    if mask.ndim == len(_VOLUME):
        check_mask(mask, *first, name=str(found["mask"].name), path=path)
        return mask, None
    by_values = wet_by_values(*first, path)
    return mask & by_values, mask & ~by_values


def _grid(
    dataset: xr.Dataset,
    found: dict[str, xr.DataArray],
    depth: NDArray[np.float64],
    order: slice,
    wet: NDArray[np.bool_],
    path: Path,
    conventions: Conventions,
) -> OceanGrid:
    pair = found["longitude"], found["latitude"]
    longitude, latitude, units = horizontal_positions(*pair, dataset, path)
    if longitude.ndim == 2 and units == "degrees":
        land = np.logical_not(np.any(wet, axis=0))
        longitude, latitude = with_positions(longitude, latitude, land)
    periodic = conventions.periodic_x
    if "periodic_x" not in conventions.model_fields_set:  # an archive of states knows it
        periodic = bool(dataset.attrs.get("periodic_x", False))
    if periodic and longitude.ndim == 2:
        _check_x_runs_east(longitude, latitude, units, path)
    if "area" in found:
        square_metres = factor(
            found["area"].attrs, AREAS, quantity="cell area", path=path, expected="m2"
        )
        area = np.asarray(found["area"].values, dtype=np.float64)
        area = square_metres * np.nan_to_num(area, nan=0.0)
    else:
        _check_widths(wet.shape[1:], path)
        area = cell_area(longitude, latitude, units=units)
    if "thickness" in found:
        thickness = _thickness(found["thickness"], path)[order]
    else:
        thickness = layer_thickness(depth, bounds=_bounds(dataset, found["depth"], order, path))
    if thickness.ndim == 1:
        thickness = thickness[:, None, None]
    return OceanGrid(
        depth=depth,
        thickness=np.where(wet, thickness, 0.0),
        area=np.broadcast_to(area, wet.shape[1:]).copy(),
        wet=wet,
        longitude=longitude,
        latitude=latitude,
        periodic_x=periodic,
        horizontal_units=units,
    )


def _check_widths(shape: tuple[int, ...], path: Path) -> None:
    if min(shape) < 2:
        rows, columns = shape
        raise UserError(
            f"{path} has {rows} rows and {columns} columns and no cell areas: the width of a "
            "single row or column is unknown; give areas as data.ingest.variables.area, or more "
            "of the domain."
        )


def _check_x_runs_east(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], units: str, path: Path
) -> None:
    """Refuse a periodic x axis along which longitude does not run."""

    def step(axis: int) -> float:
        steps = np.diff(longitude, axis=axis)
        steps = steps if units == "km" else (steps + 180) % 360 - 180
        return float(np.nanmedian(np.abs(steps))) if steps.size else 0.0

    if step(1) < step(0):
        raise UserError(
            f"longitude of {path} runs along y and not along x, the axis that "
            "data.ingest.periodic_x joins: expected the dimensions y, x in this order; transpose "
            "the file."
        )


def _thickness(variable: xr.DataArray, path: Path) -> NDArray[np.float64]:
    """`z y x` or `z` [m]."""
    metres = factor(variable.attrs, LENGTHS, quantity="thickness", path=path, expected="m")
    return metres * np.asarray(variable.values, dtype=np.float64)


def _bounds(
    dataset: xr.Dataset, depth: xr.DataArray, order: slice, path: Path
) -> NDArray[np.float64] | None:
    """Upper and lower face of each level [m], `z 2`, also where they are repeated over time."""
    name = depth.attrs.get("bounds")
    if name is None or name not in dataset.variables:
        return None
    bounds = dataset[name]
    if depth.dims[0] not in bounds.dims or bounds.sizes[bounds.dims[-1]] != 2:
        raise UserError(
            f"{name} of {path} has dimensions {', '.join(map(str, bounds.dims))}: expected two "
            f"bounds for each {depth.dims[0]}; correct the file or remove the attribute bounds."
        )
    for dim in bounds.dims[:-1]:
        if dim != depth.dims[0]:
            bounds = constant(bounds, str(dim), path)
    units = {**depth.attrs, **dataset[name].attrs}
    metres = factor(units, LENGTHS, quantity=str(name), path=path, expected="m")
    return metres * np.asarray(bounds.values, dtype=np.float64)[order]
