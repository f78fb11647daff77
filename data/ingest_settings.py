"""Settings of the section `data.ingest`: which files to read, how, and how to split them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from data.equations import EquationName
from data.errors import shown
from data.readers.settings import READERS, AnyReader
from data.settings import Section

FilesOfMember = Annotated[list[str], Field(min_length=1)]


CHECK_FILES = "check the path in data.ingest.files"  # advice where a pattern matches nothing
WORDS = ("from_file", "all_test")  # splits without settings of their own


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
    test_members: list[int] = Field(
        default=[],
        description="numbers of members, from 0, that are for test as a whole; train and "
        "validation then share the years of the others, in their proportion",
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
    if given in WORDS:
        return "word"
    if isinstance(given, Section):
        return "members" if isinstance(given, Members) else "time_blocks"
    if not isinstance(given, dict):
        return None
    return (
        "members" if "test" in given or isinstance(given.get("validation"), list) else "time_blocks"
    )


Split = Annotated[
    Annotated[Literal["from_file", "all_test"], Tag("word")]
    | Annotated[TimeBlocks, Tag("time_blocks")]
    | Annotated[Members, Tag("members")],
    Discriminator(
        _kind_of_split,
        custom_error_type="kind_of_split",
        custom_error_message="expected from_file, all_test, fractions of time (train, validation, "
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
        description="paths or URLs, globs allowed; mitgcm-mds: folders of runs; or a list for each "
        "member, of files that continue each other",
    )
    equation_of_state: EquationName = Field(description="name of the model's equation of state")
    salinity_units: Literal["1e-3", "g/kg"] = Field(
        "1e-3",
        description="unit that the archive names; the files' own attributes tell how they are read",
    )
    one_member: bool = Field(
        False, description="the files continue each other; default: each file is a member"
    )
    drop_overlap: bool = Field(
        False,
        description="leave out states of a file that repeat those of the file before it, in the "
        "same member and at the same times",
    )
    block: int | None = Field(None, description="keep only samples with this value of `block`")
    discard_years: float = Field(
        0.0,
        ge=0,
        description="leave out the first years of each member, in which it adjusts; any number "
        "above 0 leaves out the state that it branches from",
    )
    interval_years: float = Field(
        0.0, ge=0, description="leave out states that follow the one before within this time"
    )
    parameters: list[str] | dict[str, str] = Field(
        [],
        description="global attributes, or variables with a value per state, kept as parameters: "
        "their names, or names with units, which count instead of those that the files state",
    )
    split: Split = TimeBlocks()
    rounding: bool = Field(False, description="round T to 1/512 K and S to 1/4096")

    @property
    def patterns(self) -> list[str]:
        """The entries of `files`, of all members."""
        entries = ([entry] if isinstance(entry, str) else entry for entry in self.files)
        return [pattern for entry in entries for pattern in entry]

    @property
    def units(self) -> dict[str, str]:
        """Units of parameters that the settings name."""
        return self.parameters if isinstance(self.parameters, dict) else {}

    @field_validator("parameters", mode="before")
    @classmethod
    def _check_parameters(cls, given: Any) -> Any:
        """Names, or units by name; 1 is a unit, too."""
        if isinstance(given, dict):
            given = {
                name: "1" if unit == 1 and unit is not True else unit
                for name, unit in given.items()
            }
        texts = [*given, *given.values()] if isinstance(given, dict) else given
        if not isinstance(texts, list) or not all(isinstance(t, str) and t for t in texts):
            raise ValueError(
                "expected names such as [gm_diffusivity], or names with units such as "
                f"{{gm_diffusivity: m2 s-1}}, found {shown(given)}"
            )
        return given

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
        if self.drop_overlap and not self.one_member and list not in kinds:
            raise ValueError(
                "drop_overlap is of files that continue each other: set one_member: true, or give "
                "every member a list of its files"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The keys as in a YAML."""
        described: dict[str, Any] = serialise(self)
        options = described.pop("reader")
        return described | {"reader": options.pop("name")} | options
