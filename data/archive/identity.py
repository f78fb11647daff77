"""Checksums that say what a state archive is by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.grid import OceanGrid

CONTENT = "content_sha256"  # attribute: checksum of the states
DESCRIPTION = "description_sha256"  # attribute: checksum of what the states belong to


def description_checksum(
    grid: OceanGrid,
    *,
    samples: Mapping[str, Sequence[float] | NDArray[np.number]],
    equation_of_state: str,
    salinity_units: str,
) -> str:
    """sha256 over the grid, its places, the per-sample variables and the conventions.

    samples: `(sample,)` each: member, time, split and parameters
    """
    conventions = [equation_of_state, salinity_units, grid.periodic_x, grid.horizontal_units]
    digest = hashlib.sha256(json.dumps(conventions).encode())
    variables = {
        "depth": grid.depth,
        "thickness": grid.thickness,
        "area": grid.area,
        "wet": np.packbits(grid.wet),
        "longitude": grid.longitude,
        "latitude": grid.latitude,
    } | {f"sample {name}": values for name, values in samples.items()}
    for name, values in sorted(variables.items()):
        numbers = np.ascontiguousarray(values, dtype="<f8")
        digest.update(f"{name} {numbers.shape}".encode())
        digest.update(numbers)
    return digest.hexdigest()


def former_digest(
    content: str, grid: OceanGrid, *, split: NDArray[np.int8], equation_of_state: str
) -> str:
    """Fingerprint of an archive of version 0.1.0, as products in use have recorded it.

    content: checksum of the states. Places, areas, members and times are not part of it.
    """
    digest = hashlib.sha256(json.dumps([content, equation_of_state, grid.digest]).encode())
    digest.update(split.astype("<i1").tobytes())
    digest.update(np.ascontiguousarray(grid.thickness, dtype="<f4").tobytes())
    return digest.hexdigest()[:16]
