"""Variables that are read from disk when they are indexed, record by record.

`BackendArray`, `LazilyIndexedArray` and `explicit_indexing_adapter` are what xarray documents for
reading lazily ("How to add a new backend", which imports `xarray.core.indexing` for them); there is
no other public name. Arrays of dask would make dask necessary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

ReadRecords = Callable[[range], NDArray[Any]]


def lazy_variable(
    dimensions: tuple[str, ...],
    read: ReadRecords,
    *,
    shape: tuple[int, ...],
    dtype: Any,
    attributes: dict[str, Any] | None = None,
) -> xr.Variable:
    """A variable of the given `shape` whose first axis numbers the records.

    read: returns the records of a range, stacked
    """
    array = _Records(read, shape=shape, dtype=np.dtype(dtype))
    return xr.Variable(dimensions, indexing.LazilyIndexedArray(array), attributes)


class _Records(BackendArray):
    """An array for xarray: whole records are read, then indexed in memory."""

    def __init__(self, read: ReadRecords, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._read, self.shape, self.dtype = read, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        basic = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, basic, self._get)

    def _get(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        first, *rest = key
        numbers = range(self.shape[0])
        if isinstance(first, slice):
            return self._read(numbers[first])[(slice(None), *rest)]
        return self._read(numbers[first : first + 1])[(0, *rest)]
