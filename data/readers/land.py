"""Which cells of a file hold no water: NaN, 0, or a fill value in temperature and in salinity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.plausibility import LIMITS
from data.units import ZERO_CELSIUS

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Fill values of NetCDF, models and tools, either sign; and all powers of ten from 1e9. None is a
# temperature, in degC or in K.
_FILLS = (
    *(99.0, 99.9, 99.99, 999.0, 999.9, 999.99, 999.999, 9999.0, 9999.9, 99999.0, 999999.0),
    *(32767.0, 32768.0, 2147483647.0, 2147483648.0, 9e33),
    *(9.969209968386869e36, 1.7014118346046923e38, float(np.finfo(np.float32).max)),
)
_POWERS = tuple(10.0**power for power in range(9, 39))
_SINGLE_PRECISION = 1e-6


def without_water(temperature: Floats, salinity: Floats) -> Mask:
    """Cells in which neither field holds sea water, by values as the file has them.

    Both are NaN, 0 (temperature: 0 degC or 0 K) or a fill value, or both are the same number that
    no salinity is.
    """
    low, high, _ = LIMITS["so"]
    blank = np.isnan(temperature)
    doubtful = ~((salinity > low) & (salinity < high)) | (salinity == 0)
    found = temperature[doubtful], salinity[doubtful]
    zero = np.isclose(found[0], ZERO_CELSIUS, rtol=0, atol=1e-3)
    same = (found[0] == found[1]) & (found[1] != 0)
    blank[doubtful] |= same | ((_is_fill(found[0]) | zero) & _is_fill(found[1]))
    return blank


def wet_by_values(temperature: Floats, salinity: Floats, path: Path) -> Mask:
    """The wet mask `z y x` of a file that has none, from its first state.

    Raises UserError if the two fields disagree, or if land cannot be told from fresh water.
    """
    blank = without_water(temperature, salinity)
    holes = int((np.isnan(temperature) & ~_is_fill(salinity)).sum())
    if holes:
        raise UserError(
            f"{path} has no mask, and no temperature in {holes} cells of its first state that have "
            "a salinity: expected both in every wet cell; correct the file or name a mask variable "
            "as data.ingest.variables.mask."
        )
    zeros = int(((salinity == 0) & ~blank).sum())
    if zeros and not blank.any():
        raise UserError(
            f"{path} has no mask and a salinity of exactly 0 in {zeros} cells, which looks like "
            "land: expected NaN on land; name a mask variable as data.ingest.variables.mask."
        )
    return ~blank


def check_mask(wet: Mask, temperature: Floats, salinity: Floats, *, name: str, path: Path) -> None:
    """Raise UserError if the file's mask `z y x` marks cells as wet that hold no sea water.

    NaN in some wet cells is left to the check of the states, which counts it.
    """
    blank = without_water(temperature, salinity)
    nowhere_water = blank[wet].all()
    wrong = int((wet & blank & (nowhere_water | ~np.isnan(temperature))).sum())
    if wrong:
        raise UserError(
            f"{name} of {path} marks {wrong} cells as wet that hold a land value in temperature "
            f"and salinity, and {int((~wet & ~blank).sum())} as land that do not: expected 1 in "
            "the ocean and 0 on land; correct or reverse the mask, or name another one as "
            "data.ingest.variables.mask."
        )


def check_constant_land(
    dry: Mask, temperature: Floats, salinity: Floats, *, first: int, path: Path
) -> None:
    """Raise UserError if states `b z y x` hold water where the first state of the file has none.

    dry: `z y x`, cells without water in the first state; first: number of the first state given
    """
    low, high, _ = LIMITS["so"]
    blank = without_water(temperature, salinity) | ~((salinity >= low) & (salinity <= high))
    water = (~blank & dry).reshape(len(temperature), -1)
    counts = water.sum(axis=1)
    if counts.any():
        row = int(np.argmax(counts > 0))
        raise UserError(
            f"state {first + row} of {path} has water in {counts[row]} cells that hold none in "
            "state 0, and the file has no mask: expected one wet mask for all states; leave out "
            "incomplete states, or name a mask variable as data.ingest.variables.mask."
        )


def _is_fill(values: Floats) -> Mask:
    fill = np.isnan(values) | (values == 0)
    size = np.abs(values.astype(np.float64))
    far = np.flatnonzero(size.ravel() >= min(_FILLS))
    for value in (*_FILLS, *_POWERS):
        near = np.isclose(size.ravel()[far], value, rtol=_SINGLE_PRECISION, atol=0)
        fill.ravel()[far[near]] = True
    return fill
