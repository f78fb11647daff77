"""Decodes files as CF says, with the exceptions that ocean files need."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

_MISSING = ("_FillValue", "missing_value")
_PACKING = ("scale_factor", "add_offset")


def decoded(dataset: xr.Dataset, *, zarr: bool) -> xr.Dataset:
    """A dataset opened with `decode_cf=False`, with values masked and scaled, times as numbers.

    Coordinates have no missing values (CF 2.5.1), whatever they declare. In zarr a fill value of 0
    is what chunks hold that were never written, not a missing value; packed numbers, which xarray
    writes with the fill value that it was given, keep theirs.
    """
    for name, variable in dataset.variables.items():
        unwritten = zarr and not any(key in variable.attrs for key in _PACKING)
        for key in _MISSING:
            coordinate = variable.dims == (name,)
            if coordinate or (unwritten and _is_zero(variable.attrs.get(key))):
                variable.attrs.pop(key, None)
    return xr.decode_cf(dataset, decode_times=False)


def _is_zero(value: Any) -> bool:
    return value is not None and np.ndim(value) == 0 and bool(value == 0)
