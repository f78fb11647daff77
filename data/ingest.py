"""Turn model output into a state archive, as a YAML file describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.archive.format import SPLITS, UNUSED
from data.archive.splits import apart, settled, split_by_member, split_by_time_blocks
from data.archive.writer import ArchiveWriter
from data.errors import UserError, file_errors
from data.grid import OceanGrid
from data.ingest_settings import CHECK_FILES, IngestSettings, Members
from data.paths import matching_any
from data.readers.base import ModelOutput
from data.readers.settings import Reader
from data.salinity import salinity_of
from data.sources import (
    Source,
    calendar_attributes,
    check_equation,
    common_clock,
    common_units,
    continued,
    open_source,
    per_sample,
)
from data.state import State
from data.summary import Summary

Value = TypeVar("Value", bound=np.generic)


def ingest(
    settings: IngestSettings, *, output: Path, summary: Callable[[OceanGrid], Summary] | None = None
) -> Summary:
    """Read the files of `settings` and write the archive `output`, whole or not at all.

    summary: makes what describes the states, for their grid; by default without stability

    Raises UserError for files that are missing, unreadable, ambiguous or of different grids, for
    files of one member that do not continue each other in time, and for identical states in two
    parts of the split.
    """
    with open_sources(settings) as sources:
        grid = sources[0].output.grid
        unit = salinity_of(settings.equation_of_state).shown
        described = summary(grid) if summary else Summary(grid, unit)
        return _write(settings, _kept(settings, sources), described, output)


@contextmanager
def open_sources(settings: IngestSettings) -> Iterator[list[Source]]:
    """The opened outputs of `settings`, with all their samples. Raises UserError as `ingest`."""
    with ExitStack() as stack:
        sources: list[Source] = []
        for group, paths in outputs(settings):
            source = open_source(
                settings.reader.for_equation(settings.equation_of_state),
                paths,
                group=group,
                before=sources,
                block=settings.block,
                parameters=[*settings.parameters],
            )
            stack.callback(source.output.dataset.close)
            check_equation(source.output, settings.equation_of_state)
            if sources:
                _check_same_grid(sources[0].output, source.output)
                source = continued(sources[-1], source, drop_overlap=settings.drop_overlap)
            if source.samples.size:  # else all of them are in the source before
                sources.append(source)
        yield sources


def _write(
    settings: IngestSettings, sources: list[Source], summary: Summary, output: Path
) -> Summary:
    splits = _splits(settings, sources)
    first = sources[0].output
    writer = ArchiveWriter(
        output,
        grid=first.grid,
        equation_of_state=settings.equation_of_state,
        salinity_units=settings.salinity_units,
        sea_level=first.sea_level is not None,
        units=common_units(sources, settings.units),
        attributes=_provenance(settings, sources),
        rounding=settings.rounding,
    )
    total = sum(len(part) for part in splits)
    first_of: dict[bytes, _Place] = {}
    with writer, tqdm(total=total, desc="ingesting", unit="state") as bar:
        for source, split in zip(sources, splits, strict=True):
            rows = zip(source.states(), source.samples, source.years, split, strict=True)
            for state, sample, year, part in rows:
                member = int(source.member[sample])
                place = _Place(source.output.path, int(sample), member, int(part))
                if place.part != UNUSED:
                    _check_apart(first_of.setdefault(_digest(state), place), place)
                writer.append(
                    state,
                    member=member,
                    time=float(year),
                    split=int(part),
                    parameters={k: float(v[sample]) for k, v in source.parameters.items()},
                )
                summary.add(state, member=member, split=int(part), year=float(year))
                bar.update()
    summary.clock = common_clock(sources)
    clocks = [source.output.clock for source in sources]
    summary.assumed_days = any(clock is not None and clock.assumed for clock in clocks)
    return summary


class _Place(NamedTuple):
    """Where a state comes from, and where it goes."""

    path: Path
    sample: int
    member: int
    part: int


def _digest(state: State) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for field in (state.temperature, state.salinity, state.sea_level):
        if field is not None:
            found.update(np.ascontiguousarray(field.numpy()))
    return found.digest()


def _check_apart(first: _Place, again: _Place) -> None:
    """Raise UserError if a state and one that is identical are in two parts of the split."""
    if first.part == again.part:
        return
    names = {number: name for name, number in SPLITS.items()}
    if first.member == again.member:
        remedy = "list no file twice, and leave repeated states out"
    else:
        remedy = (
            "if the files are overlapping pieces of one run, set data.ingest.one_member: true (or "
            "list them as one member in data.ingest.files) with data.ingest.drop_overlap: true; "
            "if the members branch from one state, leave it out with data.ingest.discard_years; "
            "else leave repeated states or files out"
        )
    raise UserError(
        f"state {again.sample} of {again.path} ({names[again.part]}, member {again.member}) is "
        f"identical to state {first.sample} of {first.path} ({names[first.part]}, member "
        f"{first.member}): expected no state in two parts of the split, or the test is of what was "
        f"trained on; {remedy}."
    )


def outputs(settings: IngestSettings) -> Iterator[tuple[int, list[Path]]]:
    """Number of the member, and paths, of each model output."""
    lists = [entry for entry in settings.files if isinstance(entry, list)]
    single = [entry for entry in settings.files if isinstance(entry, str)]
    members = [_grouped(settings.reader, patterns) for patterns in lists or [single]]
    if not (lists or settings.one_member):
        members = [[output] for output in members[0]]
    for member, outputs in enumerate(members):
        yield from ((member, output) for output in outputs)


def _grouped(reader: Reader, patterns: list[str]) -> list[list[Path]]:
    """Paths of each output among the files that match the patterns, in the order given."""
    paths = matching_any(patterns, advice=CHECK_FILES)
    with file_errors(paths[0] if len(paths) == 1 else paths[0].parent):
        return reader.outputs(paths)


def _kept(settings: IngestSettings, sources: list[Source]) -> list[Source]:
    return thinned(
        sources,
        discard_years=settings.discard_years,
        interval_years=settings.interval_years,
    )


def thinned(
    sources: list[Source], *, discard_years: float = 0.0, interval_years: float = 0.0
) -> list[Source]:
    """The sources without the first years of each member, and states that follow too closely."""
    sources = _chosen(sources, partial(settled, discard_years=discard_years))
    return _chosen(sources, partial(apart, interval_years=interval_years))


def _chosen(
    sources: list[Source],
    choose: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.bool_]],
) -> list[Source]:
    """The sources with the samples that are chosen by years and members of all."""
    years, member = _years_and_members(sources)
    kept = _by_source(choose(years, member), sources)
    return [
        replace(source, samples=source.samples[rows])
        for source, rows in zip(sources, kept, strict=True)
        if rows.any()
    ]


def _years_and_members(
    sources: list[Source],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Time and member of each sample of all sources."""
    member = np.concatenate([source.members for source in sources])
    return np.concatenate([source.years for source in sources]), member


