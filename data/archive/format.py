"""Format of a state archive on disk: variable names, CF attributes, store and compression."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ZarrUserWarning

from data.equations import is_conservative
from data.grid import OceanGrid
from data.parameters import YEAR
from data.salinity import salinity_of

ZIP_SUFFIX = ".zarr.zip"
FIELD_DIMENSIONS = ("sample", "depth", "y", "x")
SPLITS = {"train": 0, "validation": 1, "test": 2, "outside": 3}
UNUSED = -1
LEVEL_STEP_TEMPERATURE = 1 / 512  # K
LEVEL_STEP_SALINITY = 1 / 4096  # 1e-3 or g/kg
COMPRESSOR: Final = "zstd"
SHUFFLE: Final = "bitshuffle"
# Levels of compression: of archives that are drawn or ingested, and of those that are distributed,
# where 2 to 3 % of the bytes are worth 20 times the time (`halocline study cost writing`).
FAST, SMALL = 3, 9
HORIZONTAL_NAMES = {"degrees": ("lon", "lat"), "km": ("x", "y")}
# Attributes of archives whose model years count from a date.
CALENDAR, TIME_ORIGIN, DAYS_PER_YEAR = "calendar", "time_origin", "days_per_year"
# Attribute of archives with adjusted states, and its value.
ADJUSTMENT, ADJUSTED = "convective_adjustment", "exact, conserving column heat and salt"
SAMPLE_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "member": {"long_name": "ensemble member", "units": "1"},
    # No "since": decoders must leave model years, of whatever length, as they are.
    "time": {"long_name": "model time within the member", "units": YEAR},
    "split": {
        "long_name": "part of the data that the state belongs to",
        "units": "1",
        "flag_values": [-1, 0, 1, 2, 3],
        "flag_meanings": "unused train validation test outside",
    },
}
GRID_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "depth": {
        "standard_name": "depth",
        "long_name": "depth of the cell centres",
        "units": "m",
        "positive": "down",
        "axis": "Z",
    },
    "wet": {
        "standard_name": "sea_binary_mask",
        "long_name": "1 in the ocean, 0 on land",
        "units": "1",
    },
    "cell_area": {"standard_name": "cell_area", "long_name": "area of the cells", "units": "m2"},
    "thickness": {
        "standard_name": "cell_thickness",
        "long_name": "thickness of the cells",
        "units": "m",
    },
}
HORIZONTAL_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "lon": {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"},
    "lat": {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"},
    "x": {
        "standard_name": "projection_x_coordinate",
        "long_name": "distance in x",
        "units": "km",
    },
    "y": {
        "standard_name": "projection_y_coordinate",
        "long_name": "distance in y",
        "units": "km",
    },
}


def field_attributes(
    equation_of_state: str, salinity_units: str | None = None
) -> dict[str, dict[str, str]]:
    """CF attributes of `thetao`, `so` and `zos`, of the kinds that the equation of state takes.

    salinity_units: default: that of the kind; another one of practical salinity, such as g/kg,
        contradicts the kind's name, so that the name is `sea_water_salinity`
    """
    conservative, salinity = is_conservative(equation_of_state), salinity_of(equation_of_state)
    kind = "conservative" if conservative else "potential"
    open_kind = not conservative and salinity_units not in (None, salinity.units)
    return {
        "thetao": {
            "standard_name": f"sea_water_{kind}_temperature",
            "long_name": f"{kind} temperature",
            "units": "degC",
        },
        "so": {
            "standard_name": "sea_water_salinity" if open_kind else salinity.standard_name,
            "long_name": "salinity" if open_kind else salinity.long_name,
            "units": salinity_units or salinity.units,
        },
        "zos": {
            "standard_name": "sea_surface_height_above_geoid",
            "long_name": "sea level",
            "units": "m",
        },
    }


def grid_variables(
    grid: OceanGrid,
) -> dict[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]]:
    """Dimensions, values and CF attributes of every variable that describes the grid."""
    x_name, y_name = HORIZONTAL_NAMES[grid.horizontal_units]
    flat = np.ndim(grid.longitude) == 1
    x_dims, y_dims = (("x",), ("y",)) if flat else (("y", "x"), ("y", "x"))
    volume = FIELD_DIMENSIONS[1:]
    return {
        "depth": (("depth",), grid.depth, GRID_ATTRIBUTES["depth"]),
        "wet": (volume, grid.wet.astype(np.int8), GRID_ATTRIBUTES["wet"]),
        "cell_area": (("y", "x"), grid.area, GRID_ATTRIBUTES["cell_area"]),
        "thickness": (volume, grid.thickness, GRID_ATTRIBUTES["thickness"]),
        x_name: (x_dims, grid.longitude, HORIZONTAL_ATTRIBUTES[x_name]),
        y_name: (y_dims, grid.latitude, HORIZONTAL_ATTRIBUTES[y_name]),
    }


def compressors(level: int) -> tuple[BloscCodec, Crc32cCodec]:
    """zstd after a bit shuffle, and a checksum of each chunk that is compared when it is read.

    Rounded fields shrink 4x (lz4: 3x) and decode in about 1 ms, whatever the level.
    """
    return BloscCodec(cname=COMPRESSOR, clevel=level, shuffle=SHUFFLE), Crc32cCodec()


def consolidate(store: Store) -> None:
    """Gather all metadata in one place: opening a store then takes one read."""
    with warnings.catch_warnings():
        # Consolidated metadata is not in the zarr v3 specification yet; readers ignore it
        # or understand it.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(store)


def open_store(path: Path) -> Store:
    """The read-only zarr store at `path`, a directory or a `.zarr.zip`."""
    if path.is_dir():
        return zarr.storage.LocalStore(path, read_only=True)
    return zarr.storage.ZipStore(path, mode="r", read_only=True)


class ContentHash:
    """sha256 over the float32 bytes (little-endian, land 0) of each state in sample order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, channels: NDArray[np.float32]) -> None:
        """Add one state's channels `c y x`."""
        self._hash.update(np.ascontiguousarray(channels, dtype="<f4").tobytes())

    def hexdigest(self) -> str:
        """The digest of all states so far, 64 hexadecimal digits."""
        return self._hash.hexdigest()
