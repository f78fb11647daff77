"""Design of a perturbed-parameter ensemble of the basin: parameters, parents and parts.

The points are a scrambled Sobol sequence, so a longer ensemble continues a shorter one. Each member
branches from the nearest training member before it in the sequence, or from the reference run.
Nothing branches from a member that is held out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from data.basin.forcing import DAYS_PER_YEAR, BasinParameters
from data.settings import Section
from data.shipped import to_read

REFERENCE = "reference"  # the run that the first members branch from
Part = Literal["train", "validation", "test", "outside"]
FloatArray = NDArray[np.float64]


class ParameterRange(Section):
    """The range of one parameter, sampled uniformly or uniformly in its logarithm."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "log"

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.low >= self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError(
                f"the {self.scale} range {self.low:g} to {self.high:g} is empty or not positive: "
                "give low below high, and low above 0 for a log scale"
            )
        return self

    def value(self, position: float) -> float:
        """The parameter at `position`: 0 is `low`, 1 is `high`, beyond is extrapolated."""
        if self.scale == "log":
            return float(self.low * (self.high / self.low) ** position)
        return float(self.low + (self.high - self.low) * position)

    def position(self, value: float) -> float:
        """Inverse of `value`."""
        if self.scale == "log":
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class PlannedMember:
    """One integration of the ensemble: its parameters, its parent and when it is recorded.

    record_times: years after the branching at which a state is kept; mean_years: years whose mean
    fields are kept.
    """

    name: str
    part: Part
    parameters: BasinParameters
    seed: int
    parent: str
    record_times: tuple[float, ...]
    mean_years: tuple[int, ...] = ()

    def plan(self, *, start: str = "") -> str:
        """What the record of the member depends on, as JSON.

        start: digest of the state that the reference run starts from, and the year if it is set.
        Parameters are rounded to nine digits: processors differ in the last ones.
        """
        # What is not given is left out, so that members without it keep their plans.
        given = self.parameters.model_dump(exclude_none=True)
        parameters = {name: float(f"{x:.9g}") for name, x in given.items()}
        plan = {
            "parameters": parameters,
            "seed": self.seed,
            "parent": self.parent or start,
            "record_times": self.record_times,
            "mean_years": self.mean_years,
        }
        return json.dumps(plan, sort_keys=True)


