"""What files of model output say about how to ingest them.

The readers open the files, as `halocline ingest` does, so that what is found is what will be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from data.archive.splits import split_by_time_blocks, spread_out
from data.errors import UserError
from data.findings import Finding
from data.grid import OceanGrid
from data.ingest import open_sources, outputs, thinned
from data.ingest_settings import IngestSettings
from data.joining import Settings, joined_outputs
from data.paths import CHECK_PATTERN, matching_any
from data.periodicity import periodic_x
from data.plausibility import LIMITS, repeated_positions
from data.readers.base import ModelOutput
from data.readers.settings import NONE, READERS, Variables
from data.recognition import (
    Recognised,
    equation_of_state,
    pattern_of,
    recognised,
    salinity_units,
)
from data.records import LevelRecord, resolves_year
from data.remote import network_errors
from data.sources import Source, open_source
from data.urls import is_url

# Conventions that the values of a file show, tried in this order.
_UP = {"depth_positive": Finding("up", "depths are negative in the files")}
_KELVIN = {"temperature_units": Finding("K", "values are in kelvin")}
_ATTEMPTS: tuple[Settings, ...] = ({}, _UP, _KELVIN, _UP | _KELVIN)
# States from which time scales are estimated: this many, and more while their levels are small.
_MOST_READ, _MOST_BYTES = 400, 1e8
_COLDEST, _WARMEST, _ = LIMITS["thetao"]
_FEWEST_TO_HOLD_OUT = 5  # members, so that three remain to train on
_TRAIN, _VALIDATION = 0.7, 0.1
_LONGEST_GAP = 0.1  # of the record


@dataclass(frozen=True)
class Inspection:
    """What an ingest of the files needs.

    settings: of `data.ingest`; states: number of each member
    independent: number of independent states by level, of `judged` states
    notes: what the user should know
    """

    title: str
    settings: Settings
    grid: OceanGrid
    sea_level: bool
    states: list[int]
    independent: dict[str, float]
    judged: int
    notes: list[str]


def inspect(patterns: Sequence[str], *, given: Mapping[str, Any]) -> Inspection:
    """Inspect all files that match; `given` are settings of `data.ingest` that the user gives.

    Raises UserError if nothing matches, for files that no reader accepts, and for states that
    cannot be split.
    """
    found = _recognised(patterns, given)
    settings = _start(found, patterns, given)
    settings, first = _conventions(settings, given)
    settings |= _names(found, first, given)
    if "periodic_x" not in given:
        settings |= _along_x(first, settings)
    with open_sources(_validated(settings)) as sources:
        joined = joined_outputs(sources, settings)
        limits = {key: float(given.get(key) or 0) for key in ("discard_years", "interval_years")}
        joined = replace(joined, sources=thinned(joined.sources, **limits))
        record = _record(joined.sources)
        settings |= joined.settings
        if "split" not in given:
            settings["split"] = _split(joined.sources, record)
        counts = _counts(joined.sources)
        periodic = bool(settings["periodic_x"].value)
        return Inspection(
            title=str(first.dataset.attrs.get("title", "")),
            settings=settings,
            grid=replace(joined.sources[0].output.grid, periodic_x=periodic),
            sea_level=first.sea_level is not None,
            states=counts,
            independent=record.independent(),
            judged=record.added,
            notes=[*_notes(first), *joined.notes, *_repeated(record)],
        )


def _recognised(patterns: Sequence[str], given: Mapping[str, Any]) -> Recognised:
    paths = matching_any(patterns, advice=CHECK_PATTERN)
    names = given.get("variables") or {}
    found = recognised(paths, Variables(**names))
    if "reader" in given:
        found = replace(found, reader=Finding(given["reader"], "as given"))
    return found


def _start(found: Recognised, patterns: Sequence[str], given: Mapping[str, Any]) -> Settings:
    """The settings that need no values."""
    files = pattern_of(found.states, patterns)
    settings = {"reader": found.reader, "files": Finding(files, "what is read, in this order")}
    settings |= found.options
    settings["equation_of_state"] = equation_of_state(found)
    units = salinity_units(found)
    if units:
        settings["salinity_units"] = units
    return settings | {key: Finding(value, "as given") for key, value in given.items()}


def _validated(settings: Settings) -> IngestSettings:
    try:
        return IngestSettings.model_validate({key: one.value for key, one in settings.items()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in READERS)
        where = where.removeprefix("reader.")
        wrong = first["msg"]
        if first["type"] == "extra_forbidden":
            wrong = f"the reader {settings['reader'].value} takes no setting {where}"
        elif first["type"] != "value_error":
            wrong = f"{where}: {wrong}"
        raise UserError(f"{wrong.removeprefix('Value error, ')}; correct --set.") from error


def _conventions(settings: Settings, given: Mapping[str, Any]) -> tuple[Settings, ModelOutput]:
    """The settings with which the first output opens, and it.

    Raises the UserError of the first attempt if none succeeds.
    """
    error: UserError | None = None
    for attempt in _attempts(given):
        tried = {**settings, **attempt}
        try:
            return tried, _first(tried)
        except UserError as refusal:
            error = error or refusal
    assert error is not None
    raise UserError(
        f"{error} `halocline init` takes settings of data.ingest as --set KEY=VALUE."
    ) from error


def _attempts(given: Mapping[str, Any]) -> Iterator[Settings]:
    free = [attempt for attempt in _ATTEMPTS if not {*attempt} & {*given}]
    yield from free
    if "sea_level" not in (given.get("variables") or {}):
        names = {**(given.get("variables") or {}), "sea_level": NONE}
        without = Finding(names, "sea level does not fit temperature and salinity")
        yield from ({**attempt, "variables": without} for attempt in free)


def _first(settings: Settings) -> ModelOutput:
    validated = _validated(settings)
    group, paths = next(outputs(validated))
    reader = validated.reader.for_equation(validated.equation_of_state)
    return open_source(reader, paths, group=group, before=[], block=None, parameters=[]).output


def _names(found: Recognised, first: ModelOutput, given: Mapping[str, Any]) -> Settings:
    """Names of the fields, except of those that the reader chooses by their kind or builds."""
    named = {
        "temperature": str(first.temperature.name),
        "salinity": str(first.salinity.name),
        "sea_level": None if first.sea_level is None else str(first.sea_level.name),
    }
    several = {quantity for quantity, fields in found.fields.items() if len(fields) > 1}
    known = {
        quantity: name
        for quantity, name in named.items()
        if name and quantity not in several and found.reader.value != "mitgcm-mds"
    }
    if found.reader.value == "nemo" and not any(found.fields.values()):  # restarts
        return {}
    if "variables" in given or not known:
        return {}
    missing = "" if named["sea_level"] else "; no sea level"
    if not missing:
        return {"variables": Finding(known, "as in the files")}
    return {"variables": Finding({**known, "sea_level": NONE}, f"as in the files{missing}")}


def _along_x(first: ModelOutput, settings: Settings) -> Settings:
    """Whether x is periodic; columns that are there twice are left out, except of NEMO's output."""
    finding = periodic_x(first)
    count = 0 if first.grid.periodic_x else repeated_positions(first.grid)
    if finding.value or not count or "drop_columns" in settings:
        return {"periodic_x": _confirmed(finding, settings)}
    remedy = f"drop_columns: {count} with periodic_x: true"
    if settings["reader"].value == "nemo":
        why = f"the last {count} columns repeat the first, as restarts need it; else {remedy}"
        return {"periodic_x": Finding(False, why, True)}
    dropped = {
        "drop_columns": Finding(count, "last columns of x that repeat the first", True),
        "periodic_x": Finding(True, "longitudes go around the globe"),
    }
    try:
        _first({**settings, **dropped})
    except UserError:
        why = f"the last {count} columns are where the first are, but hold other values"
        return {"periodic_x": Finding(False, why, True)}
    return dropped


