"""Conditions of states: parameters of the model, season, and age since the parameters changed.

Conditions come from an archive's per-sample parameters, under the names that they have there. The
season is the parameter `season` [fraction of the year] or, without it, the fraction of the model
time. The age is the parameter `age` [years]; at equilibrium it is infinite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data.errors import UserError
from data.parameters import AGE, SEASON, unit_suffix
from data.settings import Section

if TYPE_CHECKING:
    from data.archive.reader import StateArchive

ADJUSTMENT_YEARS = 30.0  # e-folding time of what age stands for
HARMONICS = 2  # of the year
MOST_LEFT = 0.1  # of the adjustment, at the end of records that stand for an equilibrium
EQUILIBRIUM = np.inf  # age [years]

FloatArray = NDArray[np.float64]
Scale = Literal["log", "linear"]


class ConditionSettings(Section):
    """What the states of an archive depend on."""

    parameters: dict[str, Scale] = Field(
        min_length=1,
        description="parameters of the archive by name: log (for positive ones) or linear",
    )
    season: bool = Field(False, description="whether states depend on the season")
    age: bool = Field(False, description="whether states depend on the years since the change")


@dataclass(frozen=True)
class Conditions:
    """Conditions of `b` states.

    values: by name, each `b`: parameters in the units of the archive, `season` [fraction of the
    year] and `age` [years, infinite at equilibrium] where states depend on them
    certain: whether the mean of states at these conditions is the expected one; otherwise each
        state has one from the predictive distribution of the mean
    units: of the parameters by name, where they are known
    """

    values: dict[str, FloatArray]
    certain: bool = False
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, archive: StateArchive, indices: NDArray[np.integer], settings: ConditionSettings
    ) -> Self:
        """Conditions of the states at `indices`. Raises `UserError` if the archive lacks one."""
        known = {SEASON: archive.time % 1, **archive.parameters}
        wanted = condition_names(settings)
        missing = [name for name in wanted if name not in known]
        if missing:
            raise UserError(
                f"{archive.path} has no parameter {missing[0]}; it has "
                f"{', '.join(sorted(archive.parameters)) or 'none'}: correct conditions, or name "
                "the parameter when the archive is written"
            )
        units = {name: archive.units[name] for name in wanted if name in archive.units}
        return cls({name: known[name][indices] for name in wanted}, units=units)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def at(self, rows: Iterable[int]) -> Conditions:
        """The conditions of some of the states."""
        where = np.fromiter(rows, dtype=np.int64)
        return replace(self, values={name: v[where] for name, v in self.values.items()})

    def of_state(self, row: int) -> dict[str, float]:
        """The conditions of one state, by name."""
        return {name: float(values[row]) for name, values in self.values.items()}

    def as_dict(self) -> dict[str, object]:
        """Values by name, and whether their mean is certain, for records."""
        values = {name: values.tolist() for name, values in self.values.items()}
        return {**values, "certain": self.certain}

    def with_values(self, **values: float | FloatArray) -> Conditions:
        """The same with some values replaced, by one for all states or one for each."""
        size = len(self)
        return replace(self, values=self.values | {k: np.full(size, v) for k, v in values.items()})


def condition_names(settings: ConditionSettings) -> list[str]:
    """Names of all conditions."""
    return [*settings.parameters, *[SEASON] * settings.season, *[AGE] * settings.age]


@dataclass(frozen=True)
class ConditionSpace:
    """Standardised conditions, and their range in the training data.

    scales: of each parameter; low, high: its range over the training members; centre, spread: mean
    and standard deviation of its (logarithmic) value over them; season, age: whether states depend
    on these; mean_approach: mean of exp(-age / 30 years) over the training states; oldest: their
        largest age [years]; units: of the parameters, where the archive stated them
    """

    scales: dict[str, Scale]
    low: dict[str, float]
    high: dict[str, float]
    centre: dict[str, float]
    spread: dict[str, float]
    season: bool
    age: bool
    mean_approach: float = 0.0
    oldest: float = 0.0
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, conditions: Conditions, member: NDArray[np.integer], settings: ConditionSettings
    ) -> Self:
        """The space of training states: `conditions` and ensemble `member` of each, `b`.

        Raises `UserError` for a parameter that is not positive but logarithmic, that varies within
        a member, or that all members share, and for a season or an age that does not vary.
        """
        first = np.unique(member, return_index=True)[1]
        points = {name: conditions.values[name][first] for name in settings.parameters}
        for name, scale in settings.parameters.items():
            _check_parameter(name, scale, conditions.values[name], member)
        for name in [SEASON] * settings.season + [AGE] * settings.age:
            _check_varies(name, conditions.values[name])
        scaled = {name: _scaled(points[name], settings.parameters[name]) for name in points}
        approach = _approach(conditions.values[AGE]).mean() if settings.age else 0.0
        return cls(
            scales=dict(settings.parameters),
            low={name: float(values.min()) for name, values in points.items()},
            high={name: float(values.max()) for name, values in points.items()},
            centre={name: float(values.mean()) for name, values in scaled.items()},
            spread={name: float(values.std()) for name, values in scaled.items()},
            season=settings.season,
            age=settings.age,
            mean_approach=float(approach),
            oldest=float(conditions.values[AGE].max()) if settings.age else 0.0,
            units={k: unit for k, unit in conditions.units.items() if k in settings.parameters},
        )

    @property
    def names(self) -> list[str]:
        """Names of all conditions."""
        return [*self.scales, *[SEASON] * self.season, *[AGE] * self.age]

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter among the training members."""
        return {name: (self.low[name], self.high[name]) for name in self.scales}

    @property
    def size(self) -> int:
        """Number of `features`."""
        return len(self.scales) + 1 + self.age + 2 * HARMONICS * self.season

    @property
    def _columns(self) -> list[tuple[str, Scale]]:
        """Name and scale of the parameter of each column of `point`.

        Not in the order of `scales`, which files do not keep.
        """
        return sorted(self.scales.items())

    def point(self, conditions: Conditions) -> FloatArray:
        """Standardised parameters `b p`, in the order of their names."""
        columns = [
            (_scaled(conditions.values[name], scale) - self.centre[name]) / self.spread[name]
            for name, scale in self._columns
        ]
        return np.stack(columns, axis=1)

    def parameters(self, point: FloatArray) -> dict[str, FloatArray]:
        """Parameters by name, each `b`, at standardised points `b p`: the inverse of `point`."""
        parameters = {}
        for column, (name, scale) in zip(point.T, self._columns, strict=True):
            value = self.centre[name] + self.spread[name] * column
            parameters[name] = np.exp(value) if scale == "log" else value
        return parameters

    def course(self, conditions: Conditions) -> FloatArray:
        """What a member's mean is a linear function of, `b t`: 1, approach, harmonics of the year.

        The approach is exp(-age / 30 years) minus its mean over the training states.
        """
        columns = [np.ones(len(conditions))]
        if self.age:
            columns.append(_approach(conditions.values[AGE]) - self.mean_approach)
        if self.season:
            columns += _harmonics(conditions.values[SEASON])
        return np.stack(columns, axis=1)

    def features(self, conditions: Conditions) -> FloatArray:
        """Input of the network `b f`: `point` and `course`. Unknown conditions are all 0.

        The 1 of the course tells known conditions, at their mean, from unknown ones.
        """
        return np.concatenate([self.point(conditions), self.course(conditions)], axis=1)

    def check(self, conditions: Conditions, *, extrapolate: bool) -> None:
        """Raise `UserError` for values that make no sense or, by default, lie out of the range."""
        missing = [name for name in self.names if name not in conditions.values]
        unknown = [name for name in conditions.values if name not in self.names]
        if missing or unknown:
            raise UserError(
                f"the conditions are {', '.join(conditions.values)}, but the model's are "
                f"{', '.join(self.names)}: give all of these"
            )
        for name, values in conditions.values.items():
            if name != AGE:
                self._check_number(name, values)
            if name in self.scales and not extrapolate:
                self._check_range(name, values)
        if self.season:
            _check_season(conditions.values[SEASON])
        if self.age:
            self._check_age(conditions.values[AGE], extrapolate=extrapolate)

    def _check_age(self, age: FloatArray, *, extrapolate: bool) -> None:
        if not (age >= 0).all():
            raise UserError(f"age is {age.min():g} years: give 0 or more")
        left = float(_approach(np.array(self.oldest)))
        if (age > self.oldest).any() and left > MOST_LEFT and not extrapolate:
            raise UserError(
                f"the training members end {self.oldest:g} years after their change, with "
                f"{100 * left:.0f} % of the adjustment left: draw at an age up to that, or give "
                "--extrapolate"
            )

    def _check_number(self, name: str, values: FloatArray) -> None:
        positive = self.scales.get(name) == "log"
        wrong = values[~np.isfinite(values) | (positive & ~(values > 0))]
        if wrong.size:
            raise UserError(f"{name} is {wrong[0]:g}: give a finite number{' above 0' * positive}")

    def _check_range(self, name: str, values: FloatArray) -> None:
        low, high = self.low[name], self.high[name]
        outside = values[(values < low) | (values > high)]
        if outside.size:
            value = float(outside[0])
            bound, unit = low if value < low else high, unit_suffix(name, self.units)
            raise UserError(
                f"{name} {value:g}{unit} is outside the range of the training members, {low:g} to "
                f"{high:g}{unit}: the nearest bound is {bound:g}; give a value inside, or "
                "--extrapolate"
            )


