"""The state archive: equilibrium states of one ocean grid in one zarr v3 store."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from tqdm import tqdm

from data.archive.format import (
    FIELD_DIMENSIONS,
    HORIZONTAL_NAMES,
    SAMPLE_ATTRIBUTES,
    SPLITS,
    UNUSED,
    ContentHash,
    open_store,
)
from data.archive.identity import CONTENT, DESCRIPTION, description_checksum, former_digest
from data.archive.limits import check_files, check_sizes
from data.errors import UserError
from data.grid import OceanGrid
from data.parameters import units_of
from data.plausibility import Door, check_depth, check_field, check_grid, check_state
from data.state import State
from data.units import AREAS, LENGTHS, SALINITIES, factor, is_kelvin

# A damaged store fails in as many ways as there are bytes in it.
DAMAGE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, ArithmeticError, IndexError, NotImplementedError),
)
_UNITS = {
    "so": (SALINITIES, "1e-3 or g/kg"),
    "zos": (LENGTHS, "m"),
    "depth": (LENGTHS, "m"),
    "thickness": (LENGTHS, "m"),
    "cell_area": (AREAS, "m2"),
}
UNREADABLE = "it is truncated, corrupt or of another format; copy or create the archive again"
DAMAGED = "the archive is corrupt; copy or create it again"
_REQUIRED = ("thetao", "so", "wet", "depth", "thickness", "cell_area", *SAMPLE_ATTRIBUTES)


class StateArchive:
    """States of one grid, read in any order. Open one with `StateArchive.open`.

    grid: grid of the states
    equation_of_state: name of the model's equation of state
    has_sea_level: whether the states carry sea level
    salinity_units: as stored, such as "1e-3", "g/kg" or that of the kind (`data.salinity`)
    parameters: per-sample parameters, each `(sample,)`
    units: of the parameters whose variables state one, by name
    member, time, split: `(sample,)`: ensemble member, model years within it, part of the data
    attributes: the store's global attributes, including provenance

    Picklable: a spawned worker opens the store again when it first reads.
    """

    path: Path
    grid: OceanGrid
    equation_of_state: str
    has_sea_level: bool
    salinity_units: str
    parameters: dict[str, NDArray[np.float64]]
    units: dict[str, str]
    member: NDArray[np.int64]
    time: NDArray[np.float64]
    split: NDArray[np.int8]
    attributes: dict[str, object]

    @classmethod
    def open(cls, path: Path | str) -> StateArchive:
        """Open and validate the archive at `path`: a zarr v3 directory or a `.zarr.zip`.

        Raises UserError if the store cannot be read, lacks a variable, has temperature in kelvin,
        shapes that disagree, a grid that no ocean has (`data.plausibility.check_grid`), or a first
        state that is not sea water in every wet cell, or a grid or per-sample variables that do not
        match their checksum.
        """
        archive = cls.__new__(cls)
        archive.path = Path(path)
        archive._load(archive._group)
        archive._check_shapes()
        check_grid(archive.grid, source=archive.path)
        archive._check_first_state()
        archive._compare_checksum(DESCRIPTION, archive.description, "grid or per-sample variables")
        return archive

    def __len__(self) -> int:
        return len(self.split)

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the states and of all that describes them.

        It relies on the stored checksum of the states, which `verify` compares with them.
        """
        content = self.attributes.get(CONTENT) or self._content()
        if DESCRIPTION in self.attributes:
            return hashlib.sha256(f"{content} {self.description}".encode()).hexdigest()[:16]
        return former_digest(
            str(content), self.grid, split=self.split, equation_of_state=self.equation_of_state
        )

    @cached_property
    def description(self) -> str:
        """Checksum of the grid, its places, the per-sample variables and the conventions."""
        return description_checksum(
            self.grid,
            samples={
                "member": self.member,
                "time": self.time,
                "split": self.split,
                **self.parameters,
            },
            equation_of_state=self.equation_of_state,
            salinity_units=self.salinity_units,
        )

    def indices(self, split: str) -> NDArray[np.int64]:
        """Samples of "train", "validation" or "test", in the archive's order."""
        if split not in SPLITS:
            raise UserError(f'split "{split}" is unknown: use one of {", ".join(SPLITS)}.')
        found = np.flatnonzero(self.split == SPLITS[split])
        if found.size == 0:
            raise UserError(
                f"{self.path} has no {split} states: split it again with a {split} part."
            )
        return found

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> State:
        """The states at `indices`: temperature and salinity `b z y x`, sea level `b y x`; float32.

        Land is 0. Raises UserError if a stored state is damaged or a wet cell is not sea water.
        """
        where = np.asarray(indices, dtype=np.int64)
        if where.size and not (-len(self) <= where.min() and where.max() < len(self)):
            raise IndexError(f"indices must lie within the archive's {len(self)} states")
        where = where % len(self)
        sea_level = self._read_field("zos", where) if self.has_sea_level else None
        return State(self._read_field("thetao", where), self._read_field("so", where), sea_level)

    def verify(self) -> None:
        """Read every state and recompute the checksum.

        Raises UserError at the first damaged state, a wet cell that is not sea water, or a wrong
        checksum.
        """
        self._compare_checksum(CONTENT, self._content(), "states")

    def _content(self) -> str:
        """Checksum of the states as they are stored."""
        content = ContentHash()
        for index in tqdm(range(len(self)), desc="verifying", unit="state", leave=False):
            content.update(self.read([index]).to_channels()[0].numpy())
        return content.hexdigest()

    def _compare_checksum(self, attribute: str, found: str, what: str) -> None:
        """Raise UserError if the archive has another checksum than the one that was found."""
        if self.attributes.get(attribute, found) != found:
            raise UserError(
                f"{self.path} is corrupt or was changed: its {what} do not match their checksum; "
                "copy or create the archive again, or, if the change is yours, remove the "
                f"attribute {attribute}."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {
            key: value for key, value in self.__dict__.items() if key not in {"_group", "_arrays"}
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def _group(self) -> zarr.Group:
        if not self.path.exists():
            raise UserError(f"{self.path} does not exist: give the path of a state archive.")
        try:
            check_files(self.path)
            group = zarr.open_group(open_store(self.path), mode="r", zarr_format=3)
            list(group.arrays())  # reads the metadata of every variable
            return group
        except DAMAGE as error:
            raise UserError(
                f"{self.path} is not a readable zarr v3 store ({_first_line(error)}): "
                f"{_advice(error, UNREADABLE)}."
            ) from error

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array[Any]]:
        return dict(self._group.arrays())

    def _load(self, group: zarr.Group) -> None:
        self.attributes = dict(group.attrs)
        self._check_variables(group)
        check_sizes(self._arrays, self.path)
        self.has_sea_level = "zos" in group
        self.equation_of_state = str(self._attribute("equation_of_state"))
        self.salinity_units = str(group["so"].attrs.get("units", "1e-3"))
        self.member = self._values("member").astype(np.int64)
        self.time = self._values("time").astype(np.float64)
        self.split = self._values("split").astype(np.int8)
        self.parameters = {
            name: self._values(name).astype(np.float64)
            for name, array in self._arrays.items()
            if _dimensions(array) == ("sample",) and name not in SAMPLE_ATTRIBUTES
        }
        self.units = units_of({name: self._arrays[name].attrs for name in self.parameters})
        self.grid = self._load_grid(group)

    def _load_grid(self, group: zarr.Group) -> OceanGrid:
        depth = self._values("depth").astype(np.float64)
        self._check_depth(depth, group["depth"].attrs.asdict())
        units = next((u for u, (x, _) in HORIZONTAL_NAMES.items() if x in group), None)
        if units is None:
            raise UserError(f"{self.path} has no longitude: expected variables lon and lat.")
        x_name, y_name = HORIZONTAL_NAMES[units]
        return OceanGrid(
            depth=depth,
            thickness=self._values("thickness").astype(np.float64),
            area=self._values("cell_area").astype(np.float64),
            wet=self._values("wet") > 0,
            longitude=self._values(x_name).astype(np.float64),
            latitude=self._values(y_name).astype(np.float64),
            periodic_x=bool(self.attributes.get("periodic_x", False)),
            horizontal_units=units,
        )

    def _values(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            raise UserError(f"{self.path} has no variable {name}, which a state archive requires.")
        try:
            return np.asarray(self._arrays[name][...])
        except DAMAGE as error:
            raise UserError(
                f"variable {name} of {self.path} cannot be read ({_first_line(error)}): "
                f"{_advice(error, DAMAGED)}."
            ) from error

    def _attribute(self, name: str) -> object:
        if name not in self.attributes:
            raise UserError(f"{self.path} has no attribute {name}, which a state archive requires.")
        return self.attributes[name]

    def _check_variables(self, group: zarr.Group) -> None:
        names = sorted(group.array_keys())
        missing = [name for name in _REQUIRED if name not in names]
        if missing:
            raise UserError(
                f"{self.path} lacks the variable{'s' * (len(missing) > 1)} {', '.join(missing)}; "
                f"it has {', '.join(names) or 'none'}: write the archive with this package's "
                "readers."
            )
        self._check_units({name: array.attrs.asdict() for name, array in group.arrays()})

    def _check_units(self, attributes: dict[str, dict[str, Any]]) -> None:
        units = str(attributes["thetao"].get("units", ""))
        if is_kelvin(units):
            raise UserError(
                f'temperature of {self.path} is in kelvin (units "{units}"): expected degC; '
                'subtract 273.15 and set the units to "degC".'
            )
        for name, (known, expected) in _UNITS.items():
            given = attributes.get(name, {})
            if factor(given, known, quantity=name, path=self.path, expected=expected) != 1:
                raise UserError(
                    f'{name} of {self.path} is in "{given["units"]}": expected {expected}; convert '
                    "the values and correct the units."
                )

    def _check_depth(self, depth: NDArray[np.float64], attributes: dict[str, Any]) -> None:
        check_depth(depth, source=self.path)
        if attributes.get("positive", "down") != "down":
            raise UserError(
                f'depth of {self.path} is positive "{attributes["positive"]}": expected down; '
                "correct the attribute or the depths."
            )

    def _check_shapes(self) -> None:
        """Check the shape of every variable against `thetao`."""
        volume = tuple(self._arrays["thetao"].shape)
        if len(volume) != len(FIELD_DIMENSIONS):
            raise UserError(f"thetao of {self.path} has shape {volume}: expected sample, z, y, x.")
        samples, levels, rows, columns = volume
        expected: dict[str, tuple[int, ...]] = {
            "so": volume,
            "wet": volume[1:],
            "thickness": volume[1:],
            "cell_area": (rows, columns),
            "depth": (levels,),
        }
        expected |= {name: (samples,) for name in SAMPLE_ATTRIBUTES}
        expected |= {"zos": (samples, rows, columns)} if self.has_sea_level else {}
        for name, shape in expected.items():
            found = tuple(self._arrays[name].shape)
            if found != shape:
                raise UserError(
                    f"{name} of {self.path} has shape {found}: expected {shape} to match thetao."
                )
        if not np.isin(self.split, [UNUSED, *SPLITS.values()]).all():
            values = sorted(set(self.split.tolist()))
            raise UserError(
                f"split of {self.path} has the values {values}: expected -1, 0, 1 and 2."
            )

    @cached_property
    def _door(self) -> Door:
        return Door(self.grid, self.path, "leave the state out or correct the wet mask")

    def _check_first_state(self) -> None:
        if len(self) == 0:
            raise UserError(f"{self.path} has no states: write at least one.")
        check_state(self.read([0]), door=self._door, numbers=[0])

    def _read_field(self, name: str, where: NDArray[np.int64]) -> torch.Tensor:
        try:
            values = np.asarray(self._arrays[name].oindex[where], dtype=np.float32)
        except DAMAGE as error:
            raise UserError(
                f"{name} of {self.path} cannot be read at states {where.tolist()[:5]} "
                f"({_first_line(error)}): {_advice(error, DAMAGED)}."
            ) from error
        wet = self.grid.wet[0] if name == "zos" else self.grid.wet
        values = np.where(wet, values, np.float32(0))
        check_field(name, values, door=self._door, numbers=where.tolist())
        return torch.from_numpy(values)


def _dimensions(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def _advice(error: BaseException, usual: str) -> str:
    """Cause and remedy of an error of the store."""
    return "check its permissions" if isinstance(error, PermissionError) else usual


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
