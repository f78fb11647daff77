"""How near a member of an ensemble has come to its equilibrium: trends of its level means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
LAST_YEARS = 40  # whose trend is certified


@dataclass(frozen=True)
class Certificate:
    """Linear trends of the yearly level means over a member's last `LAST_YEARS` years.

    temperature: `z` [K per century]; salinity: `z` [g/kg per century]; volume: of the levels, `z`
    [m3]
    """

    temperature: FloatArray
    salinity: FloatArray
    volume: FloatArray

    @classmethod
    def of(cls, member: Mapping[str, NDArray[Any]], volume: FloatArray) -> Certificate:
        """From a finished member's `year`, and `temperature` and `salinity` `year z`."""
        year = member["year"]
        last = year > year[-1] - LAST_YEARS
        return cls(
            temperature=trend(member["temperature"][last], year[last]),
            salinity=trend(member["salinity"][last], year[last]),
            volume=volume,
        )

    def as_dict(self) -> dict[str, Any]:
        """Numbers for an archive's attributes: by level, and their rms weighted by volume."""
        return {
            "temperature_K_per_century": self.temperature.round(4).tolist(),
            "salinity_per_century": self.salinity.round(5).tolist(),
            "rms_temperature_K_per_century": round(self._rms(self.temperature), 4),
            "rms_salinity_per_century": round(self._rms(self.salinity), 5),
        }

    def _rms(self, trends: FloatArray) -> float:
        return float(np.sqrt(np.average(trends**2, weights=self.volume)))


def trend(series: FloatArray, year: FloatArray) -> FloatArray:
    """Least-squares slope of `series` `year ...` [its unit per century]."""
    elapsed = np.asarray(year, dtype=np.float64) - np.mean(year)
    slope = np.tensordot(elapsed, np.asarray(series, dtype=np.float64), axes=1)
    return 100 * slope / (elapsed**2).sum()