def _check_season(season: FloatArray) -> None:
    outside = season[(season < 0) | (season > 1)]
    if outside.size:
        raise UserError(
            f"season is {outside[0]:g}: give the fraction of the year, from 0 (1 January) to 1"
        )


def _check_varies(name: str, values: FloatArray) -> None:
    if not np.ptp(values) > 0:
        raise UserError(
            f"{name} is {values[0]:g} in all training states: nothing can be learned about it; set "
            f"conditions.{name} to false"
        )


def _check_parameter(
    name: str, scale: Scale, values: FloatArray, member: NDArray[np.integer]
) -> None:
    if not np.isfinite(values).all():
        raise UserError(
            f"{name} is not a number in a state of member {member[~np.isfinite(values)][0]}: every "
            "training state needs its parameters"
        )
    if scale == "log" and values.min() <= 0:
        raise UserError(
            f"{name} is {values.min():g} in a training state: set conditions.parameters.{name} to "
            "linear, because only positive values have a logarithm"
        )
    for one in np.unique(member):
        own = values[member == one]
        if np.ptp(own) > 0:
            raise UserError(
                f"{name} varies within member {one} ({own.min():g} to {own.max():g}): states of "
                "one member share their parameters; give each set of parameters its own member"
            )
    if np.ptp(values) == 0:
        raise UserError(
            f"{name} is {values[0]:g} in all training states: nothing can be learned about it; "
            f"remove {name} from conditions.parameters"
        )


def _scaled(values: FloatArray, scale: Scale) -> FloatArray:
    return np.log(values) if scale == "log" else np.asarray(values, dtype=np.float64)


def _approach(age: FloatArray) -> FloatArray:
    """Share of the adjustment that is left at `age` [years]; 0 at equilibrium."""
    return np.exp(-age / ADJUSTMENT_YEARS)


def _harmonics(season: FloatArray) -> list[FloatArray]:
    """Cosine and sine of the first harmonics of the year."""
    phases = [2 * np.pi * order * season for order in range(1, HARMONICS + 1)]
    return [function(phase) for phase in phases for function in (np.cos, np.sin)]
