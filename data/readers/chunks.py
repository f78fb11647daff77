"""Fields in dask's chunks, where dask is installed, so that a slab of states is read in parallel.

dask's own settings decide how: threads of this process by default, or the workers of a
`dask.distributed.Client` that is active in it. The values are the same with and without.

Threads read Zarr. In NetCDF they would wait for each other, because HDF5 has one lock for the
process, and cost a fifth more processor time; such files are read in chunks by processes alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.extras import is_installed

_WHOLE_BYTES = 2**26  # a larger record is read in parts along its second axis, the levels


def in_chunks(field: xr.DataArray, *, zarr: bool) -> xr.DataArray:
    """The field in chunks of the file; as it is where these would not be read in parallel.

    field: `sample z y x` or `sample y x`, read when indexed; zarr: whether it is in a Zarr store
    """
    if not is_installed("dask") or not (zarr or _in_processes()):
        return field
    return field.chunk(_chunks(field))


def _in_processes() -> bool:
    """Whether dask computes in other processes than this one."""
    import dask

    scheduler = dask.config.get("scheduler", None)
    return str(scheduler).lower() in ("dask.distributed", "distributed", "processes")


def read_together(fields: Sequence[xr.DataArray]) -> list[NDArray[Any]]:
    """The values of the fields; of fields in chunks all chunks at once."""
    if not any(field.chunks for field in fields):
        return [field.values for field in fields]
    import dask

    read = dask.compute(*(field.data for field in fields))  # type: ignore[attr-defined, no-untyped-call]
    return [np.asarray(values) for values in read]


def _chunks(field: xr.DataArray) -> dict[Hashable, int]:
    """Length of the chunks along each axis: those of the file, or single records and levels."""
    stored = field.encoding.get("preferred_chunks", {})
    parts = dict(field.sizes)
    first, second, *_ = field.dims
    parts[first] = stored.get(first, 1)
    if field.nbytes // max(len(field), 1) > _WHOLE_BYTES and field.ndim > 3:
        parts[second] = stored.get(second, 1)
    return parts
