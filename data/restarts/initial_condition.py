"""Input, checks and results that all writers of initial conditions share.

A writer has the options of its model (precision, template) and two methods:
`write(initial, path=...)` writes the files under temporary names, reads them back, compares and
renames them; `files(path)` lists the files that may be written. The arrays are checked here, for
all models.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from data.atomic import atomic_files, atomic_write
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.plausibility import Door, check_state
from data.state import State

Precision = Literal["single", "double"]
VelocityChoice = Literal["template", "rest", "balanced"]
Floats = NDArray[np.floating]
FLOAT_BYTES: dict[Precision, int] = {"single": 4, "double": 8}


class Velocities(NamedTuple):
    """Velocities [m/s] on NEMO's C grid, `z y x` both, 0 on faces that touch land.

    u: eastward, at the eastern face of each cell
    v: northward, at the northern face of each cell
    """

    u: Floats
    v: Floats


@dataclass(frozen=True)
class InitialCondition:
    """One state with its units and equation of state.

    state: batch 1; degC, 1e-3 or g/kg, m
    equation_of_state: name of the equation that defines temperature and salinity, and the units
    attributes: provenance, for formats with attributes
    velocities: optional, for formats with velocities
    season: fraction of the year to which the state belongs, if known
    """

    state: State
    grid: OceanGrid
    equation_of_state: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    velocities: Velocities | None = None
    season: float | None = None

    def fields(self, *, land: float = 0.0) -> dict[str, Floats]:
        """`checked_fields` of the state."""
        return checked_fields(self.state, self.grid, land=land)


@dataclass(frozen=True)
class Written:
    """Files that were written and compared, and the model settings that start from them."""

    files: tuple[Path, ...]
    namelist: str = ""


class InitialConditionWriter(Protocol):
    """Writes initial conditions of one model."""

    def files(self, path: Path) -> tuple[Path, ...]:
        """All files that `write` may create for `path`."""
        ...

    def write(self, initial: InitialCondition, *, path: Path) -> Written:
        """Write to `path`, or to several files named after it; each is written atomically.

        Raises UserError if the state is unfit for the model or a file cannot be written or reads
        back differently.
        """
        ...


def checked_fields(state: State, grid: OceanGrid, *, land: float) -> dict[str, Floats]:
    """`thetao` and `so`, `z y x`, and `zos`, `y x`, if there is one, with `land` on land.

    Raises UserError if the state is not one state of this grid, if a wet cell holds NaN, a land
    value or what sea water cannot be, or if the units are not degC, 1e-3 or g/kg, and m.
    """
    if len(state) != 1 or tuple(state.temperature.shape[1:]) != grid.shape:
        raise UserError(
            f"a state of shape {tuple(state.temperature.shape)} cannot be exported: expected one "
            f"state, (1, z, y, x) = {(1, *grid.shape)}."
        )
    wet = wet_tensor(grid)
    given = {"thetao": state.temperature, "so": state.salinity, "zos": state.sea_level}
    fields = {}
    for name, values in given.items():
        if values is None:
            continue
        mask, values = wet[0] if name == "zos" else wet, values[0].detach().cpu()
        _check_values(name, values[mask].double().numpy())
        fields[name] = torch.where(mask, values, land).numpy()
    advice = "a model started from this state would fail"
    check_state(state, door=Door(grid, "the export", advice), numbers=[0])
    return fields


def checked_velocities(initial: InitialCondition) -> Velocities:
    """The velocities. Raises UserError if there are none, or if a cell has none."""
    if initial.velocities is None:
        raise UserError(
            "the initial condition has no velocities: start at rest, or add velocities."
        )
    shape = initial.grid.shape
    for name, values in initial.velocities._asdict().items():
        if values.shape != shape or not np.isfinite(values).all():
            raise UserError(
                f"velocity {name} has shape {values.shape} or holds NaN: expected a number "
                f"[m/s] in each of {shape} cells (z, y, x)."
            )
    return initial.velocities


def _check_values(name: str, wet_values: Floats) -> None:
    bad = int((~np.isfinite(wet_values)).sum())
    if bad:
        raise UserError(
            f"{name} has NaN in {bad} wet cells: expected a value in every wet cell; a model "
            "started from this state would fail."
        )
    dry = int((wet_values <= 0).sum()) if name == "so" else 0
    if dry:
        raise UserError(
            f"so is 0 or less, a land value, in {dry} wet cells: expected salt in every wet cell; "
            "was the state made on another wet mask?"
        )


def stem(path: Path) -> Path:
    """`path` without `.nc` or `.bin`: the common part of the names of several files."""
    return path.with_suffix("") if path.suffix in {".nc", ".bin"} else path


def write_compared(
    fields: Mapping[str, Floats],
    files: Mapping[str, Path],
    *,
    write: Callable[[Path, str, Floats], object],
    read: Callable[[Path, str], Floats],
) -> None:
    """Write each field to its file and read it back; files are renamed once all are verified.

    Fields are compared by type and bytes.
    """
    names = list(fields)
    with atomic_files([files[name] for name in names]) as partials:
        for name, partial in zip(names, partials, strict=True):
            write(partial, name, fields[name])
            if not same_bytes(read(partial, name), fields[name]):
                raise reads_differently(files[name], name)


@contextmanager
def netcdf_errors(path: Path) -> Iterator[None]:
    """Errors of NetCDF and HDF5 in writing `path`, as one sentence for the user."""
    try:
        yield
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"{path} could not be written ({error}): check the folder, its free space and the "
            "attributes."
        ) from error


@contextmanager
def copied_template(template: Path, *, path: Path) -> Iterator[Path]:
    """A copy of `template` to change; on success it is renamed to `path`.

    Raises UserError if `path` is the template, which may have taken months to compute, or the file
    cannot be written.
    """
    if path.exists() and path.samefile(template):
        raise UserError(f"{path} is the template itself: choose another file to write.")
    with netcdf_errors(path), atomic_write(path) as partial:
        shutil.copyfile(template, partial)
        yield partial


def template_velocities(initial: InitialCondition, choice: VelocityChoice) -> Velocities | None:
    """New velocities by `choice`; None keeps those of the template."""
    if choice == "template":
        return None
    if choice == "balanced":
        return checked_velocities(initial)
    return Velocities(np.zeros(initial.grid.shape), np.zeros(initial.grid.shape))


def refuse_to_overwrite(writer: InitialConditionWriter, path: Path) -> None:
    """Raise UserError if writing to `path` would replace a file."""
    there = [str(file) for file in writer.files(path) if file.exists()]
    if there:
        raise UserError(
            f"{', '.join(there)} exists: give another --output, or --overwrite to replace it."
        )


def same_bytes(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether type and bytes are equal, including NaN and -0.0."""
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def reads_differently(path: Path, name: str) -> UserError:
    """The error for a file that does not contain what was written to it."""
    return UserError(f"{name} reads back differently from {path}: the disk is faulty.")
