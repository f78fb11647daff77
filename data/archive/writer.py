"""Write a state archive, state by state and atomically."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from data.archive.format import (
    FAST,
    FIELD_DIMENSIONS,
    HORIZONTAL_NAMES,
    LEVEL_STEP_SALINITY,
    LEVEL_STEP_TEMPERATURE,
    SAMPLE_ATTRIBUTES,
    SPLITS,
    UNUSED,
    ZIP_SUFFIX,
    ContentHash,
    compressors,
    consolidate,
    field_attributes,
    grid_variables,
)
from data.archive.identity import CONTENT, DESCRIPTION, description_checksum
from data.atomic import put_in_place, remove_leftovers, temporary_name, write_errors
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.parameters import parameter_attributes
from data.plausibility import Door, check_grid, check_state
from data.state import State


class ArchiveWriter:
    """Context manager that writes states to `path`, a directory store or a `.zarr.zip`.

    The archive has a temporary name beside `path` until a clean exit; after an error nothing is
    left. `rounding` rounds T to 1/512 K and S to 1/4096, which halves the size; `compression` is
    the level, 1 to 9; `units` are those of the parameters by name. What is written can be opened:
    UserError is raised if `path` exists, if writing fails, for a grid that no ocean has, and for
    states that do not fit the grid or are not sea water in every wet cell.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        grid: OceanGrid,
        equation_of_state: str,
        salinity_units: str = "1e-3",
        sea_level: bool = False,
        units: Mapping[str, str] | None = None,
        attributes: Mapping[str, object] | None = None,
        rounding: bool = False,
        compression: int = FAST,
    ) -> None:
        self.path = Path(path)
        self.grid = grid
        self.sea_level = sea_level
        self.rounding = rounding
        self.units = dict(units or {})
        self._compressors = compressors(compression)
        self._wet = wet_tensor(grid)
        self._fields = field_attributes(equation_of_state, salinity_units)
        self._attributes: dict[str, Any] = {
            "Conventions": "CF-1.11",
            "equation_of_state": equation_of_state,
            "periodic_x": grid.periodic_x,
            "creation_date": datetime.now(UTC).isoformat(timespec="seconds"),
            **(attributes or {}),
        }
        self._partial = temporary_name(self.path)
        self._samples: dict[str, list[float]] = {name: [] for name in SAMPLE_ATTRIBUTES}
        self._parameters: dict[str, list[float]] = {}
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._hash = ContentHash()

    def __enter__(self) -> Self:
        if self.path.exists():
            raise UserError(f"{self.path} exists already: remove it or choose another name.")
        check_grid(self.grid, source=self.path)
        _remove(self._partial)
        try:
            with write_errors(self.path):
                self._partial.mkdir(parents=True)
                remove_leftovers(self.path)
                self._group = zarr.create_group(zarr.storage.LocalStore(self._partial))
                self._create_fields()
        except BaseException:
            _remove(self._partial)  # __exit__ is not called after an error here
            raise
        return self

    def append(
        self,
        state: State,
        *,
        member: int,
        time: float,
        split: int,
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        """Add a batch of states (degC, 1e-3 or g/kg, m) that share member, time [years] and split.

        Raises UserError for wet cells that are not sea water, a wrong shape, an unknown part of the
        data, or parameters that differ in name from those of earlier states.
        """
        given = dict(parameters or {})
        first = len(self._samples["member"])
        self._check(state, given, first)
        if split not in {UNUSED, *SPLITS.values()}:
            raise UserError(f"state {first} has split {split}: expected -1, 0, 1, 2 or 3.")
        door = Door(self.grid, self.path, "correct the wet mask or the state")
        check_state(state, door=door, numbers=range(first, first + len(state)))
        fields = self._stored(state)
        with write_errors(self.path):
            for name, values in fields.items():
                array = self._arrays[name]
                array.resize((first + len(state), *values.shape[1:]))
                array[first:] = values
        for row in range(len(state)):
            self._hash_state(fields, row)
            for name, value in {"member": member, "time": time, "split": split}.items():
                self._samples[name].append(value)
            for name, value in given.items():
                self._parameters.setdefault(name, []).append(value)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            _remove(self._partial)
            return
        try:
            self._finish()
        except BaseException:
            _remove(self._partial)
            raise

    def _finish(self) -> None:
        if not self._samples["member"]:
            raise UserError(f"nothing was written to {self.path}: no states were found.")
        with write_errors(self.path):
            self._write_small_variables()
            self._group.attrs.update({**self._attributes, **self._checksums()})
            consolidate(self._group.store)
            if self.path.name.endswith(ZIP_SUFFIX):
                _zip_directory(self._partial, self.path)
                _remove(self._partial)
            else:
                put_in_place(self._partial, self.path)

    def _checksums(self) -> dict[str, str]:
        description = description_checksum(
            self.grid,
            samples={**self._samples, **self._parameters},
            equation_of_state=str(self._attributes["equation_of_state"]),
            salinity_units=str(self._fields["so"]["units"]),
        )
        return {CONTENT: self._hash.hexdigest(), DESCRIPTION: description}

    def _create_fields(self) -> None:
        shape = self.grid.shape
        for name in ["thetao", "so", *(["zos"] if self.sea_level else [])]:
            cells = shape[1:] if name == "zos" else shape
            dims = ("sample", "y", "x") if name == "zos" else FIELD_DIMENSIONS
            array = self._group.create_array(
                name,
                shape=(0, *cells),
                chunks=(1, *cells),
                dtype="float32",
                fill_value=np.nan,
                compressors=self._compressors,
                dimension_names=dims,
            )
            array.attrs.update({**self._fields[name], "coordinates": self._coordinates()})
            self._arrays[name] = array

    def _coordinates(self) -> str:
        horizontal = HORIZONTAL_NAMES[self.grid.horizontal_units]
        return " ".join([*horizontal, *SAMPLE_ATTRIBUTES])

    def _write_small_variables(self) -> None:
        for name, (dims, values, attributes) in grid_variables(self.grid).items():
            self._write(name, dims, values, attributes)
        kinds = {"member": np.int32, "time": np.float64, "split": np.int8}
        for name, numbers in self._samples.items():
            column = np.asarray(numbers, dtype=kinds[name])
            self._write(name, ("sample",), column, SAMPLE_ATTRIBUTES[name])
        for name, numbers in self._parameters.items():
            column = np.asarray(numbers, dtype=np.float64)
            self._write(name, ("sample",), column, parameter_attributes(name, self.units))

    def _write(
        self, name: str, dims: tuple[str, ...], values: NDArray[Any], attributes: dict[str, Any]
    ) -> None:
        array = self._group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype=values.dtype,
            compressors=self._compressors,
            dimension_names=dims,
        )
        array[...] = values
        array.attrs.update(attributes)

    def _check(self, state: State, parameters: dict[str, float], first: int) -> None:
        shape = tuple(state.temperature.shape[1:])
        if shape != self.grid.shape:
            raise UserError(f"a state has shape {shape}: expected {self.grid.shape} (z, y, x).")
        if (state.sea_level is not None) != self.sea_level:
            found = "has no" if self.sea_level else "has a"
            raise UserError(f"state {first} {found} sea level, unlike the archive {self.path}.")
        if first and parameters.keys() != self._parameters.keys():
            raise UserError(
                f"state {first} has the parameters {sorted(parameters)}: expected "
                f"{sorted(self._parameters)} as for the states before it."
            )
        reserved = parameters.keys() & {
            *SAMPLE_ATTRIBUTES,
            *self._fields,
            *grid_variables(self.grid),
        }
        if reserved:
            raise UserError(f"a parameter cannot be named {min(reserved)}: it is a variable.")

    def _stored(self, state: State) -> dict[str, NDArray[np.float32]]:
        """Fields as stored: float32, optionally rounded, NaN on land."""
        steps = {"thetao": LEVEL_STEP_TEMPERATURE, "so": LEVEL_STEP_SALINITY}
        fields = {"thetao": state.temperature, "so": state.salinity}
        if state.sea_level is not None:
            fields["zos"] = state.sea_level
        stored = {}
        for name, field in fields.items():
            wet = self._wet[0] if name == "zos" else self._wet
            values = field.detach().cpu()
            if self.rounding and name in steps:
                values = torch.round(values.double() / steps[name]) * steps[name]
            stored[name] = torch.where(wet, values.float(), torch.nan).numpy()
        return stored

    def _hash_state(self, fields: dict[str, NDArray[np.float32]], row: int) -> None:
        for values in fields.values():
            self._hash.update(np.nan_to_num(values[row], nan=0.0))


def _zip_directory(directory: Path, target: Path) -> None:
    """Pack a directory store into a zip without further compression."""
    partial = temporary_name(target.with_name(f"{target.name}.packing"))
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(path for path in directory.rglob("*") if path.is_file()):
                archive.write(file, file.relative_to(directory).as_posix())
        put_in_place(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
