"""MITgcm's own binary files (MDS): numbers in `.data`, their layout in `.meta`, whole or in tiles.

`T.0000000720.data` is a field of one time step, `T.0000000720.001.002.data` a tile of it; without a
number it is a constant of the grid (`hFacC.data`). Values are big-endian, C order, surface first.
The `.meta` file gives the size of the domain, the part in this file (x first, counted from 1), the
precision and, for files of several fields (diagnostics), their names
(`pkg/mdsio/mdsio_write_meta.F`).

Why not xmitgcm (0.5.2): it does not read tiles, which MITgcm writes by default, takes no time from
the `.meta` files, and wants every file of the grid; the tests compare with its whole fields.
"""

from __future__ import annotations

import errno
import math
import re
from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.documents import read_text, reason
from data.errors import UserError, shown

_NAME = re.compile(r"(?P<prefix>.+?)(\.(?P<step>\d{10}))?(\.\d{3,}\.\d{3,})?\.meta")
# Every part excludes what ends it, so that the time is proportional to the length.
_ENTRY = re.compile(r"\b(\w+)\s*=\s*[\[{]([^\[\]{}]*)[\]}]\s*;")
MOST_BLANK = 25  # cells of a domain to the bytes of its tiles; exch2 leaves out tiles of land
_NEEDED = ("dimList", "dataprec or format", "nrecords")


@dataclass(frozen=True)
class _Part:
    """One `.meta` file: a whole field, several fields, or a tile of them.

    domain: size of the whole field; start, stop: the part in this file, counted from 0; all
        `z y x` or `y x`
    fields: names of the fields, if listed; seconds: model time at the end of the interval
    """

    path: Path
    domain: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    dtype: np.dtype
    records: int
    fields: tuple[str, ...]
    seconds: float | None

    @classmethod
    def parse(cls, path: Path) -> _Part:
        try:
            entries = dict(_ENTRY.findall(read_text(path)))
            sizes = np.array(re.findall(r"\d+", entries["dimList"]), int).reshape(-1, 3)[::-1]
            interval = entries.get("timeInterval", "").split()
            return cls(
                path=path.with_suffix(".data"),
                domain=tuple(sizes[:, 0].tolist()),
                start=tuple((sizes[:, 1] - 1).tolist()),
                stop=tuple(sizes[:, 2].tolist()),
                dtype=_precision(entries),
                records=int(entries["nrecords"]),
                fields=tuple(re.findall(r"'(\S*)\s*'", entries.get("fldList", ""))),
                seconds=float(interval[-1]) if interval else None,
            )
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
            raise UserError(
                f"{path} cannot be read ({reason(error)}): expected MITgcm's description of a "
                f".data file, with {', '.join(_NEEDED)}."
            ) from error

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the part."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def place(self) -> tuple[slice, ...]:
        """The part's place in the whole field."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def read(self, record: int) -> NDArray[np.floating]:
        """The values of one field."""
        count = math.prod(self.shape)
        expected = self.records * count * self.dtype.itemsize
        try:
            if not self.path.is_file():
                raise FileNotFoundError(errno.ENOENT, "no such file")
            size = self.path.stat().st_size
            if size != expected:  # before memory is taken
                raise UserError(
                    f"{self.path} has {size} bytes, by its .meta file {expected}: it was not "
                    "written or copied completely."
                )
            values = np.fromfile(
                self.path, self.dtype, count, offset=record * count * self.dtype.itemsize
            )
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be read ({error.strerror}): its .meta file exists; copy both."
            ) from error
        return values.reshape(self.shape)


def _precision(entries: dict[str, str]) -> np.dtype:
    """Type of the numbers; old versions of MITgcm call the entry `format`."""
    name = (entries.get("dataprec") or entries["format"]).strip(" '")
    if name not in ("float32", "float64"):
        raise ValueError(f"a precision of {shown(name)}")
    return np.dtype(name).newbyteorder(">")


@dataclass(frozen=True)
class MdsField:
    """One field at one time, or a constant of the grid; whole, or all of its tiles."""

    name: str
    parts: tuple[_Part, ...]
    record: int

    @property
    def shape(self) -> tuple[int, ...]:
        """`z y x` or `y x`."""
        return self.parts[0].domain

    @property
    def dtype(self) -> np.dtype:
        """Type of the values in memory."""
        return self.parts[0].dtype.newbyteorder("=")

    @property
    def seconds(self) -> float | None:
        """Model time [s], None where the file does not state it."""
        return self.parts[0].seconds

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Columns of the domain that lie in a tile, `y x`."""
        covered = np.zeros(self.shape[-2:], bool)
        for part in self.parts:
            covered[part.place[-2:]] = True
        return covered

    def check_tiles(self, wet: NDArray[np.bool_], grid: NDArray[np.bool_]) -> None:
        """Raise UserError for a missing tile, unless all of its columns are land.

        wet: columns with water; grid: columns that a tile of the grid's files covers; both `y x`.
        MITgcm's exch2 writes no tile of land (`blankList`).
        """
        folder, missing = self.parts[0].path.parent, int((wet & ~self.covered).sum())
        if missing:
            raise UserError(
                f"{folder} holds {len(self.parts)} tiles of {self.name}, without {missing} of "
                f"{wet.size} columns of the domain that have water: give every tile."
            )
        unknown = int((self.covered & ~grid).sum())
        if unknown:
            raise UserError(
                f"{folder} holds tiles of {self.name} in {unknown} of {wet.size} columns where the "
                "grid (hFacC) has no tile: give every tile of the grid."
            )

    def read(self) -> NDArray[np.floating]:
        """The values over the whole domain; NaN where no tile was written."""
        whole = np.full(self.shape, np.nan, self.dtype)
        for part in self.parts:
            whole[part.place] = part.read(self.record)
        return whole


