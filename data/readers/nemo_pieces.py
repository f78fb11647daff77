"""NEMO's files in pieces, one per processor, joined as they are read.

Global attributes of each piece give its part of the domain and the width of its halo
(`DOMAIN_position_first`, `DOMAIN_halo_size_start` etc.; x first, counted from 1), as NEMO's own
`rebuild_nemo` reads them. Processors with only land write no piece and are not counted in
`DOMAIN_number_total`; their cells become NaN, or 0 in integer variables.

Why not xnemogcm (0.6.0, tried): it joins pieces of mesh masks, not of output, fails where halos
overlap, and treats a missing piece as land.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.readers.cf import open_dataset
from data.readers.lazy import lazy_variable
from data.readers.positions import filled
from data.readers.stores import is_zarr
from data.remote import located

_NUMBERED = re.compile(r"_\d{4,9}$")
_PLACE = ("size_global", "position_first", "position_last", "halo_size_start", "halo_size_end")
_Pair = tuple[int, int]


def by_domain(paths: Sequence[Path]) -> list[list[Path]]:
    """The paths in their order, pieces of one domain together and whole files alone."""
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        groups.setdefault(whole_name(path), []).append(path)
    return list(groups.values())


def whole_name(path: Path) -> Path:
    """The name of the whole file that a piece belongs to; a whole file keeps its own name."""
    if not _NUMBERED.search(path.stem) or not _is_piece(path):
        return path
    return path.with_name(_NUMBERED.sub("", path.stem) + path.suffix)


def open_pieces(paths: Sequence[Path]) -> xr.Dataset:
    """One dataset of a whole file, or of all pieces of a domain, read when indexed.

    Raises UserError for missing pieces and for pieces that do not state their part of the domain.
    """
    if len(paths) == 1 and not _is_piece(paths[0]):
        return open_dataset(paths[0])
    pieces = [_Piece.open(path) for path in paths]
    _check_complete(pieces)
    first = pieces[0].dataset
    joined = {name: _joined(pieces, name) for name in first.variables if _cut(first, name)}
    whole = first.drop_vars(joined).drop_dims(
        [dim for dim in first.dims if _axis(dim) is not None], errors="ignore"
    )
    whole = _with_positions(whole.assign(joined))

    def close() -> None:
        for piece in pieces:
            piece.dataset.close()

    whole.set_close(close)
    return whole


@dataclass(frozen=True)
class _Piece:
    """One processor's file. Pairs are (x, y).

    start, stop: its part of the domain without halo, counted from 0
    halo: width of the halo before `start` [cells]
    """

    path: Path
    dataset: xr.Dataset
    number: int
    total: int
    domain: _Pair
    start: _Pair
    stop: _Pair
    halo: _Pair

    @classmethod
    def open(cls, path: Path) -> _Piece:
        dataset = open_dataset(path)
        place = {name: _pair(dataset, name, path) for name in _PLACE}
        first, last = place["position_first"], place["position_last"]
        before, after = place["halo_size_start"], place["halo_size_end"]
        _check_size(dataset, path, (last[0] - first[0] + 1, last[1] - first[1] + 1))
        return cls(
            path=path,
            dataset=dataset,
            number=int(dataset.attrs["DOMAIN_number"]),
            total=int(dataset.attrs["DOMAIN_number_total"]),
            domain=place["size_global"],
            start=(first[0] - 1 + before[0], first[1] - 1 + before[1]),
            stop=(last[0] - after[0], last[1] - after[1]),
            halo=before,
        )

    @cached_property
    def target(self) -> tuple[slice, slice]:
        """Columns and rows of the domain that the piece fills."""
        x, y = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return x, y

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Columns and rows of the piece without its halo."""
        x, y = (
            slice(halo, halo + b - a)
            for halo, a, b in zip(self.halo, self.start, self.stop, strict=True)
        )
        return x, y


def _is_piece(path: Path) -> bool:
    """Whether the file is a part of a domain, by its attributes and its size.

    Tools that join pieces leave the attributes of the first, so a file of the whole size is whole.
    """
    if is_zarr(path):
        return False
    try:
        with netCDF4.Dataset(located(path)) as file:
            total = int(getattr(file, "DOMAIN_number_total", 1))
            domain = np.ravel(getattr(file, "DOMAIN_size_global", ())).tolist()
            sizes = {_axis(name): len(dim) for name, dim in file.dimensions.items()}
            return total > 1 and [sizes.get(0), sizes.get(1)] != domain
    except OSError:
        return False  # opening it raises the error