class EnsembleSettings(Section):
    """A perturbed-parameter ensemble of the basin."""

    basin: BasinParameters = Field(BasinParameters(), description="parameters that all share")
    start: Path = Field(description="state (npz) that the reference run starts from")
    start_year: float | None = Field(
        None, description="model year in which the reference run begins (default: of its start)"
    )
    finished: Path = Field(description="folder of finished members, one file each")
    reference_years: float = Field(100.0, gt=0)
    ranges: dict[str, ParameterRange] = Field(min_length=1)
    sequence_seed: int = Field(description="scrambles the Sobol sequence")
    forcing_seed: int = Field(description="of the reference run; each member adds its own offset")
    members: int = Field(ge=1, description="points of the sequence, all inside the ranges")
    only: list[str] = Field(
        [],
        description="names of the members to simulate (default: all); one whose parent is not "
        "among them branches from the reference run",
    )
    validation: list[int] = Field([], description="validation members, for model selection")
    test: list[int] = Field([], description="test members, for final results")
    outside: dict[str, dict[str, float]] = Field(
        {}, description="further members by name: positions in the ranges, 0.5 where not given"
    )
    replicates: list[int] = Field([], description="points simulated again with other forcing noise")
    continued: list[int] = Field([], description="points that go on to `continued_years`")
    continued_years: float = Field(250.0, gt=0)
    continued_interval: float = Field(10.0, gt=0, description="years between their records")
    early_years: list[int] = Field(
        [1, 2, 5, 10, 20, 35, 50],
        description="years after branching at which the adjustment is recorded",
    )
    record_years: float = Field(60.0, gt=0, description="years of regular records after these")
    record_interval_days: float = Field(450.0, gt=0)
    checkpoint_years: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        named = {*self.validation, *self.test, *self.replicates, *self.continued}
        if named and not 0 <= min(named) <= max(named) < self.members:
            raise ValueError(
                f"points {min(named)} to {max(named)} are named, but the sequence has 0 to "
                f"{self.members - 1}"
            )
        if {*self.validation} & {*self.test}:
            raise ValueError("a point is in both validation and test: choose one")
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if not self.record_times:
            raise ValueError("no state is recorded: give early_years, or longer record_years")
        if (
            self.continued
            and self.continued_years < self.record_times[-1] + self.continued_interval
        ):
            raise ValueError(
                f"members end in year {self.record_times[-1]:g} and are continued to "
                f"{self.continued_years:g}: raise continued_years"
            )
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        unknown = {*self.ranges} - {*BasinParameters.model_fields}
        if unknown:
            raise ValueError(f"the basin has no parameter {min(unknown)}")
        for name, given in self.outside.items():
            if {*given} - {*self.ranges}:
                raise ValueError(
                    f"{name} gives {min({*given} - {*self.ranges})}, which has no range; the "
                    f"ranges are {', '.join(self.ranges)}"
                )
        absent = [name for name in self.only if name not in self._names[1:]]
        if absent:
            raise ValueError(f"only names {absent[0]}, which is no member of the design")
        repeated = [name for name in self._names if self._names.count(name) > 1]
        if repeated:
            raise ValueError(f"two members are named {repeated[0]}: give each its own name")
        return self

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        corners = (np.full(len(self.ranges), end) for end in (0.0, 1.0))
        for position in (*corners, *map(self._position, self.outside.values())):
            self._parameters(position)  # raises what the basin refuses
        return self

    @property
    def stored_start(self) -> Path:
        """The start state to read: at its path, or else the shipped one of that name."""
        return to_read(self.start)

    @property
    def _names(self) -> list[str]:
        """Names of the reference and of all planned members, without their parameters."""
        return [
            REFERENCE,
            *map(self.name, range(self.members)),
            *self.outside,
            *(f"{self.name(point)}_replicate" for point in self.replicates),
            *(self._continuation(self.name(point)) for point in {*self.continued}),
        ]

    @property
    def reference(self) -> PlannedMember:
        """The run at the shared parameters that brings the start state near its equilibrium."""
        return PlannedMember(
            name=REFERENCE,
            part="train",
            parameters=self.basin,
            seed=self.forcing_seed,
            parent="",
            record_times=(self.reference_years,),
        )

    @cached_property
    def planned(self) -> list[PlannedMember]:
        """Every member in the order of the design, each after its parent."""
        return [*self.recorded, *self.continuations]

    @property
    def recorded(self) -> list[PlannedMember]:
        """The members whose states are archived: all but the continuations of others."""
        members = [*self._inside(), *self._outside(), *self._replicates()]
        return self._chosen(members)

    def _chosen(self, members: list[PlannedMember]) -> list[PlannedMember]:
        if not self.only:
            return members
        return [
            member if member.parent in self.only else replace(member, parent=REFERENCE)
            for member in members
            if member.name in self.only
        ]

    @cached_property
    def record_times(self) -> tuple[float, ...]:
        """Years after the branching at which a member keeps a state."""
        first = max(self.early_years, default=0)
        interval = self.record_interval_days / DAYS_PER_YEAR
        count = int(np.floor(self.record_years / interval + 1e-9))
        return (
            *map(float, self.early_years),
            *(first + interval * np.arange(1, count + 1)).tolist(),
        )

    @cached_property
    def positions(self) -> FloatArray:
        """Positions of the points in the ranges, `point parameter`, in 0 to 1."""
        from scipy.stats import qmc  # settings are read without SciPy

        sequence = qmc.Sobol(len(self.ranges), scramble=True, rng=self.sequence_seed)
        return sequence.random_base2(int(np.ceil(np.log2(self.members))))[: self.members]

    def name(self, point: int) -> str:
        """The name of a point of the sequence."""
        return f"m{point:02d}"

    @property
    def originals(self) -> dict[str, str]:
        """The member that each replicate repeats, by the name of the replicate."""
        return {f"{self.name(point)}_replicate": self.name(point) for point in self.replicates}

    def _inside(self) -> list[PlannedMember]:
        return [
            self._member(self.name(point), self._part(point), position, before=point, seed=point)
            for point, position in enumerate(self.positions)
        ]

    def _outside(self) -> list[PlannedMember]:
        return [
            self._member(
                name, "outside", self._position(given), before=self.members, seed=500 + number
            )
            for number, (name, given) in enumerate(self.outside.items())
        ]

    def _replicates(self) -> list[PlannedMember]:
        return [
            self._member(
                name, self._part(point), self.positions[point], before=point, seed=700 + point
            )
            for point, name in zip(self.replicates, self.originals, strict=True)
        ]

    @staticmethod
    def _continuation(name: str) -> str:
        return f"{name}_continued"

    @property
    def continuations(self) -> list[PlannedMember]:
        """Members that go on, to show how near the others are to equilibrium."""
        count = round((self.continued_years - self.record_times[-1]) / self.continued_interval)
        times = tuple(self.continued_interval * number for number in range(1, count + 1))
        points = {self.name(point) for point in self.continued}
        return [
            replace(
                member,
                name=self._continuation(member.name),
                parent=member.name,
                record_times=times,
                mean_years=(),
            )
            for member in self.recorded
            if member.name in points
        ]

    def _member(
        self, name: str, part: Part, position: FloatArray, *, before: int, seed: int
    ) -> PlannedMember:
        return PlannedMember(
            name=name,
            part=part,
            parameters=self._parameters(position),
            seed=self.forcing_seed + 1 + seed,
            parent=self._parent(position, before=before),
            record_times=self.record_times,
            mean_years=tuple(self.early_years),
        )

    def _parent(self, position: FloatArray, *, before: int) -> str:
        """The nearest training member among the points before `before`, or the reference."""
        points = [point for point in range(before) if self._part(point) == "train"]
        candidates = np.stack([self._reference_position, *self.positions[points]])
        nearest = int(np.linalg.norm(candidates - position, axis=1).argmin())
        return self.name(points[nearest - 1]) if nearest else REFERENCE

    @property
    def _reference_position(self) -> FloatArray:
        return np.array([r.position(getattr(self.basin, name)) for name, r in self.ranges.items()])

    def _part(self, point: int) -> Part:
        if point in self.test:
            return "test"
        return "validation" if point in self.validation else "train"

    def _position(self, given: Mapping[str, float]) -> FloatArray:
        return np.array([given.get(name, 0.5) for name in self.ranges])

    def _parameters(self, position: FloatArray) -> BasinParameters:
        values = {
            name: range_.value(float(x))
            for (name, range_), x in zip(self.ranges.items(), position, strict=True)
        }
        return BasinParameters(**{**self.basin.model_dump(), **values})
