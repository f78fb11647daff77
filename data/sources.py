"""Opened model outputs, and what of each goes into the archive: samples, members, parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.archive.format import CALENDAR, DAYS_PER_YEAR, TIME_ORIGIN
from data.equations import EQUATIONS
from data.errors import UserError, file_errors
from data.parameters import AGE, NO_UNIT, YEAR, stated_unit
from data.readers.base import ModelOutput
from data.readers.clock import Clock
from data.readers.nemo_pieces import whole_name
from data.readers.settings import Reader
from data.remote import network_errors
from data.state import State
from data.units import YEARS, factor

_UNIT = re.compile(r"[^\W\d_]|[%‰°]")  # what units have


@dataclass(frozen=True)
class Source:
    """One opened output and the samples that go into the archive.

    group: number of the entry in `files`, or of the list; member: `(sample,)`, of all samples
    shift: added to the output's years, for files that count from another date [years]
    parameters: each `(sample,)`, of all samples; units: of those whose unit the output states
    """

    output: ModelOutput
    paths: list[Path]
    samples: NDArray[np.int64]
    group: int
    member: NDArray[np.int64]
    parameters: dict[str, NDArray[np.float64]]
    units: dict[str, str]
    shift: float = 0.0

    @property
    def years(self) -> NDArray[np.float64]:
        """Model time of the samples, `(kept,)` [years]."""
        return self.output.years[self.samples] + self.shift

    @property
    def members(self) -> NDArray[np.int64]:
        """Member of the samples, `(kept,)`."""
        return self.member[self.samples]

    @property
    def names(self) -> list[str]:
        """Names of the output's files; pieces have the name of the whole."""
        return list(dict.fromkeys(whole_name(path).name for path in self.paths))

    def states(self) -> Iterator[State]:
        """The samples, one at a time. Raises UserError for whatever the file has wrong."""
        with file_errors(self.output.path), network_errors(self.output.path):
            yield from self.output.states(self.samples)

    def state(self, sample: int) -> State:
        """One sample of the output (batch 1). Raises UserError as `states`."""
        with file_errors(self.output.path), network_errors(self.output.path):
            return self.output.read(slice(sample, sample + 1))


def open_source(
    reader: Reader,
    paths: list[Path],
    *,
    group: int,
    before: Sequence[Source],
    block: int | None,
    parameters: Sequence[str],
) -> Source:
    """Open one output; its members are numbered on from those of the outputs `before`.

    block: the samples to keep, by their value of `block`; parameters: names. Raises UserError for
    whatever is wrong with the files.
    """
    with file_errors(paths[0]), network_errors(paths[0]):
        output = reader.open(*paths)
        first = 1 + max((int(source.member.max()) for source in before), default=-1)
        if before and before[-1].group == group:
            first = int(before[-1].member.min())
        found = {name: _parameter(output, name) for name in parameters}
        return Source(
            output=output,
            paths=paths,
            samples=_kept(output, block),
            group=group,
            member=first + _members_inside(output),
            parameters={name: values for name, (values, _) in found.items()},
            units={name: unit for name, (_, unit) in found.items() if unit},
        )


def _members_inside(output: ModelOutput) -> NDArray[np.int64]:
    """Member of each sample, counted from 0: those of an archive of states, else one."""
    if "member" not in output.dataset.variables:
        return np.zeros(len(output), np.int64)
    numbers = np.asarray(output.dataset["member"].values)
    if numbers.shape != (len(output),) or numbers.dtype.kind not in "iu":
        return np.zeros(len(output), np.int64)
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _kept(output: ModelOutput, block: int | None) -> NDArray[np.int64]:
    """Numbers of the selected samples."""
    if block is None:
        return np.arange(len(output))
    kept = np.flatnonzero(per_sample(output, "block") == block)
    if kept.size == 0:
        raise UserError(f"{output.path} has no sample in block {block}: correct data.ingest.block.")
    return kept


