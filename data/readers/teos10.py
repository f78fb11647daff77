"""Converts observed temperature, salinity and pressure to what an equation of state takes.

By TEOS-10, with gsw. Readers of observations call it only if they are asked to convert.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.kinds import ABSOLUTE, CONSERVATIVE, IN_SITU, PRACTICAL, taken_kinds
from data.observations import FloatArray, Quantity
from data.readers.samples import Field, Samples

_STANDARD_SALINITY = 35.16504  # g/kg, of standard sea water, where the file has no salinity
_ABOVE_SURFACE = 2.5  # dbar; pressure sensors near the surface err by less


def converted(samples: Samples, *, equation: str, convert: bool, path: Path) -> Samples:
    """Samples with depths, and with the kinds of temperature and salinity that the equation takes.

    Temperature is converted with the salinity of the same sample, else with that of standard sea
    water.

    Raises UserError if the samples are of other kinds and `convert` is not given, gsw is missing,
    positions are not in degrees, or gsw knows no value.
    """
    other = _others(samples, equation)
    if not other:
        return samples
    if not convert:
        raise _refused(samples, other, equation, path)
    if samples.horizontal_units != "degrees":
        raise UserError(
            f"{path} has positions in {samples.horizontal_units}: expected degrees to convert "
            f"{' and '.join(other)}, which depends on the place; convert the values first."
        )
    gsw = _gsw(path)
    in_metres = _with_depths(samples, gsw)
    middle = 0.5 * (in_metres.top + in_metres.bottom)
    fields = _converted_fields(in_metres, gsw.p_from_z(-middle, samples.latitude), equation, gsw)
    _check_known(samples.fields, fields, path)
    return replace(in_metres, fields=fields)


def _others(samples: Samples, equation: str) -> list[str]:
    """What the samples hold and the equation does not take."""
    taken = taken_kinds(equation)
    other = [
        f"{field.kind} {quantity}"
        for quantity, field in samples.fields.items()
        if field.kind not in (None, taken.get(quantity))
    ]
    return other + ["pressure"] * samples.pressure


def _refused(samples: Samples, other: list[str], equation: str, path: Path) -> UserError:
    taken = [f"{kind} {quantity}" for quantity, kind in taken_kinds(equation).items()]
    names = ", ".join(field.name for field in samples.fields.values())
    return UserError(
        f"{path} has {' and '.join(other)} ({names}), but {equation} takes {' and '.join(taken)} "
        "at depths in m: give --convert to convert them with gsw, or a file that has them."
    )


def _gsw(path: Path) -> Any:
    try:
        return importlib.import_module("gsw")
    except ImportError as error:
        raise UserError(
            f"{path} must be converted with gsw, which is not installed: install it with "
            "pip install 'halocline[observations]'."
        ) from error


def _with_depths(samples: Samples, gsw: Any) -> Samples:
    if not samples.pressure:
        return samples
    depths = []
    for pressure in (samples.top, samples.bottom):
        above = (pressure < 0) & (pressure > -_ABOVE_SURFACE)
        depths.append(-gsw.z_from_p(np.where(above, 0.0, pressure), samples.latitude))
    return replace(samples, top=depths[0], bottom=depths[1], pressure=False)


def _converted_fields(
    samples: Samples, pressure: FloatArray, equation: str, gsw: Any
) -> dict[Quantity, Field]:
    taken = taken_kinds(equation)
    fields = dict(samples.fields)
    place = pressure, samples.longitude % 360, samples.latitude
    salinity = fields.get("salinity")
    absolute = np.full(len(pressure), _STANDARD_SALINITY)
    if salinity is not None:
        own = salinity.value
        if (salinity.kind or taken["salinity"]) == PRACTICAL:
            own = gsw.SA_from_SP(salinity.value, *place)
        absolute = np.where(np.isfinite(own), own, absolute)
        if salinity.kind not in (None, taken["salinity"]):
            to_absolute = taken["salinity"] == ABSOLUTE
            value = own if to_absolute else gsw.SP_from_SA(salinity.value, *place)
            fields["salinity"] = replace(salinity, value=value, kind=taken["salinity"])
    temperature = fields.get("temperature")
    if temperature is not None and temperature.kind not in (None, taken["temperature"]):
        value = _temperature(temperature, absolute, pressure, taken["temperature"], gsw)
        fields["temperature"] = replace(temperature, value=value, kind=taken["temperature"])
    return fields


def _temperature(
    field: Field, absolute: FloatArray, pressure: FloatArray, taken: str, gsw: Any
) -> FloatArray:
    if field.kind == IN_SITU:
        convert = gsw.CT_from_t if taken == CONSERVATIVE else gsw.pt0_from_t
        return np.asarray(convert(absolute, field.value, pressure))
    convert = gsw.CT_from_pt if taken == CONSERVATIVE else gsw.pt_from_CT
    return np.asarray(convert(absolute, field.value))


def _check_known(
    before: Mapping[Quantity, Field], after: Mapping[Quantity, Field], path: Path
) -> None:
    """Raise UserError where a value has become NaN: gsw knows no sea at its position."""
    for quantity, field in before.items():
        lost = np.isfinite(field.value) & ~np.isfinite(after[quantity].value)
        if lost.any():
            raise UserError(
                f"gsw converts {int(lost.sum())} of {int(np.isfinite(field.value).sum())} values "
                f"of {field.name} in {path} to no number: expected positions in the ocean, with a "
                "depth or pressure; correct them or take the values out."
            )