def _confirmed(finding: Finding, settings: Settings) -> Finding:
    """A periodic axis only where the reader accepts it."""
    if not finding.value:
        return finding
    try:
        _first({**settings, "periodic_x": finding})
    except UserError as refusal:
        repeated = "columns are repeated (see drop_columns)"
        reason = repeated if "repeat" in str(refusal) else "x does not run east"
        return Finding(False, f"{reason}, so that x is read as it is", True)
    return finding


def _record(sources: list[Source]) -> LevelRecord:
    """Temperature at three depths of states, of evenly spread ones where there are very many.

    Raises UserError, as `ingest` does, for states that blew up.
    """
    grid = sources[0].output.grid
    rows = [(source, int(sample)) for source in sources for sample in source.samples]
    most = _MOST_READ
    if not is_url(sources[0].paths[0]):  # elsewhere every level takes a request
        most = max(most, int(_MOST_BYTES / (4 * grid.wet[0].size)))
    record = LevelRecord(grid, dense=_resolve_year(sources) if len(rows) > most else None)
    for row in spread_out(np.arange(len(rows)), most):
        source, sample = rows[row]
        year = float(source.output.years[sample] + source.shift)
        record.add(
            _level_maps(source.output, sample, record), member=int(source.member[sample]), year=year
        )
    return record