def per_sample(output: ModelOutput, name: str) -> NDArray[np.generic]:
    """A variable with one value per sample. Raises UserError if the file has none."""
    if name not in output.dataset.variables:
        raise UserError(f"{output.path} has no variable {name}, which data.ingest requires.")
    values = np.asarray(output.dataset[name].values)
    if values.shape != (len(output),):
        raise UserError(
            f"{name} of {output.path} has shape {values.shape}: expected one value per sample, "
            f"({len(output)},)."
        )
    return values


def _parameter(output: ModelOutput, name: str) -> tuple[NDArray[np.float64], str]:
    """Values `(sample,)` and unit, empty if unknown, of a variable or a global attribute."""
    attributes, variables = output.dataset.attrs, output.dataset.variables
    if name not in attributes and name in variables:
        values = per_sample(output, name).astype(np.float64)
        return values, stated_unit(variables[name].attrs)
    if name not in attributes:
        raise UserError(
            f"{output.path} has no global attribute {name}: correct data.ingest.parameters; it has "
            f"{', '.join(map(str, attributes)) or 'none'}."
        )
    number, unit = _number_and_unit(attributes[name])
    unit = unit or stated_unit({"units": attributes.get(f"{name}_units", "")})
    try:
        return np.full(len(output), float(number)), unit
    except (TypeError, ValueError) as error:
        raise UserError(
            f'the global attribute {name} of {output.path} is "{attributes[name]}": expected a '
            "number, or a text with a number, a blank and a unit, such as 1000 m2 s-1; correct the "
            "attribute or data.ingest.parameters."
        ) from error


def _number_and_unit(given: Any) -> tuple[Any, str]:
    """A text such as "1000 m2 s-1" in two parts; anything else, also two numbers, as it is."""
    parts = given.split(maxsplit=1) if isinstance(given, str) else []
    if len(parts) < 2 or not _is_unit(parts[1]):
        return given, ""
    return parts[0], stated_unit({"units": parts[1]})


def _is_unit(text: str) -> bool:
    """Whether a text may be a unit; a number is none, but for 1."""
    try:
        float(text)
    except ValueError:
        return bool(_UNIT.search(text))
    return text == NO_UNIT


def common_units(sources: Sequence[Source], given: Mapping[str, str]) -> dict[str, str]:
    """Units of the parameters by name: those that are given, or else what the files state.

    Raises UserError if files state different ones, or an age in anything but years.
    """
    if given.get(AGE, YEAR) not in YEARS:
        raise UserError(
            f"data.ingest.parameters states age in {given[AGE]}: expected {YEAR}; convert the ages"
        )
    units = dict(given)
    for source in sources:
        stated = {name: unit for name, unit in source.units.items() if name not in given}
        age = {"units": stated.get(AGE, "")}
        factor(age, YEARS, quantity=AGE, path=source.output.path, expected=YEAR)
        for name, unit in stated.items():
            if units.setdefault(name, unit) != unit:
                raise UserError(
                    f'{name} of {source.output.path} is in "{unit}", but in "{units[name]}" in '
                    "files before it: one parameter has one unit; convert the values, or, if the "
                    "units mean the same, name one, "
                    f"data.ingest.parameters: {{{name}: {units[name]}}}."
                )
    return units


def common_clock(sources: Sequence[Source]) -> Clock | None:
    """What the years of all members count from; None if it is unknown, or not the same for all.

    Files that continue a member count from the date of its first, see `continued`.
    """
    clocks = [source.output.clock for source in sources if source.shift == 0]
    kinds = {(clock.reference, clock.calendar) if clock else None for clock in clocks}
    return clocks[0] if len(kinds) == 1 else None


def calendar_attributes(sources: Sequence[Source]) -> dict[str, object]:
    """What tells the dates of model years in an archive; empty unless all sources agree on it."""
    clock = common_clock(sources)
    if clock is None or not clock.has_dates:
        return {}
    return {
        CALENDAR: clock.calendar,
        TIME_ORIGIN: clock.reference,
        DAYS_PER_YEAR: clock.days_per_year,
    }


