"""Reads the discrete sampling geometries of CF (chapter 9): points, profiles and sections.

Ragged arrays are expanded first: variables of a profile are repeated for each of its samples.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError, shown
from data.readers.observed import Source, by_dimensions, coordinate, observed_variables, samples_of
from data.readers.samples import Samples, by_position

# Feature types that are read, with the role of the variable that identifies a feature.
_ROLES = {"point": None, "profile": "profile_id", "trajectoryprofile": "trajectory_id"}
_FEATURE = "__feature__"  # number of the feature, on its own dimension


def is_features(dataset: xr.Dataset) -> bool:
    """Whether the file says that it holds discrete sampling geometries."""
    return "featureType" in dataset.attrs


def read_features(source: Source) -> list[Samples]:
    """Samples of all features, for each set of dimensions.

    A profile has a number of its own, as have the points at one position and a whole section.

    Raises UserError for another feature type, for ragged arrays that do not fit, and as
    `data.readers.observed`.
    """
    role = _role(source)
    dataset = _with_numbers(source.dataset, role)
    expanded = Source(_expanded(dataset, source), source.path, source.equation)
    return [
        samples_of(group, expanded, profile=_numbers(next(iter(group.values())), expanded))
        for group in by_dimensions(observed_variables(expanded))
    ]


def _role(source: Source) -> str | None:
    stated = str(source.dataset.attrs["featureType"])
    if stated.lower() not in _ROLES:
        raise UserError(
            f"{source.path} has featureType {shown(stated)}: expected point, profile or "
            "trajectoryProfile; divide the file into profiles or points."
        )
    return _ROLES[stated.lower()]


def _with_numbers(dataset: xr.Dataset, role: str | None) -> xr.Dataset:
    """The dataset with numbers of its features, where a variable identifies them."""
    for variable in dataset.variables.values():
        if role is not None and variable.attrs.get("cf_role") == role and variable.ndim == 1:
            number = xr.Variable(variable.dims, np.arange(variable.size))
            return dataset.assign({_FEATURE: number})
    return dataset


def _expanded(dataset: xr.Dataset, source: Source) -> xr.Dataset:
    """The dataset with everything that belongs to samples on the dimension of the samples."""
    counts = [v for v in dataset.variables.values() if "sample_dimension" in v.attrs]
    indices = [v for v in dataset.variables.values() if "instance_dimension" in v.attrs]
    # A ragged array of profiles may itself be indexed by trajectory: trajectories come first.
    instances = [_indexed(variable, dataset, source) for variable in indices]
    for dimension, number in instances:
        dataset = _repeated(dataset, dimension, number)
    for variable in counts:
        dimension, number = _counted(variable, dataset, source)
        dataset = _repeated(dataset, dimension, number)
    return dataset


def _repeated(dataset: xr.Dataset, dimension: str, number: xr.Variable) -> xr.Dataset:
    """Variables along `dimension` along that of `number`, which indexes it, instead."""
    own = [name for name, v in dataset.variables.items() if dimension in v.dims]
    moved = {
        name: (
            tuple(number.dims[0] if dim == dimension else dim for dim in dataset[name].dims),
            np.take(dataset[name].values, number.values, axis=dataset[name].dims.index(dimension)),
            dataset[name].attrs,
        )
        for name in own
        # A variable of both dimensions, if there is one, does not belong to the ragged array.
        if number.dims[0] not in dataset[name].dims
    }
    return dataset.drop_vars(own).assign(moved)


def _counted(variable: xr.Variable, dataset: xr.Dataset, source: Source) -> tuple[str, xr.Variable]:
    """Of a contiguous ragged array: its dimension of features, and the feature of each sample."""
    samples = str(variable.attrs["sample_dimension"])
    sizes = np.nan_to_num(np.asarray(variable.values, dtype=np.float64)).astype(np.int64)
    length = dataset.sizes.get(samples)
    if variable.ndim != 1 or length is None or (sizes < 0).any() or sizes.sum() != length:
        found = f"{length} samples" if length is not None else "no such dimension"
        raise UserError(
            f"{source.path} counts {int(sizes.sum())} samples along {samples} and has {found}: "
            "expected the sizes of the profiles to add up to the samples; check the file."
        )
    number = np.repeat(np.arange(len(sizes)), sizes)
    return str(variable.dims[0]), xr.Variable((samples,), number)


def _indexed(variable: xr.Variable, dataset: xr.Dataset, source: Source) -> tuple[str, xr.Variable]:
    """Of an indexed ragged array: its dimension of features, and the feature of each sample."""
    instances = str(variable.attrs["instance_dimension"])
    length = dataset.sizes.get(instances, 0)
    index = np.asarray(variable.values, dtype=np.float64)
    inside = (index >= 0) & (index < length)  # a missing number is not
    if variable.ndim != 1 or not inside.all():
        raise UserError(
            f"{source.path} refers {int((~inside).sum())} samples to features that are not among "
            f"the {length} along {instances}: expected numbers from 0; check the file."
        )
    return instances, xr.Variable(variable.dims, index.astype(np.int64))


def _numbers(variable: xr.DataArray, source: Source) -> xr.Variable | None:
    """Numbers of features on some dimensions of a variable; None if all samples are one."""
    known = source.dataset.variables.get(_FEATURE)
    if known is not None and {*known.dims} <= {*variable.dims}:
        return known
    if str(source.dataset.attrs["featureType"]).lower() == "trajectoryprofile":
        return None
    x, y = (coordinate(what, variable, source) for what in ("longitude", "latitude"))
    if x is None or y is None:
        return None  # refused where the positions are read
    longitude, latitude = xr.broadcast(xr.DataArray(x.variable), xr.DataArray(y.variable))
    flat: list[NDArray[np.float64]] = [
        np.asarray(one.values, dtype=np.float64).ravel() for one in (longitude, latitude)
    ]
    return xr.Variable(longitude.dims, by_position(*flat).reshape(longitude.shape))