def _resolve_year(sources: list[Source]) -> bool:
    years, member = _times(sources)
    return all(resolves_year(years[member == one]) for one in np.unique(member))


def _level_maps(
    output: ModelOutput, sample: int, record: LevelRecord
) -> list[NDArray[np.floating]]:
    """Temperature of the record's levels of one state, each `y x`."""
    order = np.arange(output.grid.shape[0])[output.order]
    maps = []
    for level in record.levels.values():
        with network_errors(output.path):
            values = output.temperature[sample, order[level]].values
        wet = values[output.grid.wet[level]] + output.offset
        # NaN fails the comparison too; what ingest says of the whole state comes from there.
        if wet.size and not (wet.min() >= _COLDEST and wet.max() <= _WARMEST):
            output.read(slice(sample, sample + 1))
        maps.append(values)
    return maps


def _times(sources: list[Source]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    years = np.concatenate([source.years for source in sources])
    return years, np.concatenate([source.members for source in sources])


def _counts(sources: list[Source]) -> list[int]:
    """Number of states of each member."""
    return np.unique(_times(sources)[1], return_counts=True)[1].tolist()


def _split(sources: list[Source], record: LevelRecord) -> Finding:
    """By the files, by members if there are enough, else by time with gaps.

    Gaps are as long as independent states lie apart, but at most a tenth of the record; so long,
    too, if the record is too short to tell.
    """
    if all(_has_split(source.output) for source in sources):
        return Finding("from_file", "the files have a variable split")
    years, member = _times(sources)
    count = len(np.unique(member))
    if count >= _FEWEST_TO_HOLD_OUT:
        return _by_member(count)
    spans = [float(np.ptp(years[member == one])) for one in range(count)]
    apart = record.decorrelation_years()
    longest = min(apart or np.inf, _LONGEST_GAP * min(spans))
    why = (
        "independent states are about a gap apart"
        if apart
        else "too few states to tell how far apart independent ones are"
    )
    for gap in (longest, longest / 2, longest / 4, 0.0):
        gap = float(f"{gap:.2g}")
        try:
            split_by_time_blocks(years, member, train=_TRAIN, validation=_VALIDATION, gap_years=gap)
        except UserError:
            continue
        fractions = {"train": _TRAIN, "validation": _VALIDATION, "gap_years": gap}
        return Finding(fractions, f"parts follow in time; {why}")
    if count > 2:
        return _by_member(count)
    raise UserError(
        f"{len(years)} states of {count} member{'s' * (count > 1)} are too few for training, "
        "validation and test parts: give more files."
    )


def _by_member(count: int) -> Finding:
    """A tenth of the members for validation and a fifth for test, spread over their numbers."""
    validation, test = max(1, count // 10), max(1, count // 5)
    chosen = np.unique(np.linspace(1, count - 1, validation + test).round().astype(int))
    held = chosen[1::3][:validation].tolist() or [int(chosen[-1])]
    others = [number for number in chosen.tolist() if number not in held]
    return Finding({"validation": held, "test": others}, f"whole members of {count}, from 0")


def _has_split(output: ModelOutput) -> bool:
    if "split" not in output.dataset.variables:
        return False
    values = np.asarray(output.dataset["split"].values)
    return values.shape == (len(output),) and {0, 1, 2} <= {*values.tolist()}


def _notes(first: ModelOutput) -> list[str]:
    if first.clock is None:
        return ["the files have no time, so that states count as one a year"]
    if first.clock.assumed:
        span = f"{first.years.min():.4g} to {first.years.max():.4g}"
        return [
            f"time has no units and is taken to be in days, which makes the years {span}; else set "
            "time_units (seconds, minutes, hours, months or years)"
        ]
    return []


def _repeated(record: LevelRecord) -> list[str]:
    if not record.repeated:
        return []
    return [
        f"{record.repeated} of {record.added} states are identical to others, as in copies of "
        "files and in overlapping pieces of a run; leave them out, so that none is in two parts"
    ]