def check_equation(output: ModelOutput, equation: str) -> None:
    """Raise UserError if the file, as an archive of states, names another equation of state."""
    stated = output.dataset.attrs.get("equation_of_state")
    if stated in EQUATIONS and stated != equation:
        raise UserError(
            f"{output.path} was made for the equation of state {stated}, the settings name "
            f"{equation}: correct data.ingest.equation_of_state."
        )


def continued(before: Source, after: Source, *, drop_overlap: bool = False) -> Source:
    """`after` on the clock of `before`, if it continues the same member.

    drop_overlap: leave out its first states, none or all, that repeat states of `before`

    Raises UserError if it does not begin later, or on a clock that cannot be compared.
    """
    if before.group != after.group:
        return after
    paths = f"{after.output.path} follows {before.output.path}"
    after = replace(after, shift=before.shift + _years_between(before, after, paths))
    if after.member.max() != before.member.max() or after.member.min() != before.member.min():
        raise UserError(f"{paths}, but they hold several members: give each file alone.")
    if drop_overlap:
        after = _without_overlap(before, after, paths)
    if after.samples.size and after.years.min() <= before.years.max():
        raise UserError(
            f"{paths} but begins at year {after.years.min():g}, which is not after its last, "
            f"{before.years.max():g}: list the files of one member in the order of time, and set "
            "data.ingest.drop_overlap: true if a file repeats the last states of the one before."
        )
    return after


_SAME_TIME = 1e-6  # years


def in_both(before: Source, after: Source) -> list[tuple[int, int]]:
    """The numbers, in `before` and in `after`, of samples at the same times."""
    theirs = before.output.years + before.shift
    order = np.argsort(theirs, kind="stable")
    places = np.searchsorted(theirs[order], after.years - _SAME_TIME)
    pairs = []
    for sample, year, place in zip(after.samples, after.years, places, strict=True):
        if place < len(order) and theirs[order[place]] <= year + _SAME_TIME:
            pairs.append((int(order[place]), int(sample)))
    return pairs


def same_state(before: Source, after: Source, pair: tuple[int, int]) -> bool:
    """Whether the states of a pair of samples are equal in every cell."""
    one, other = (
        source.state(sample) for source, sample in zip((before, after), pair, strict=True)
    )
    fields = [(one.temperature, other.temperature), (one.salinity, other.salinity)]
    if one.sea_level is not None and other.sea_level is not None:
        fields.append((one.sea_level, other.sea_level))
    return all(bool((ours == theirs).all()) for ours, theirs in fields)


def _without_overlap(before: Source, after: Source, paths: str) -> Source:
    """`after` without the samples at times of `before`. Raises UserError if they differ from it."""
    pairs = in_both(before, after)
    for pair in pairs:
        if not same_state(before, after, pair):
            raise UserError(
                f"{paths} and overlaps it in {len(pairs)} states, but they differ, as state "
                f"{pair[1]} from its state {pair[0]}: expected equal states with "
                "data.ingest.drop_overlap: true; leave one of the two out of the files, or make "
                "them two members."
            )
    repeated = [sample for _, sample in pairs]
    return replace(after, samples=after.samples[~np.isin(after.samples, repeated)])


def _years_between(before: Source, after: Source, paths: str) -> float:
    """From the date that `before` counts from to that of `after` [years]."""
    ours, theirs = before.output.clock, after.output.clock
    if ours is None and theirs is None:
        return 0.0
    years = ours.years_until(theirs) if ours and theirs else None
    if years is None:
        raise UserError(
            f"{paths} but counts time in {theirs or 'samples'} instead of {ours or 'samples'}, "
            "which cannot be compared: one member has one calendar; convert the files."
        )
    return years
