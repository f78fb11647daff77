"""Turn model output into a state archive, as a YAML file describes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from tqdm import tqdm

from data.archive.splits import apart, split_by_member, split_by_time_blocks
from data.archive.writer import ArchiveWriter
from data.equations import EquationName
from data.errors import UserError, file_errors
from data.paths import matching
from data.readers.base import ModelOutput, Reader
from data.readers.cf import CfReader
from data.readers.mitgcm import MdsReader, MitgcmReader
from data.readers.nemo import NemoReader
from data.readers.veros import VerosReader
from data.salinity import salinity_of
from data.settings import Section
from data.sources import (
    Source,
    calendar_attributes,
    check_equation,
    continued,
    open_source,
    per_sample,
)
from data.summary import Summary

# Every reader is registered here by its class.
OneReader = CfReader | MitgcmReader | MdsReader | NemoReader | VerosReader
AnyReader = Annotated[OneReader, Field(discriminator="name")]
READERS = [str(reader.model_fields["name"].default) for reader in get_args(OneReader)]

Value = TypeVar("Value", bound=np.generic)
FilesOfMember = Annotated[list[str], Field(min_length=1)]


class TimeBlocks(Section):
    """Consecutive train, validation and test periods in each member, separated by gaps."""

    train: float = Field(
        default=0.7, gt=0, lt=1, description="fraction of the time span without the gaps"
    )
    validation: float = Field(
        default=0.1, gt=0, lt=1, description="fraction of the time span without the gaps"
    )
    gap_years: float = Field(default=5.0, ge=0, description="unused years between parts")
    blocks: int = Field(
        default=1,
        ge=1,
        description="consecutive blocks of equal numbers of states in each member, each with all "
        "three parts; every other block in the reverse order",
    )

    @model_validator(mode="after")
    def _check_fractions(self) -> Self:
        if self.train + self.validation >= 1:
            raise ValueError("train and validation leave no test part: give a sum below 1")
        return self


class Members(Section):
    """Ensemble members for validation and test; the others are for training."""

    validation: list[int] = Field(min_length=1, description="numbers of members, from 0")
    test: list[int] = Field(min_length=1, description="numbers of members, from 0")

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        shared = {*self.validation} & {*self.test}
        if shared:
            raise ValueError(f"member {min(shared)} is in both validation and test: choose one")
        return self


def _kind_of_split(given: Any) -> str | None:
    """Which of the splits a YAML describes; None for none of them."""
    if given == "from_file":
        return "from_file"
    if isinstance(given, Section):
        return "members" if isinstance(given, Members) else "time_blocks"
    if not isinstance(given, dict):
        return None
    return (
        "members" if "test" in given or isinstance(given.get("validation"), list) else "time_blocks"
    )


Split = Annotated[
    Annotated[Literal["from_file"], Tag("from_file")]
    | Annotated[TimeBlocks, Tag("time_blocks")]
    | Annotated[Members, Tag("members")],
    Discriminator(
        _kind_of_split,
        custom_error_type="kind_of_split",
        custom_error_message="expected from_file, fractions of time (train, validation, "
        "gap_years), or lists of members (validation, test)",
    ),
]


class IngestSettings(Section):
    """Which files to read, how, and how to split them.

    A YAML gives the reader's name as `reader` and the reader's own settings beside it.
    """

    reader: AnyReader
    files: list[str | FilesOfMember] = Field(
        min_length=1,
        description="paths, globs allowed; mitgcm-mds: folders of runs; or a list for each member, "
        "of files that continue each other",
    )
    equation_of_state: EquationName = Field(description="name of the model's equation of state")
    salinity_units: Literal["1e-3", "g/kg"] = "1e-3"
    one_member: bool = Field(
        False, description="the files continue each other; default: each file is a member"
    )
    block: int | None = Field(None, description="keep only samples with this value of `block`")
    interval_years: float = Field(
        0.0, ge=0, description="leave out states that follow the one before within this time"
    )
    parameters: list[str] = Field(
        [], description="global attributes, or variables with a value per state, kept as parameters"
    )
    split: Split = TimeBlocks()
    rounding: bool = Field(False, description="round T to 1/512 K and S to 1/4096")

    @model_validator(mode="before")
    @classmethod
    def _gather_reader(cls, given: Any) -> Any:
        """All keys that are not of this class are the reader's; null is a default."""
        if not isinstance(given, dict):
            return given
        own = {key: value for key, value in given.items() if key in cls.model_fields}
        options = {k: v for k, v in given.items() if k not in own and v is not None}
        name = given.get("reader", "cf")
        if str(name) not in READERS:
            raise ValueError(f"there is no reader {name}; the readers are {', '.join(READERS)}")
        return own | {"reader": {"name": name, **options}}

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        kinds = {type(entry) for entry in self.files}
        if kinds == {str, list}:
            raise ValueError("files: give every member a list of its files, or none")
        if self.one_member and list in kinds:
            raise ValueError("one_member joins all files, but files lists members: choose one")
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The keys as in a YAML."""
        described: dict[str, Any] = serialise(self)
        options = described.pop("reader")
        return described | {"reader": options.pop("name")} | options


def ingest(settings: IngestSettings, *, output: Path) -> Summary:
    """Read the files of `settings` and write the archive `output`, whole or not at all.

    Raises UserError for files that are missing, unreadable, ambiguous or of different grids, and
    for files of one member that do not continue each other in time.
    """
    with ExitStack() as stack:
        sources: list[Source] = []
        for group, paths in _outputs(settings):
            source = open_source(
                settings.reader.for_equation(settings.equation_of_state),
                paths,
                group=group,
                before=sources,
                block=settings.block,
                parameters=settings.parameters,
            )
            stack.callback(source.output.dataset.close)
            check_equation(source.output, settings.equation_of_state)
            if sources:
                _check_same_grid(sources[0].output, source.output)
                source = continued(sources[-1], source)
            sources.append(source)
        return _write(settings, _thinned(sources, settings.interval_years), output)


def _write(settings: IngestSettings, sources: list[Source], output: Path) -> Summary:
    splits = _splits(settings, sources)
    first = sources[0].output
    summary = Summary(first.grid, salinity_of(settings.equation_of_state).shown)
    writer = ArchiveWriter(
        output,
        grid=first.grid,
        equation_of_state=settings.equation_of_state,
        salinity_units=settings.salinity_units,
        sea_level=first.sea_level is not None,
        attributes=_provenance(settings, sources),
        rounding=settings.rounding,
    )
    total = sum(len(part) for part in splits)
    with writer, tqdm(total=total, desc="ingesting", unit="state") as bar:
        for source, split in zip(sources, splits, strict=True):
            rows = zip(source.states(), source.samples, source.years, split, strict=True)
            for state, sample, year, part in rows:
                member = int(source.member[sample])
                writer.append(
                    state,
                    member=member,
                    time=float(year),
                    split=int(part),
                    parameters={k: float(v[sample]) for k, v in source.parameters.items()},
                )
                summary.add(state, member=member, split=int(part))
                bar.update()
    return summary


def _outputs(settings: IngestSettings) -> Iterator[tuple[int, list[Path]]]:
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
    paths = []
    for pattern in patterns:
        matches = matching(pattern)
        if not matches:
            raise UserError(f"no file matches {pattern}: check the path in `files`.")
        paths += matches
    # A file that two patterns match is one file.
    paths = list(dict.fromkeys(paths))
    with file_errors(paths[0] if len(paths) == 1 else paths[0].parent):
        return reader.outputs(paths)


def _thinned(sources: list[Source], interval_years: float) -> list[Source]:
    """The sources without states that follow another of the same member too closely."""
    years, member = _years_and_members(sources)
    kept = _by_source(apart(years, member, interval_years=interval_years), sources)
    return [
        replace(source, samples=source.samples[rows])
        for source, rows in zip(sources, kept, strict=True)
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
