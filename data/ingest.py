"""Turn model output into a state archive, as a YAML file describes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from tqdm import tqdm

from data.archive.splits import apart, split_by_member, split_by_time_blocks
from data.archive.writer import ArchiveWriter
from data.equations import EquationName
from data.errors import UserError
from data.readers.base import ModelOutput
from data.readers.cf import CfReader
from data.readers.mitgcm import MdsReader, MitgcmReader
from data.readers.nemo import NemoReader
from data.readers.veros import VerosReader
from data.settings import Section

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


class Members(Section):
    """Ensemble members for validation and test; the others are for training."""

    validation: list[int] = Field(min_length=1, description="numbers of members, from 0")
    test: list[int] = Field(min_length=1, description="numbers of members, from 0")


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
    parameters: list[str] = Field([], description="global attributes kept as per-sample parameters")
    split: Literal["from_file"] | TimeBlocks | Members = TimeBlocks()
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


@dataclass(frozen=True)
class _Source:
    """One opened file and the samples that go into the archive."""

    output: ModelOutput
    samples: NDArray[np.int64]
    member: int
    parameters: dict[str, float]

    @property
    def years(self) -> NDArray[np.float64]:
        return self.output.years[self.samples]

    @property
    def time_units(self) -> tuple[str, str]:
        """Units of time with their reference date, and calendar."""
        time = self.output.dataset.variables.get(self.output.temperature.dims[0])
        attributes = {} if time is None else time.attrs
        return str(attributes.get("units")), str(attributes.get("calendar"))


def ingest(settings: IngestSettings, *, output: Path) -> None:
    """Read the files of `settings` and write the archive `output`, whole or not at all.

    Raises UserError for files that are missing, unreadable, ambiguous or of different grids, and
    for files of one member that do not continue each other in time.
    """
    with ExitStack() as stack:
        sources: list[_Source] = []
        for member, paths in _outputs(settings):
            source = _open(settings, paths, member=member)
            stack.callback(source.output.dataset.close)
            _check_same_grid(sources[0].output if sources else source.output, source.output)
            if sources and sources[-1].member == member:
                _check_continues(sources[-1], source)
            sources.append(source)
        _write(settings, _thinned(sources, settings.interval_years), output)


def _write(settings: IngestSettings, sources: list[_Source], output: Path) -> None:
    splits = _splits(settings, sources)
    first = sources[0].output
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
            states = source.output.states(source.samples)
            for state, year, part in zip(states, source.years, split, strict=True):
                writer.append(
                    state,
                    member=source.member,
                    time=float(year),
                    split=int(part),
                    parameters=source.parameters,
                )
                bar.update()


def _outputs(settings: IngestSettings) -> Iterator[tuple[int, list[Path]]]:
    """Number of the member, and paths, of each model output."""
    lists = [entry for entry in settings.files if isinstance(entry, list)]
    single = [entry for entry in settings.files if isinstance(entry, str)]
    members = [settings.reader.outputs(_paths(patterns)) for patterns in lists or [single]]
    if not (lists or settings.one_member):
        members = [[output] for output in members[0]]
    for member, outputs in enumerate(members):
        yield from ((member, output) for output in outputs)


def _paths(patterns: list[str]) -> list[Path]:
    """Files that match the patterns, in the order given; matches of one pattern by name."""
    paths = []
    for pattern in patterns:
        matches = sorted(glob(pattern, recursive=True))
        if not matches:
            raise UserError(f"no file matches {pattern}: check the path in `files`.")
        paths += [Path(match) for match in matches]
    return paths


def _open(settings: IngestSettings, paths: list[Path], *, member: int) -> _Source:
    output = settings.reader.for_equation(settings.equation_of_state).open(*paths)
    return _Source(output, _kept(settings, output), member, _parameters(settings, output))


def _kept(settings: IngestSettings, output: ModelOutput) -> NDArray[np.int64]:
    """Numbers of the selected samples."""
    if settings.block is None:
        return np.arange(len(output))
    kept = np.flatnonzero(_per_sample(output, "block") == settings.block)
    if kept.size == 0:
        raise UserError(f"{output.path} has no sample in block {settings.block}: correct `block`.")
    return kept


def _thinned(sources: list[_Source], interval_years: float) -> list[_Source]:
    """The sources without states that follow another of the same member too closely."""
    years, member = _years_and_members(sources)
    kept = _by_source(apart(years, member, interval_years=interval_years), sources)
    return [
        replace(source, samples=source.samples[rows])
        for source, rows in zip(sources, kept, strict=True)
    ]


def _years_and_members(
    sources: list[_Source],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Time and member of each sample of all sources."""
    counts = [len(source.samples) for source in sources]
    member = np.repeat([source.member for source in sources], counts)
    return np.concatenate([source.years for source in sources]), member


