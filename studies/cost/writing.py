"""Time and bytes of an archive's fields by level of compression.

    halocline study cost writing data/archives/ensemble.zarr.zip

Fields are compressed in memory in one thread, as they are stored: float32, NaN on land. Times are
processor times, so that other processes hardly change them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

from data.archive.format import COMPRESSOR
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from evaluation.provenance import provenance
from training.log import print_json

LEVELS = (1, 3, 5, 7, 9)
Field = NDArray[np.float32]


def fields_of(archive: StateArchive, count: int) -> list[Field]:
    """T and S `z y x` of `count` states, spread over the archive, as they are stored."""
    state = archive.read(spread_out(np.arange(len(archive)), count))
    wet = archive.grid.wet
    return [
        np.where(wet, values.numpy(), np.float32(np.nan))
        for field in (state.temperature, state.salinity)
        for values in field
    ]


def compression_cost(
    fields: Sequence[Field], *, levels: Sequence[int] = LEVELS
) -> dict[str, dict[str, float]]:
    """Means over fields, by level: milliseconds to write and to read, and bytes."""
    result = {}
    for level in levels:
        codec = Blosc(cname=COMPRESSOR, clevel=level, shuffle=Blosc.BITSHUFFLE)
        packed, writing = _timed(codec.encode, fields)
        _, reading = _timed(codec.decode, packed)
        result[str(level)] = {
            "write_ms": writing / len(fields),
            "read_ms": reading / len(fields),
            "bytes": sum(map(len, packed)) / len(fields),
        }
    return result


def _timed(
    function: Callable[[object], bytes], inputs: Sequence[object]
) -> tuple[list[bytes], float]:
    """Outputs, and milliseconds of processor time."""
    start = time.process_time()
    outputs = [function(one) for one in inputs]
    return outputs, 1000 * (time.process_time() - start)


def run(*, archive: Path, states: int = 12, output: Path | None = None) -> None:
    """Measure the levels of compression on fields of an archive and print the result as JSON."""
    fields = fields_of(StateArchive.open(archive), states)
    result: dict[str, object] = {
        "archive": archive.name,
        "fields": len(fields),
        "bytes_uncompressed": fields[0].nbytes,
        "levels": compression_cost(fields),
        "kind": "writing_cost",
        "provenance": provenance(seeds={}),
    }
    print_json(result, output)