class MdsFolder:
    """A run's folder of MDS files, looked up by field.

    Raises UserError if there are none.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._constants: dict[str, list[Path]] = {}
        self._series: dict[str, dict[int, list[Path]]] = {}
        for path in sorted(folder.glob("*.meta")):
            match = _NAME.fullmatch(path.name)
            if match and match["step"]:
                steps = self._series.setdefault(match["prefix"], {})
                steps.setdefault(int(match["step"]), []).append(path)
            elif match:
                self._constants.setdefault(match["prefix"], []).append(path)
        if not self._constants and not self._series:
            raise UserError(
                f"{folder} holds no .meta file: expected the folder that MITgcm wrote its .data "
                "and .meta files to."
            )

    def constant(self, name: str) -> MdsField | None:
        """A constant of the grid; None if there is none of this name."""
        return _field(name, self._constants[name]) if name in self._constants else None

    def series(self, name: str) -> dict[str, dict[int, MdsField]]:
        """A field by time step, for each stream that holds it; empty if absent.

        A stream is named "stream/FIELD", or "FIELD" where its files have the field's name.
        name: of the field, or of the stream and the field
        """
        stream, _, field = name.rpartition("/")
        found = {}
        for prefix, names in self._listed.items():
            if field in names and stream in ("", prefix):
                label = field if names == (prefix,) else f"{prefix}/{field}"
                self._check_described(prefix)
                steps = self._series[prefix]
                found[label] = {step: _field(field, steps[step]) for step in sorted(steps)}
        return found

    def _check_described(self, prefix: str) -> None:
        """Raise UserError for a file of the stream that has no description."""
        for path in sorted(self.path.glob(f"{escape(prefix)}.*.data")):
            match = _NAME.fullmatch(path.with_suffix(".meta").name)
            if match and match["prefix"] == prefix and not path.with_suffix(".meta").exists():
                raise UserError(
                    f"{path} has no .meta file, so it would be left out: copy its .meta file, or "
                    "remove it."
                )

    @property
    def fields(self) -> list[str]:
        """Names of all fields with time steps."""
        return sorted({name for names in self._listed.values() for name in names})

    @cached_property
    def _listed(self) -> dict[str, tuple[str, ...]]:
        """Field names of each prefix, from its first file."""
        return {
            prefix: _Part.parse(next(iter(steps.values()))[0]).fields or (prefix,)
            for prefix, steps in self._series.items()
        }


def _field(name: str, paths: list[Path]) -> MdsField:
    parts = tuple(_Part.parse(path) for path in paths)
    fields = parts[0].fields
    for part in parts:
        if fields and name in fields and len(fields) != part.records:
            raise UserError(
                f"{part.path} holds {len(fields)} fields in {part.records} records, as pickup "
                "files do: give MITgcm's snapshots or diagnostics instead."
            )
        if not fields and part.records != 1:
            raise UserError(
                f"{part.path} holds {part.records} records without names: expected one record a "
                "file, or the names in fldList of its .meta file, because the times of further "
                "records are not stated; split the file by record."
            )
    _check_domain(name, parts)
    return MdsField(name, parts, fields.index(name) if name in fields else 0)


def _check_domain(name: str, parts: tuple[_Part, ...]) -> None:
    """Raise UserError for a domain that the bytes of its tiles cannot fill, before it is made."""
    held = sum(part.path.stat().st_size for part in parts if part.path.is_file())
    if held and math.prod(parts[0].domain) > MOST_BLANK * held:
        raise UserError(
            f"{parts[0].path} belongs to a domain of {shown(parts[0].domain)} cells, but all tiles "
            f"of {name} together have {held} bytes: correct its .meta file, or give every tile."
        )
