"""Observations of the ocean: points, profiles, sections, means over layers and boxes, maps.

All are one table with a row for each value, so that every operator, error and report treats them
alike.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError

FloatArray = NDArray[np.float64]
Quantity = Literal["temperature", "salinity", "sea_level"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True)
class Places:
    """`n` places in the water.

    longitude, latitude: `n`, degrees, or km on a plane; of a mean over a box, its centre
    top, bottom: `n` [m], positive down: equal for a point, different for the mean over a layer; 0
        for sea level
    width, height: `n`, extents along longitude and latitude of a mean over a box; 0 for a point
    profile: `n`, number of the profile, section or map that the place belongs to
    """

    longitude: FloatArray
    latitude: FloatArray
    top: FloatArray
    bottom: FloatArray
    width: FloatArray
    height: FloatArray
    profile: NDArray[np.int64]


@dataclass(frozen=True)
class Observations(Places):
    """`n` observed values, each at its place.

    quantity: `n`, "temperature" [degC], "salinity" [1e-3 or g/kg] or "sea_level" [m], of the kinds
        that the model's equation of state takes
    value, error: `n`, in these units; error is the standard deviation of the measurement
    """

    quantity: NDArray[np.str_]
    value: FloatArray
    error: FloatArray

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def depth(self) -> FloatArray:
        """Depth of each value `n` [m]: the middle of its layer."""
        return 0.5 * (self.top + self.bottom)

    def at(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Observations:
        """Some of the observations."""
        return replace(self, **{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @classmethod
    def of_points(
        cls,
        quantity: Quantity,
        value: FloatArray,
        *,
        error: FloatArray | float,
        longitude: FloatArray,
        latitude: FloatArray,
        depth: FloatArray | float = 0.0,
        profile: NDArray[np.int64] | int = 0,
    ) -> Observations:
        """Observations of one quantity at points; arguments are `n` or numbers."""
        shape = np.shape(value)
        level = np.full(shape, depth, dtype=np.float64)
        return cls(
            quantity=np.full(shape, quantity),
            value=np.asarray(value, dtype=np.float64),
            error=np.full(shape, error, dtype=np.float64),
            longitude=np.full(shape, longitude, dtype=np.float64),
            latitude=np.full(shape, latitude, dtype=np.float64),
            top=level,
            bottom=level,
            width=np.zeros(shape),
            height=np.zeros(shape),
            profile=np.full(shape, profile, dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: list[Observations]) -> Observations:
        """All observations of the parts; profiles are numbered on from part to part."""
        columns = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(cls)
        }
        starts = np.cumsum([0, *(_profiles(part) for part in parts[:-1])])
        numbers = [part.profile + start for part, start in zip(parts, starts, strict=True)]
        return cls(**columns | {"profile": np.concatenate(numbers)})


def _profiles(observations: Observations) -> int:
    return int(observations.profile.max(initial=-1)) + 1


def _check(observations: Observations) -> None:
    """Raise UserError for an empty table, another quantity, a missing value or an error of 0."""
    if not len(observations):
        raise UserError("there are no observations: give at least one value")
    other = sorted(set(observations.quantity.tolist()) - set(QUANTITIES))
    if other:
        raise UserError(f"there are observations of {other[0]!r}: expected {', '.join(QUANTITIES)}")
    for one in fields(observations):
        column = getattr(observations, one.name)
        if column.shape != observations.value.shape:
            raise UserError(
                f"there are {len(observations)} observed values and {len(column)} of "
                f"{one.name}: give one for each value"
            )
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise UserError(
                f"{int((~np.isfinite(column)).sum())} observations have no finite {one.name}: "
                "leave them out or give it"
            )
    if not (observations.error > 0).all():
        raise UserError(
            f"{int((observations.error <= 0).sum())} observations have an error of 0 or less: "
            "give the standard deviation of each measurement"
        )
