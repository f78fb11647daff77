"""Fields in dask's chunks, where dask is installed, so that a slab of states is read in parallel.

dask's own settings decide how: threads of this process by default, or the workers of a
`dask.distributed.Client` that is active in it. The values are the same with and without.

Threads read the fields of a Zarr store side by side. In NetCDF they would wait for each other,
because HDF5 has one lock for the process; such files are read in chunks by processes alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.extras import is_installed

_SLAB_SAMPLES = 16  # states read at once, at most
_WHOLE_BYTES = 2**26  # of what is read at once; processes read larger records level by level


def in_chunks(field: xr.DataArray, *, zarr: bool) -> xr.DataArray:
    """The field in dask's chunks; as it is where these would not be read in parallel.

    field: `sample z y x` or `sample y x`, read when indexed; zarr: whether it is in a Zarr store
    """
    if not is_installed("dask"):
        return field
    if _in_processes():
        return field.chunk(_chunks_of_the_file(field))
    return field.chunk(_slabs(field)) if zarr else field


def read_together(fields: Sequence[xr.DataArray]) -> list[NDArray[Any]]:
    """The values of the fields; of fields in chunks all chunks at once."""
    if not any(field.chunks for field in fields):
        return [field.values for field in fields]
    import dask

    read = dask.compute(*(field.data for field in fields))  # type: ignore[attr-defined, no-untyped-call]
    return [np.asarray(values) for values in read]


def _in_processes() -> bool:
    """Whether dask computes in other processes than this one."""
    import dask

    scheduler = dask.config.get("scheduler", None)
    return str(scheduler).lower() in ("dask.distributed", "distributed", "processes")


def _chunks_of_the_file(field: xr.DataArray) -> dict[Hashable, int]:
    """Length along each axis: of the file's chunks, or single records; all of y and x."""
    stored = field.encoding.get("preferred_chunks", {})
    parts = dict(field.sizes)
    first, second, *_ = field.dims
    parts[first] = stored.get(first, 1)
    if field.ndim > 3 and _record_bytes(field) > _WHOLE_BYTES:
        parts[second] = stored.get(second, 1)
    return parts


def _slabs(field: xr.DataArray) -> dict[Hashable, int]:
    """Length along each axis: of what is read at once, whose file's chunks zarr reads together.

    Smaller ones would be slower: dask has as many requests under way as threads, zarr ten.
    """
    records = slab_length(_record_bytes(field))
    return {**field.sizes, field.dims[0]: records}


def _record_bytes(field: xr.DataArray) -> int:
    return field.nbytes // max(len(field), 1)


def slab_length(record_bytes: int) -> int:
    """Number of states that are read at once: model files often chunk several together."""
    return int(np.clip(_WHOLE_BYTES // max(record_bytes, 1), 1, _SLAB_SAMPLES))
