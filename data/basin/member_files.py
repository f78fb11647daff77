"""Output of one ensemble member: small files while it runs, one compressed file when finished."""

from __future__ import annotations

import io
import lzma
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.archive.format import LEVEL_STEP_SALINITY, LEVEL_STEP_TEMPERATURE
from data.atomic import atomic_write
from data.errors import UserError
from data.grid import OceanGrid

if TYPE_CHECKING:
    from data.basin.run import BasinRun

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
_DAMAGES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, lzma.LZMAError)
_YEARLY = ("year", "temperature", "salinity", "kinetic_energy")
_STEPS = {"thetao": LEVEL_STEP_TEMPERATURE, "so": LEVEL_STEP_SALINITY}


class MemberRecord:
    """Records of an unfinished member in `directory`, one file per snapshot and per year.

    plan: see `PlannedMember.plan`. Raises `UserError` if the folder has another plan's records.
    """

    def __init__(self, directory: Path, grid: OceanGrid, *, plan: str) -> None:
        self.grid, self.plan = grid, plan
        _claim(directory, plan)
        self._snapshots, self._years = directory / "snapshots", directory / "years"
        for folder in (self._snapshots, self._years):
            folder.mkdir(parents=True, exist_ok=True)

    def keep_snapshot(self, age: float, temperature: FloatArray, salinity: FloatArray) -> None:
        """Keep T [degC] and S [g/kg] `z y x` at `age` [years after the branching]."""
        fields = {"thetao": temperature.astype(np.float32), "so": salinity.astype(np.float32)}
        _save(self._snapshots / f"{age:09.4f}.npz", {**fields, "age": np.array(age)})

    def keep_year(
        self,
        year: int,
        temperature: FloatArray,
        salinity: FloatArray,
        *,
        kinetic_energy: float,
        with_fields: bool,
    ) -> None:
        """Keep the level means of a year's mean T and S `z y x`, and with `with_fields` the fields.

        year: the year after the branching that ends now; kinetic_energy: at its end [m2/s2]
        """
        values: dict[str, Any] = {
            "year": np.float64(year),
            "temperature": level_means(temperature, self.grid),
            "salinity": level_means(salinity, self.grid),
            "kinetic_energy": np.float64(kinetic_energy),
        }
        if with_fields:
            values |= {"thetao": temperature.astype(np.float32), "so": salinity.astype(np.float32)}
        _save(self._years / f"{year:05d}.npz", values)

    def snapshots(self) -> list[dict[str, NDArray[Any]]]:
        """The snapshots, in time order."""
        return [_load(path) for path in sorted(self._snapshots.glob("*.npz"))]

    def last_temperatures(self, count: int) -> list[NDArray[np.float32]]:
        """T `z y x` [degC] of the last snapshots, at most `count`, in time order."""
        paths = sorted(self._snapshots.glob("*.npz"))[-count:]
        return [_load(path, "thetao")["thetao"] for path in paths]

    def years(self) -> list[dict[str, NDArray[Any]]]:
        """The records of each year, in time order."""
        return [_load(path) for path in sorted(self._years.glob("*.npz"))]


def level_means(field: FloatArray, grid: OceanGrid) -> FloatArray:
    """Volume-weighted mean `z` of a field `z y x` over the wet cells of each level."""
    volume = grid.volume
    total = volume.sum(axis=(1, 2))
    return (field * volume).sum(axis=(1, 2)) / np.where(total > 0, total, 1.0)


