"""What the last year of a member is worth: comparison with its continuation.

The mean of a few states around the end of the member is compared with the mean of as many at the
end of the continuation, all in the same season, and so are means of the level means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.basin.certificate import Certificate
from data.basin.design import EnsembleSettings, PlannedMember
from data.basin.ensemble import finished_file
from data.basin.member_files import FinishedMember, read_member
from data.grid import OceanGrid
from studies.ensemble.depth_ranges import rms_by_range
from studies.ensemble.members import FinishedEnsemble

FloatArray = NDArray[np.float64]
EACH_SIDE = 2  # states before and after the member's end
MEAN_YEARS = 20  # of the compared level means
FIELDS = ("temperature", "salinity")


@dataclass(frozen=True)
class ContinuedMember:
    """A member and its continuation as one record.

    end: age at which the continuation began [years]; interval: between its records [years]; age
    `t`; temperature [degC] and salinity [g/kg]: `t z y x`; yearly: see `FinishedMember`
    """

    end: float
    interval: float
    age: FloatArray
    temperature: FloatArray
    salinity: FloatArray
    yearly: Mapping[str, NDArray[Any]]

    @classmethod
    def read(
        cls, settings: EnsembleSettings, continuation: PlannedMember, grid: OceanGrid
    ) -> ContinuedMember:
        """Join the files of a finished continuation and of its parent."""
        names = (continuation.parent, continuation.name)
        parts = [read_member(finished_file(settings, name), grid) for name in names]
        return cls(
            end=settings.record_times[-1],
            interval=settings.continued_interval,
            age=np.concatenate([parts[0].age, parts[0].yearly["year"][-1] + parts[1].age]),
            temperature=np.concatenate([part.temperature for part in parts]),
            salinity=np.concatenate([part.salinity for part in parts]),
            yearly=_joined(*parts),
        )

    def change(self, field: str) -> tuple[FloatArray, FloatArray]:
        """Change `z y x` from the states around the end to the last ones, and its variance.

        The variance is that of the difference of two means of states whose departures from a
        linear trend are independent.
        """
        before, before_variance = self._mean(field, around=self.end)
        after, after_variance = self._mean(
            field, around=float(self.age[-1]) - EACH_SIDE * self.interval
        )
        return after - before, before_variance + after_variance

    def level_change(self, field: str) -> FloatArray:
        """Change `z` of the level means from the years around the end to the last ones."""
        year, series = self.yearly["year"], self.yearly[field].astype(np.float64)
        around = np.abs(year - 0.5 - self.end) < MEAN_YEARS / 2
        last: FloatArray = series[year > year[-1] - MEAN_YEARS].mean(axis=0)
        return last - series[around].mean(axis=0)

    def _mean(self, field: str, *, around: float) -> tuple[FloatArray, FloatArray]:
        """Mean `z y x` of the states in steps of the interval around an age, and its variance."""
        ages = around + self.interval * np.arange(-EACH_SIDE, EACH_SIDE + 1)
        chosen = np.isclose(self.age[:, None], ages).any(axis=1)
        states: FloatArray = getattr(self, field)[chosen]
        anomaly, elapsed = states - states.mean(axis=0), self.age[chosen] - self.age[chosen].mean()
        slope = np.tensordot(elapsed, anomaly, axes=1) / (elapsed**2).sum()
        residual = anomaly - elapsed[:, None, None, None] * slope
        variance = (residual**2).sum(axis=0) / (len(states) - 2)
        return states.mean(axis=0), variance / len(states)


def continued_members(ensemble: FinishedEnsemble) -> dict[str, ContinuedMember]:
    """The members whose continuations are finished, by their own names."""
    return {
        one.parent: ContinuedMember.read(ensemble.settings, one, ensemble.grid)
        for one in ensemble.settings.continuations
        if one.name not in ensemble.missing_continuations and one.parent in ensemble.members
    }


def worth_rows(
    ensemble: FinishedEnsemble, continued: Mapping[str, ContinuedMember]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By field, one row for each member to be continued and range of depth.

    Without the continuation a row has only the trend at the end of the member.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {field: {} for field in FIELDS}
    for continuation in ensemble.settings.continuations:
        name = continuation.parent
        if name in ensemble.members:
            for field in FIELDS:
                found = _worth(ensemble, name, field, continued.get(name))
                rows[field] |= {f"{name}, {depths}": row for depths, row in found.items()}
    return rows


def _worth(
    ensemble: FinishedEnsemble, name: str, field: str, continued: ContinuedMember | None
) -> dict[str, dict[str, Any]]:
    """The columns of a member's rows by range of depth."""
    grid = ensemble.grid
    columns = {"trend_per_century": _trend(ensemble.members[name].yearly, field, grid)}
    if continued:
        change, variance = continued.change(field)
        columns |= {
            "change": rms_by_range(change, grid),
            "noise": rms_by_range(np.sqrt(variance), grid),
            "level_change": rms_by_range(continued.level_change(field), grid),
            "last_trend_per_century": _trend(continued.yearly, field, grid),
        }
    ranges = columns["trend_per_century"]
    return {depths: {key: column[depths] for key, column in columns.items()} for depths in ranges}


def _trend(yearly: Mapping[str, NDArray[Any]], field: str, grid: OceanGrid) -> dict[str, float]:
    certificate = Certificate.of(yearly, grid.volume.sum(axis=(1, 2)))
    return rms_by_range(getattr(certificate, field), grid)


def _joined(parent: FinishedMember, continuation: FinishedMember) -> dict[str, NDArray[Any]]:
    """The yearly series of both, with years counted from the parent's branching."""
    first, second = parent.yearly, continuation.yearly
    joined = {field: np.concatenate([first[field], second[field]]) for field in FIELDS}
    return joined | {"year": np.append(first["year"], first["year"][-1] + second["year"])}
