"""The finished members on their way: yearly means, equilibrium, and distance from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.basin.design import EnsembleSettings, PlannedMember
from data.basin.ensemble import finished_file, unfinished
from data.basin.forcing import BasinParameters
from data.basin.member_files import FinishedMember, read_member
from data.errors import UserError
from data.grid import OceanGrid
from studies.ensemble.depth_ranges import ALL_DEPTHS, rms_by_range
from studies.partial.exponential import MIDDLE
from studies.partial.records import Records

FloatArray = NDArray[np.float64]
EQUILIBRIUM_YEARS = 40  # at the end of a member, whose mean stands for the equilibrium
SEASONS = 4  # regular records in a row that fall into the four seasons
FEWEST = 4  # training members


@dataclass(frozen=True)
class Course:
    """The way of one member.

    years: `t`; means: T [degC] and S [g/kg] of these years, `t 2 z y x`; ages: those of the
    records whose mean is the equilibrium `2 z y x`; own_ages, own_distance: `a`, age [years] and
    rms difference of T from the equilibrium [K] of means over a year or four seasons
    """

    years: FloatArray
    means: FloatArray
    ages: FloatArray
    equilibrium: FloatArray
    own_ages: FloatArray
    own_distance: FloatArray

    @classmethod
    def of(cls, member: FinishedMember, grid: OceanGrid) -> Course:
        """Of a finished member."""
        states = np.stack([member.temperature, member.salinity], axis=1)
        means = np.stack([member.mean_temperature, member.mean_salinity], axis=1)
        regular, last = _regular(member), _at_equilibrium(member)
        equilibrium = states[last].mean(axis=0)
        before = regular & ~last
        later_ages, later = _in_all_seasons(member.age[before], states[before])
        own = np.concatenate([means, later])
        return cls(
            years=member.mean_year,
            means=means,
            ages=member.age[last],
            equilibrium=equilibrium,
            own_ages=np.concatenate([member.mean_year - MIDDLE, later_ages]),
            own_distance=np.array([_distance(one, equilibrium, grid) for one in own]),
        )

    def years_on(self, error: float, year: float) -> tuple[float, bool]:
        """The years after `year` until the member itself is as near as `error` [K].

        Negative if it was as near before; False, with the years until then, if it does not come as
        near before the records of which the equilibrium is the mean.
        """
        nearest = np.minimum.accumulate(self.own_distance)
        reached = bool(error >= nearest[-1])
        age = float(np.interp(error, nearest[::-1], self.own_ages[::-1]))
        return age - (year - MIDDLE), reached


@dataclass(frozen=True)
class Courses:
    """The ways of all finished members but replicates, in the order of the design.

    missing: names of the members that are not finished
    """

    settings: EnsembleSettings
    grid: OceanGrid
    members: Mapping[str, Course]
    missing: tuple[str, ...]

    @classmethod
    def read(cls, settings: EnsembleSettings, grid: OceanGrid) -> Courses:
        """Read all finished members.

        Raises `UserError` if fewer than four training members are finished, or one was simulated
        with other settings.
        """
        planned = [one for one in settings.recorded if one.name not in settings.originals]
        missing = tuple(member.name for member in unfinished(settings, planned))
        finished = [member for member in planned if member.name not in missing]
        training = sum(member.part == "train" for member in finished)
        if training < FEWEST:
            raise UserError(
                f"{training} training members are finished in {settings.finished}, but {FEWEST} "
                "are needed; run `halocline simulate` first, or work in a checkout, which has them"
            )
        courses = {
            member.name: Course.of(read_member(finished_file(settings, member.name), grid), grid)
            for member in tqdm(finished, desc="reading", unit="member")
        }
        return cls(settings, grid, courses, missing)

    def names(self, part: str) -> list[str]:
        """The finished members of a part."""
        return [one.name for one in self._planned if one.part == part]

    def records(self, names: Sequence[str], space: StandardSpace) -> Records:
        """The records of some members, their fields as vectors of a space."""
        planned = {member.name: member for member in self._planned}
        courses = [self.members[name] for name in names]
        points = [self._point(planned[name].parameters) for name in names]
        before = [self._point(self._former(planned[name])) for name in names]
        return Records(
            points=np.stack(points),
            steps=np.stack(points) - np.stack(before),
            years=courses[0].years,
            means=np.stack([space.vectors(course.means) for course in courses]),
            equilibrium=np.stack([space.vectors(course.equilibrium) for course in courses]),
            ages=courses[0].ages,
        )

    @property
    def _planned(self) -> list[PlannedMember]:
        return [one for one in self.settings.recorded if one.name in self.members]

    def _former(self, member: PlannedMember) -> BasinParameters:
        """The parameters of the run that a member branched from."""
        everyone = {one.name: one.parameters for one in self.settings.recorded}
        return everyone.get(member.parent, self.settings.basin)

    def _point(self, parameters: BasinParameters) -> FloatArray:
        """Positions in the ranges, of variance 1 if they are uniformly distributed."""
        positions = [
            range_.position(getattr(parameters, name))
            for name, range_ in self.settings.ranges.items()
        ]
        return np.sqrt(12) * (np.array(positions) - 0.5)


@dataclass(frozen=True)
class StandardSpace:
    """T and S of the wet cells as one vector: standardised by level, weighted by volume.

    The squared length of a vector is the volume mean of the squares of standardised T plus that of
    S. scales: `2 z`, what 1 stands for on each level [K and g/kg]
    """

    grid: OceanGrid
    scales: FloatArray

    @classmethod
    def of(cls, fields: FloatArray, grid: OceanGrid) -> StandardSpace:
        """Scaled by the standard deviation of the fields `m 2 z y x` of members on each level."""
        volume = grid.volume / grid.volume.sum(axis=(1, 2), keepdims=True)
        anomalies = fields - fields.mean(axis=0)
        variance = (anomalies**2 * volume).sum(axis=(-2, -1)).mean(axis=0)
        return cls(grid, np.sqrt(variance))

    @property
    def levels(self) -> NDArray[np.int64]:
        """The number of the field and level of each value, `v`."""
        shape = (2, *self.grid.shape)
        numbers = np.arange(2 * self.grid.shape[0]).reshape(2, -1, 1, 1)
        return np.broadcast_to(numbers, shape)[:, self.grid.wet].ravel()

    def vectors(self, fields: FloatArray) -> FloatArray:
        """Vectors `... v` of fields `... 2 z y x`."""
        wet = fields[..., self.grid.wet]
        flat: FloatArray = wet.reshape(*wet.shape[:-2], -1)
        return flat * self._weights

    def fields(self, vectors: FloatArray) -> FloatArray:
        """Fields `... 2 z y x`, land 0, of vectors `... v`."""
        leading = vectors.shape[:-1]
        fields = np.zeros((*leading, 2, *self.grid.shape))
        fields[..., self.grid.wet] = (vectors / self._weights).reshape(*leading, 2, -1)
        return fields

    @property
    def _weights(self) -> FloatArray:
        volume = np.sqrt(self.grid.volume / self.grid.volume.sum())
        weights: FloatArray = (volume / self.scales[:, :, None, None])[:, self.grid.wet]
        return weights.ravel()


def annual_means(member: FinishedMember) -> FloatArray:
    """Means over four seasons of T [degC] and S [g/kg] at equilibrium, `t 2 z y x`."""
    last = _at_equilibrium(member)
    states = np.stack([member.temperature[last], member.salinity[last]], axis=1)
    return _in_all_seasons(member.age[last], states)[1]


def _regular(member: FinishedMember) -> NDArray[np.bool_]:
    """Which records follow each other at the same interval."""
    regular: NDArray[np.bool_] = member.age > member.mean_year[-1]
    return regular


def _at_equilibrium(member: FinishedMember) -> NDArray[np.bool_]:
    """Which records are those whose mean is the equilibrium."""
    last: NDArray[np.bool_] = member.age > member.age[-1] - EQUILIBRIUM_YEARS
    return _regular(member) & last


def _distance(state: FloatArray, equilibrium: FloatArray, grid: OceanGrid) -> float:
    """The rms difference of T [K] of states `2 z y x`."""
    return rms_by_range(state[0] - equilibrium[0], grid)[ALL_DEPTHS]


def _in_all_seasons(ages: FloatArray, states: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ages and states, each the mean of four in a row."""
    starts = range(len(ages) - SEASONS + 1)
    means = [states[start : start + SEASONS].mean(axis=0) for start in starts]
    centres = [ages[start : start + SEASONS].mean() for start in starts]
    return np.array(centres), np.array(means).reshape(-1, *states.shape[1:])
