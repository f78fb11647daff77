"""State archives as `xarray.Dataset`, with the names and units of `data.dataset`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from data.archive.format import (
    CALENDAR,
    DAYS_PER_YEAR,
    SAMPLE_ATTRIBUTES,
    TIME_ORIGIN,
    open_store,
)
from data.archive.reader import StateArchive
from data.dataset import MEMBER, MEMBER_ATTRIBUTES, condition_coordinates, described

SAMPLE = "sample"
UNGUIDED = "none"
_STATED = {"equation_of_state", "periodic_x", "Conventions"}


def open_archive(path: Path | str) -> xr.Dataset:
    """The states of an archive, a `.zarr` folder or a `.zarr.zip`, as a CF dataset.

    Temperature `thetao`, salinity `so` and, where there is one, sea level `zos` are read when they
    are used; land is NaN. Generated states have the dimension `member`. Those of a model have
    `sample`, with the coordinates member, split and time: model years or, where the archive knows
    the calendar, dates.

    Raises `UserError` as `StateArchive.open` does, for anything that is not a state archive.
    """
    archive = StateArchive.open(path)
    generated = "sampling" in archive.attributes
    dimension = MEMBER if generated else SAMPLE
    fields = _stored_fields(archive).rename({SAMPLE: dimension})
    states = _numbers(archive) if generated else _samples(archive)
    given = condition_coordinates(archive.parameters, units=archive.units, dimension=dimension)
    return described(
        fields.assign_coords(states).assign_coords(given),
        grid=archive.grid,
        equation_of_state=archive.equation_of_state,
        attributes={
            **{k: v for k, v in archive.attributes.items() if k not in _STATED},
            **_provenance(archive),
        },
    )


def _provenance(archive: StateArchive) -> dict[str, object]:
    """How the states of a generated archive were drawn, by the names that the pipeline uses."""
    try:
        record = json.loads(str(archive.attributes.get("sampling", "{}")))
        sampling = record.get("sampling", {})
        known = {
            "model": record.get("model"),
            "seed": sampling.get("seed"),
            "sampler": sampling.get("scheduler"),
            "steps": sampling.get("steps"),
            "guidance": record.get("guidance", UNGUIDED) or UNGUIDED,
        }
    except (ValueError, AttributeError):  # a record of another program
        return {}
    return {k: v for k, v in known.items() if v is not None} if record else {}


def _stored_fields(archive: StateArchive) -> xr.Dataset:
    """The fields as stored, read lazily, without coordinates."""
    stored = xr.open_zarr(open_store(archive.path), chunks=None, decode_times=False)
    names = ["thetao", "so", *(["zos"] if archive.has_sea_level else [])]
    fields = stored[names].reset_coords(drop=True).drop_vars("depth", errors="ignore")
    wet = xr.Variable(("depth", "y", "x"), archive.grid.wet)
    if _has_nan_on_land(fields, wet):
        return fields
    # Archives that other programs wrote may hold anything on land. They are read at once.
    masks = {name: wet[0] if name == "zos" else wet for name in names}
    return fields.assign({name: fields[name].where(masks[name]) for name in names})


def _has_nan_on_land(fields: xr.Dataset, wet: xr.Variable) -> bool:
    first = fields["thetao"][0].to_numpy()
    return bool(np.isnan(first[~wet.to_numpy()]).all())


def _numbers(archive: StateArchive) -> dict[str, xr.Variable]:
    return {MEMBER: xr.Variable(MEMBER, archive.member, MEMBER_ATTRIBUTES)}


def _samples(archive: StateArchive) -> dict[str, Any]:
    """Member, part of the data and time of each sample."""
    split = dict(SAMPLE_ATTRIBUTES["split"])
    split["flag_values"] = np.array(split["flag_values"], dtype=np.int8)
    return {
        MEMBER: xr.Variable(SAMPLE, archive.member, MEMBER_ATTRIBUTES),
        "split": xr.Variable(SAMPLE, archive.split, split),
        "time": _times(archive),
    }


def _times(archive: StateArchive) -> xr.Variable:
    """Dates of the samples or, without a calendar, model years."""
    given = archive.attributes
    if not {CALENDAR, TIME_ORIGIN, DAYS_PER_YEAR} <= given.keys():
        return xr.Variable(SAMPLE, archive.time, SAMPLE_ATTRIBUTES["time"])
    seconds = np.round(archive.time * float(str(given[DAYS_PER_YEAR])) * 86400).astype(np.int64)
    encoded = xr.Variable(
        SAMPLE,
        seconds,
        {
            "units": f"seconds since {given[TIME_ORIGIN]}",
            "calendar": given[CALENDAR],
            "standard_name": "time",
            "long_name": "date in the model",
        },
    )
    return xr.decode_cf(xr.Dataset({"time": encoded}))["time"].variable
