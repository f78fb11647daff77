"""E-folding time of the level means on their way to equilibrium.

The mean x(t) of each level of each member approaches its own equilibrium as
x(t) = a + b exp(-t / tau). All levels of a range of depth and all members share tau. For a given
tau the best a and b follow from linear least squares (variable projection, Golub and Pereyra 1973),
so tau is the minimum of a table of squared residuals by tau and member. Sums over other members of
the same table give the spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.salinity import SALINITY_UNIT
from studies.ensemble.depth_ranges import ALL_DEPTHS, depth_ranges
from studies.ensemble.members import FinishedEnsemble

FloatArray = NDArray[np.float64]
Series = tuple[FloatArray, FloatArray]  # years `t`, and level means `t z`
TIMES = np.geomspace(2.0, 1000.0, 400)  # years; candidates of tau
RESAMPLES = 1000
SEED = 0
UNITS = {"temperature": "K", "salinity": SALINITY_UNIT}


@dataclass(frozen=True)
class Approach:
    """Fit of an e-folding time that several series share.

    residuals: squared residuals by `tau series`; gaps: b of each series, `tau series z`; last: last
    year of each series; weights: of the levels
    """

    residuals: FloatArray
    gaps: FloatArray
    last: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, series: Sequence[Series], weights: FloatArray) -> Approach:
        """Fit all candidates of tau to `series` with level `weights` `z`."""
        fits = [[_fit(*one, tau=tau) for one in series] for tau in TIMES]
        return cls(
            residuals=np.array([[residual @ weights for residual, _ in row] for row in fits]),
            gaps=np.array([[gap for _, gap in row] for row in fits]),
            last=np.array([year[-1] for year, _ in series]),
            weights=weights,
        )

    @property
    def e_folding_time(self) -> float:
        """The tau of all series together [years]; the largest of `TIMES` if it is longer."""
        return float(TIMES[self._best])

    def resampled(self) -> tuple[float, float]:
        """5th and 95th percentile of tau [years] over bootstrap samples of the series."""
        count = self.residuals.shape[1]
        draws = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))
        sums = self.residuals[:, draws].sum(axis=2)
        low, high = np.percentile(TIMES[sums.argmin(axis=0)], [5, 95])
        return float(low), float(high)

    def singly(self) -> tuple[float, float]:
        """10th and 90th percentile of tau [years] fitted to each series alone."""
        low, high = np.percentile(TIMES[self.residuals.argmin(axis=0)], [10, 90])
        return float(low), float(high)

    def remaining(self) -> float | None:
        """The distance from equilibrium in the last year, rms over series and levels.

        None if tau is longer than the series, which then do not tell their equilibrium.
        """
        if self.e_folding_time > self.last.min():
            return None
        left = self.gaps[self._best] * np.exp(-self.last / self.e_folding_time)[:, None]
        return float(np.sqrt(np.average((left**2).mean(axis=0), weights=self.weights)))

    @property
    def _best(self) -> int:
        return int(self.residuals.sum(axis=1).argmin())


def approach_rows(
    ensemble: FinishedEnsemble, continued: Mapping[str, Mapping[str, NDArray[Any]]]
) -> dict[str, dict[str, Any]]:
    """One row for each field and range of depth.

    continued: `year`, `temperature` and `salinity` of members with their continuations
    """
    yearly = {name: member.yearly for name, member in ensemble.members.items()}
    volume = ensemble.grid.volume.sum(axis=(1, 2))
    rows = {}
    for field, unit in UNITS.items():
        for name, levels in depth_ranges(ensemble.grid.depth).items():
            if name != ALL_DEPTHS:
                own = _approach(list(yearly.values()), field, levels, volume)
                before = _approach([yearly[one] for one in continued], field, levels, volume)
                after = _approach(list(continued.values()), field, levels, volume)
                row = _row(own, unit) if own else {}
                rows[f"{field[0].upper()}, {name}"] = row | {
                    "continued_before_years": before and before.e_folding_time,
                    "continued_years": after and after.e_folding_time,
                }
    return rows


def _approach(
    members: Sequence[Mapping[str, NDArray[Any]]],
    field: str,
    levels: NDArray[np.bool_],
    volume: FloatArray,
) -> Approach | None:
    series = [(one["year"], one[field][:, levels].astype(np.float64)) for one in members]
    return Approach.of(series, volume[levels] / volume[levels].sum()) if series else None


def _row(approach: Approach, unit: str) -> dict[str, Any]:
    return {
        "e_folding_years": approach.e_folding_time,
        "resampled_years": approach.resampled(),
        "singly_years": approach.singly(),
        "remaining": approach.remaining(),
        "unit": unit,
    }


def _fit(year: FloatArray, values: FloatArray, *, tau: float) -> tuple[FloatArray, FloatArray]:
    """Mean squared residual `z` and b `z` of the best a + b exp(-t / tau)."""
    decay = np.exp(-year / tau)
    shape = decay - decay.mean()
    anomaly = values - values.mean(axis=0)
    b = shape @ anomaly / (shape @ shape)
    return ((anomaly - shape[:, None] * b) ** 2).mean(axis=0), b