def _by_source(values: NDArray[Value], sources: list[_Source]) -> list[NDArray[Value]]:
    """One value per sample of all sources, cut into the sources."""
    counts = [len(source.samples) for source in sources]
    return np.split(values, np.cumsum(counts)[:-1])


def _splits(settings: IngestSettings, sources: list[_Source]) -> list[NDArray[np.int8]]:
    """Part (train, validation, test) of each sample, by source."""
    if settings.split == "from_file":
        return [
            _per_sample(source.output, "split")[source.samples].astype(np.int8)
            for source in sources
        ]
    years, member = _years_and_members(sources)
    if isinstance(settings.split, Members):
        joined = split_by_member(member, **settings.split.model_dump())
    else:
        joined = split_by_time_blocks(years, member, **settings.split.model_dump())
    return _by_source(joined, sources)


def _per_sample(output: ModelOutput, name: str) -> NDArray[np.generic]:
    if name not in output.dataset.variables:
        raise UserError(f"{output.path} has no variable {name}, which the settings require.")
    values = np.asarray(output.dataset[name].values)
    if values.shape != (len(output),):
        raise UserError(
            f"{name} of {output.path} has shape {values.shape}: expected one value per sample, "
            f"({len(output)},)."
        )
    return values


def _parameters(settings: IngestSettings, output: ModelOutput) -> dict[str, float]:
    attributes = output.dataset.attrs
    missing = [name for name in settings.parameters if name not in attributes]
    if missing:
        raise UserError(
            f"{output.path} has no global attribute {missing[0]}: correct `parameters`; it has "
            f"{', '.join(attributes) or 'none'}."
        )
    return {name: float(attributes[name]) for name in settings.parameters}


def _check_same_grid(first: ModelOutput, other: ModelOutput) -> None:
    if first.grid.digest == other.grid.digest:
        return
    if first.grid.shape != other.grid.shape:
        problem = f"has {other.grid.shape} cells (z, y, x), but {first.path} {first.grid.shape}"
    elif (first.grid.wet != other.grid.wet).any():
        cells = int((first.grid.wet != other.grid.wet).sum())
        problem = f"has another wet mask than {first.path} in {cells} cells"
    else:
        problem = f"has other depths than {first.path}"
    raise UserError(f"{other.path} {problem}: one archive holds one grid; ingest them separately.")


def _check_continues(before: _Source, after: _Source) -> None:
    """`after` is later than `before`, on the same clock."""
    paths = f"{after.output.path} follows {before.output.path}"
    if before.time_units != after.time_units:
        raise UserError(
            f"{paths} but counts time in {' '.join(after.time_units)} instead of "
            f"{' '.join(before.time_units)}: one member has one clock; convert the files."
        )
    if after.years.min() <= before.years.max():
        raise UserError(
            f"{paths} but begins at year {after.years.min():g}, which is not after its last, "
            f"{before.years.max():g}: list the files of one member in the order of time."
        )


def _provenance(settings: IngestSettings, sources: list[_Source]) -> dict[str, object]:
    local = {"files"} | {name for name, value in settings.reader if isinstance(value, Path)}
    described = settings.model_dump(mode="json")
    return {
        "title": str(sources[0].output.dataset.attrs.get("title", "ocean states")),
        "source_files": [source.output.path.name for source in sources],
        "ingest_settings": {k: v for k, v in described.items() if k not in local},
    }