def write_member(
    path: Path,
    record: MemberRecord,
    run: BasinRun,
    *,
    start_year: float,
    tracer_step_days: float,
) -> None:
    """Pack a finished member into `path`: snapshots, years, and the state that others start from.

    T is rounded to 1/512 K and S to 1/4096 g/kg, as in the archive.
    """
    snapshots, years = record.snapshots(), record.years()
    means = [year for year in years if "thetao" in year]
    temperature, salinity = run.state()
    u, v = run.velocities()
    arrays = {
        "plan": np.array(record.plan),
        "tracer_step_days": np.array(tracer_step_days),
        "age": np.array([one["age"] for one in snapshots]),
        "start_year": np.array(start_year),
        **_packed_fields(snapshots, record.grid, prefix=""),
        "mean_year": np.array([one["year"] for one in means]),
        **_packed_fields(means, record.grid, prefix="mean_"),
        "year": np.array([one["year"] for one in years]),
        "temperature": np.stack([one["temperature"] for one in years]).astype(np.float32),
        "salinity": np.stack([one["salinity"] for one in years]).astype(np.float32),
        "kinetic_energy": np.array([one["kinetic_energy"] for one in years]),
        "end_year": np.array(run.year),
        **{
            name: values.astype(np.float32)
            for name, values in {"end_thetao": temperature, "end_so": salinity}.items()
        },
        "end_u": u.astype(np.float32),
        "end_v": v.astype(np.float32),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        _write_npz(partial, arrays)


@dataclass(frozen=True)
class FinishedMember:
    """The record of a finished member.

    age: `t` [years after the branching]; start_year: model year of the branching; temperature
    [degC] and salinity [g/kg]: `t z y x`, land 0; mean_year: `n`, the years after the branching
    whose mean fields are kept; mean_temperature and mean_salinity: `n z y x`; yearly: `year` and by
    year the level means `temperature`, `salinity` `year z` and `kinetic_energy` [m2/s2]
    """

    age: FloatArray
    start_year: float
    temperature: FloatArray
    salinity: FloatArray
    mean_year: FloatArray
    mean_temperature: FloatArray
    mean_salinity: FloatArray
    yearly: dict[str, NDArray[Any]]


def read_member(path: Path, grid: OceanGrid) -> FinishedMember:
    """Unpack a finished member. Raises UserError if `path` is not one."""
    stored = _load(path)
    if "age" not in stored or "thetao" not in stored:
        raise UserError(f"{path} is not a finished ensemble member; simulate it again.")
    temperature, salinity = _unpacked_fields(stored, grid, prefix="")
    mean_temperature, mean_salinity = _unpacked_fields(stored, grid, prefix="mean_")
    return FinishedMember(
        age=stored["age"],
        start_year=float(stored["start_year"]),
        temperature=temperature,
        salinity=salinity,
        mean_year=stored["mean_year"],
        mean_temperature=mean_temperature,
        mean_salinity=mean_salinity,
        yearly={name: stored[name] for name in _YEARLY},
    )


def stored_plan(path: Path) -> str:
    """The plan in a finished member's file; empty if the file has none."""
    return str(_load(path, "plan").get("plan", ""))


def tracer_step_days(path: Path) -> float:
    """The tracer step [days] with which a finished member was integrated."""
    return float(_load(path, "tracer_step_days")["tracer_step_days"])


def read_yearly(path: Path) -> dict[str, NDArray[Any]]:
    """The yearly series of a finished member, see `FinishedMember`."""
    return _load(path, *_YEARLY)


def read_end(
    path: Path,
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray] | None, float]:
    """T [degC] and S [g/kg] `z y x`, u and v [m/s] if stored, and the model year at a run's end.

    Raises UserError if `path` is neither a finished member nor a start state.
    """
    stored = _load(path)
    prefix = "end_" if "end_year" in stored else ""
    try:
        temperature, salinity = (stored[f"{prefix}{name}"].astype(float) for name in _STEPS)
        year = float(stored[f"{prefix}year"])
    except KeyError as error:
        raise UserError(f"{path} lacks {error}: no run can start from it.") from None
    flow = tuple(stored[name].astype(float) for name in ("end_u", "end_v") if name in stored)
    return temperature, salinity, (flow[0], flow[1]) if len(flow) == 2 else None, year


def pack(fields: FloatArray, *, step: float) -> IntArray:
    """Fields `t cell` as multiples of `step`, differences along time, then along cells."""
    levels = np.round(np.asarray(fields, dtype=np.float64) / step).astype(np.int32)
    return np.diff(np.diff(levels, axis=0, prepend=0), axis=1, prepend=0).astype(np.int32)


def unpack(differences: IntArray, *, step: float) -> FloatArray:
    """Inverse of `pack`, to the rounding."""
    levels = np.cumsum(np.cumsum(differences, axis=1, dtype=np.int64), axis=0)
    return levels.astype(np.float64) * step


def _packed_fields(
    states: list[dict[str, NDArray[Any]]], grid: OceanGrid, *, prefix: str
) -> dict[str, NDArray[Any]]:
    """The wet cells of T and S of `states`, packed; nothing where there are none."""
    if not states:
        return {}
    return {
        f"{prefix}{name}": pack(np.stack([one[name][grid.wet] for one in states]), step=step)
        for name, step in _STEPS.items()
    }


def _unpacked_fields(
    stored: Mapping[str, NDArray[Any]], grid: OceanGrid, *, prefix: str
) -> list[FloatArray]:
    """T and S `t z y x`, land 0, from their packed wet cells; t is 0 where none are stored."""
    none = np.zeros((0, int(grid.wet.sum())), dtype=np.int32)
    fields = []
    for name, step in _STEPS.items():
        values = unpack(stored.get(f"{prefix}{name}", none), step=step)
        field = np.zeros((len(values), *grid.shape))
        field[:, grid.wet] = values
        fields.append(field)
    return fields


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def _claim(directory: Path, plan: str) -> None:
    """Note whose output the folder has, so that no other member continues it."""
    note = directory / "plan.json"
    if note.is_file() and note.read_text() != plan:
        raise UserError(
            f"{directory} has the output of a member with other settings (see {note.name} there); "
            "set --run_directory to another path, or remove that folder"
        )
    directory.mkdir(parents=True, exist_ok=True)
    with atomic_write(note) as partial:
        partial.write_text(plan)


def _load(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays `names` that a file has, all if none is named."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files if name in stored.files}
    except _DAMAGES as error:
        raise UserError(
            f"{path} cannot be read ({error}): delete it and the checkpoint beside it, and run the "
            "simulation again."
        ) from error


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An npz whose members are packed by LZMA, which halves them once more."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(values), allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