def _pair(dataset: xr.Dataset, name: str, path: Path) -> _Pair:
    numbers = np.atleast_1d(dataset.attrs.get(f"DOMAIN_{name}", []))
    if numbers.size != 2 or "DOMAIN_number" not in dataset.attrs:
        raise UserError(
            f"{path} is a piece of a domain without DOMAIN_{name} or DOMAIN_number, so its "
            "position and halo are unknown: join the pieces with rebuild_nemo first."
        )
    return int(numbers[0]), int(numbers[1])


def _check_size(dataset: xr.Dataset, path: Path, expected: _Pair) -> None:
    sizes = {_axis(dim): size for dim, size in dataset.sizes.items()}
    found = (sizes.get(0), sizes.get(1))
    if found != expected:
        raise UserError(
            f"{path} has {found[0]} columns and {found[1]} rows, but by its DOMAIN attributes "
            f"{expected[0]} and {expected[1]}, so its halo is unknown: join the pieces with "
            "rebuild_nemo first."
        )


def _check_complete(pieces: list[_Piece]) -> None:
    first = pieces[0]
    for piece in pieces:
        if (piece.total, piece.domain) != (first.total, first.domain):
            raise UserError(
                f"{piece.path} is one of {piece.total} pieces of {piece.domain} columns and rows, "
                f"{first.path} of {first.total} of {first.domain}: give the pieces of one run."
            )
        lengths = {dim: size for dim, size in piece.dataset.sizes.items() if _axis(dim) is None}
        if lengths != {dim: first.dataset.sizes.get(dim) for dim in lengths}:
            raise UserError(
                f"{piece.path} has {_listed(piece)}, {first.path} {_listed(first)}: one of them "
                "was not written to its end; give pieces of the same length."
            )
    missing = sorted(set(range(first.total)) - {piece.number for piece in pieces})
    if missing:
        some = ", ".join(map(str, missing[:8])) + (" and more" if len(missing) > 8 else "")
        raise UserError(
            f"{whole_name(first.path)} is in {first.total} pieces, of which {len(missing)} are "
            f"missing (number {some}): give all of them."
        )


def _listed(piece: _Piece) -> str:
    sizes = piece.dataset.sizes.items()
    return ", ".join(f"{size} {dim}" for dim, size in sizes if _axis(dim) is None)


def _axis(dimension: Hashable) -> int | None:
    """0 for x, 1 for y, by NEMO's and XIOS' names (`x`, `y_grid_T`); None for other dimensions."""
    return {"x": 0, "y": 1}.get(str(dimension).split("_")[0])


def _cut(dataset: xr.Dataset, name: Hashable) -> bool:
    """Whether the variable is divided among the pieces."""
    return any(_axis(dim) is not None for dim in dataset.variables[name].dims)


def _joined(pieces: list[_Piece], name: Hashable) -> xr.Variable:
    """The variable over the whole domain, read when indexed if its first axis is not divided."""
    variable = pieces[0].dataset.variables[name]
    dims, attributes = tuple(map(str, variable.dims)), dict(variable.attrs)
    if _axis(dims[0]) is not None:
        return xr.Variable(dims, _assembled(pieces, name), attributes)
    return lazy_variable(
        dims,
        lambda records: _assembled(pieces, name, records),
        shape=_whole_shape(pieces[0], variable),
        dtype=variable.dtype,
        attributes=attributes,
    )


def _assembled(pieces: list[_Piece], name: Hashable, records: range | None = None) -> NDArray[Any]:
    """The variable's values at `records` of its first axis; all if None."""
    variable = pieces[0].dataset.variables[name]
    axes = [_axis(dim) for dim in variable.dims]
    size = list(_whole_shape(pieces[0], variable))
    if records is not None:
        size[0] = len(records)
    whole = np.full(size, np.nan if variable.dtype.kind == "f" else 0, variable.dtype)
    for piece in pieces:
        inner = [slice(None) if axis is None else piece.inner[axis] for axis in axes]
        target = [slice(None) if axis is None else piece.target[axis] for axis in axes]
        if records is not None:
            inner[0] = slice(records.start, records.stop, records.step)
        whole[tuple(target)] = piece.dataset.variables[name][tuple(inner)].values
    return whole


def _whole_shape(piece: _Piece, variable: xr.Variable) -> tuple[int, ...]:
    return tuple(
        size if (axis := _axis(dim)) is None else piece.domain[axis]
        for dim, size in zip(variable.dims, variable.shape, strict=True)
    )


def _with_positions(dataset: xr.Dataset) -> xr.Dataset:
    """Longitude and latitude filled in where land processors wrote no piece.

    A longitude is taken from the column's other rows, a latitude from the row's other columns.
    """
    for name, axis in (("nav_lon", 0), ("nav_lat", 1)):
        if name not in dataset.variables:
            continue
        values = dataset.variables[name].values
        if np.isnan(values).any() and values.ndim == 2:
            dataset[name] = dataset[name].copy(data=filled(values, axis))
    return dataset