def _by_source(values: NDArray[Value], sources: list[Source]) -> list[NDArray[Value]]:
    """One value per sample of all sources, cut into the sources."""
    counts = [len(source.samples) for source in sources]
    return np.split(values, np.cumsum(counts)[:-1])


def _splits(settings: IngestSettings, sources: list[Source]) -> list[NDArray[np.int8]]:
    """Part (train, validation, test) of each sample, by source."""
    if settings.split == "from_file":
        return [
            per_sample(source.output, "split")[source.samples].astype(np.int8) for source in sources
        ]
    years, member = _years_and_members(sources)
    if settings.split == "all_test":  # an archive to judge trained models with
        return _by_source(np.full(len(member), SPLITS["test"], dtype=np.int8), sources)
    if isinstance(settings.split, Members):
        joined = split_by_member(member, **settings.split.model_dump())
    else:
        joined = split_by_time_blocks(years, member, **settings.split.model_dump())
    return _by_source(joined, sources)


def _check_same_grid(first: ModelOutput, other: ModelOutput) -> None:
    if first.grid.shape != other.grid.shape:
        problem = f"has {other.grid.shape} cells (z, y, x), but {first.path} {first.grid.shape}"
    elif (first.grid.wet != other.grid.wet).any():
        cells = int((first.grid.wet != other.grid.wet).sum())
        problem = f"has another wet mask than {first.path} in {cells} cells"
    elif name := first.grid.differing_coordinate(other.grid):
        problem = f"has other {name} than {first.path}"
    else:
        return
    raise UserError(
        f"{other.path} {problem}: one archive holds one grid; ingest them separately, or join them "
        "first if they are pieces of one domain."
    )


def _provenance(settings: IngestSettings, sources: list[Source]) -> dict[str, object]:
    local = {"files", "mesh_mask", "grid_files"}
    described = settings.model_dump(mode="json")
    return {
        "title": str(sources[0].output.dataset.attrs.get("title", "ocean states")),
        "source_files": [name for source in sources for name in source.names],
        "ingest_settings": {k: v for k, v in described.items() if k not in local},
        **calendar_attributes(sources),
    }
