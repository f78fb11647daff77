"""What files of model output say about how to ingest them.

The readers open the files, as `halocline ingest` does, so that what is found is what will be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from data.archive.splits import split_by_time_blocks, spread_out
from data.errors import UserError
from data.grid import OceanGrid
from data.ingest import open_sources, outputs, thinned
from data.ingest_settings import IngestSettings
from data.paths import matching_any
from data.periodicity import periodic_x
from data.plausibility import LIMITS, repeated_positions
from data.readers.base import ModelOutput
from data.readers.settings import NONE, READERS, Variables
from data.recognition import (
    Finding,
    Recognised,
    equation_of_state,
    pattern_of,
    recognised,
    salinity_units,
)
from data.records import LevelRecord, resolves_year
from data.remote import network_errors
from data.sources import Source, in_both, open_source, same_state
from data.urls import is_url

Settings = dict[str, Finding]

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
        joined = _joined(sources, settings)
        interval = float(given.get("interval_years") or 0.0)
        joined = replace(joined, sources=thinned(joined.sources, interval))
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
    paths = matching_any(patterns, advice="check the path, and quote the pattern")
    names = given.get("variables") or {}
    found = recognised(paths, Variables(**names))
    if "reader" in given:
        found = replace(found, reader=Finding(given["reader"], "as given"))
    return found


def _start(found: Recognised, patterns: Sequence[str], given: Mapping[str, Any]) -> Settings:
    """The settings that need no values."""
    files = pattern_of(found.states, patterns)
    settings = {"reader": found.reader, "files": Finding(files, "")}
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


@dataclass(frozen=True)
class _Joined:
    """Sources with their members on a common clock, the settings that join them, and remarks."""

    sources: list[Source]
    settings: Settings
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """Outputs of one run in the order of time, each state once.

    repeated: how many states of `sources` were left out; copies: outputs that have none else
    """

    sources: list[Source]
    repeated: int = 0
    copies: list[Source] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        return [path for source in self.sources for path in source.paths]


def _joined(sources: list[Source], settings: Settings) -> _Joined:
    """The outputs as one run, as runs of several files, or each as a member."""
    if len(sources) == 1 or "one_member" in settings:
        return _Joined(sources, {})
    clocks = _on_one_clock(sources)
    if clocks is None:
        return _Joined(sources, {})
    run = _one_run(clocks)
    if run is None:
        return _runs(clocks)
    joined: Settings = {}
    if len(run.sources) > 1:
        why = f"the {len(run.sources)} outputs continue each other in time"
        joined["one_member"] = Finding(True, why)
    if run.copies or run.paths != [path for source in clocks for path in source.paths]:
        why = "without files that repeat others" if run.copies else "in the order of time"
        joined["files"] = Finding([str(path) for path in run.paths], why)
    return _Joined(_as_member(run.sources, 0), joined | _overlaps([run]), _copies([run]))


def _one_run(sources: list[Source]) -> _Run | None:
    """The outputs as one run, if they follow each other in time; None if they do not.

    They may overlap, as after a restart, if the states that they share are equal.
    """
    first, *others = sorted(sources, key=lambda one: (one.years.min(), -one.years.max()))
    run, repeated, copies = [first], 0, []
    for source in others:
        rest = _continuation(run[-1], source)
        if rest is None:
            return None
        if rest.samples.size:
            run.append(rest)
            repeated += len(source.samples) - len(rest.samples)
        else:
            copies.append(source)
    return _Run(run, repeated, copies)


def _continuation(before: Source, after: Source) -> Source | None:
    """`after` without states of `before`; None if they are no run.

    Two of the states that are at the same times are compared; ingest compares all.
    """
    last = before.years.max()
    if after.years.min() > last:
        return after
    pairs = in_both(before, after)
    compared = {pairs[0], pairs[-1]} if pairs else set()
    if not compared or not all(same_state(before, after, pair) for pair in compared):
        return None
    left = after.samples[~np.isin(after.samples, [sample for _, sample in pairs])]
    rest = replace(after, samples=left)
    return rest if not left.size or rest.years.min() > last else None


def _overlaps(runs: Sequence[_Run]) -> Settings:
    repeated = sum(run.repeated for run in runs)
    if not repeated:
        return {}
    why = f"{repeated} states of the files repeat the end of the file before, and are left out"
    return {"drop_overlap": Finding(True, why, True)}


def _copies(runs: Sequence[_Run]) -> list[str]:
    names = [source.paths[0].name for run in runs for source in run.copies]
    if not names:
        return []
    one = len(names) == 1
    return [
        f"{', '.join(names)} repeat{'s' * one} states of other files and {'is' if one else 'are'} "
        "left out"
    ]


def _runs(sources: list[Source]) -> _Joined:
    """Runs of several files, told by folders and by names without dates and counters."""
    names = {_without_dates(source.paths[0]) for source in sources}
    grouped: dict[str, list[Source]] = {}
    for source in sources:
        name = _continued_name(_without_dates(source.paths[0]), names)
        grouped.setdefault(name, []).append(source)
    runs = [run for run in map(_one_run, grouped.values()) if run is not None]
    if len(grouped) == len(sources) or len(runs) < len(grouped):
        return _Joined(sources, {})
    files = [pattern_of(run.paths, []) for run in runs]
    joined = [
        source for member, run in enumerate(runs) for source in _as_member(run.sources, member)
    ]
    settings: Settings = {"files": Finding(files, f"{len(files)} runs, each a member")}
    return _Joined(joined, settings | _overlaps(runs), _copies(runs))


def _without_dates(path: Path) -> str:
    return str(path.with_name(re.sub(r"[_.-]*\d{4,}", "", path.stem)))


def _continued_name(name: str, names: Set[str]) -> str:
    """The shortest name that this one lengthens by a word, as in `weak_wind_continued`."""
    shorter = (one for one in names if re.match(rf"{re.escape(one)}(?![^\W_])", name))
    return min(shorter, key=len)


def _on_one_clock(sources: list[Source]) -> list[Source] | None:
    """The sources with years that count from the date of the first; None if they do not compare."""
    first = sources[0].output.clock
    shifted = []
    for source in sources:
        clock = source.output.clock
        years = first.years_until(clock) if first and clock else None
        if years is None:
            return None
        shifted.append(replace(source, shift=years))
    return shifted


def _as_member(sources: list[Source], number: int) -> list[Source]:
    return [replace(s, group=number, member=np.full_like(s.member, number)) for s in sources]


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

    Gaps are as long as independent states lie apart, but at most a tenth of the record.
    """
    if all(_has_split(source.output) for source in sources):
        return Finding("from_file", "the files have a variable split")
    years, member = _times(sources)
    count = len(np.unique(member))
    if count >= _FEWEST_TO_HOLD_OUT:
        return _by_member(count)
    spans = [float(np.ptp(years[member == one])) for one in range(count)]
    longest = min(record.decorrelation_years(), _LONGEST_GAP * min(spans))
    for gap in (longest, longest / 2, longest / 4, 0.0):
        gap = float(f"{gap:.2g}")
        try:
            split_by_time_blocks(years, member, train=_TRAIN, validation=_VALIDATION, gap_years=gap)
        except UserError:
            continue
        fractions = {"train": _TRAIN, "validation": _VALIDATION, "gap_years": gap}
        return Finding(fractions, "parts follow in time; independent states are about a gap apart")
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
