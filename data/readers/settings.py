"""Settings of the readers of model output, importable without what reads the files.

A reader's settings name the functions of its module that group and open files, which are imported
when they are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from data.lazily import lazily
from data.settings import Section, UserPath
from data.urls import ReadPath, as_path

if TYPE_CHECKING:
    from data.readers.base import ModelOutput

NONE = "none"  # instead of a name: the file's variable is not read


class Variables(Section):
    """Names of variables in the files.

    Needed only where they are not found by standard or customary names. "none" leaves sea level,
    mask, area or thickness of the file out.
    """

    temperature: str | None = None
    salinity: str | None = None
    sea_level: str | None = None
    depth: str | None = None
    longitude: str | None = None
    latitude: str | None = None
    mask: str | None = None
    area: str | None = None
    thickness: str | None = None

    @model_validator(mode="after")
    def _check_needed(self) -> Self:
        for name in ("temperature", "salinity", "depth", "longitude", "latitude"):
            if getattr(self, name) == NONE:
                raise ValueError(f"{name} is needed and cannot be {NONE}: give a variable's name")
        return self


class Conventions(Section):
    """Conventions that a file does not state."""

    variables: Variables = Field(default_factory=Variables)
    temperature_units: Literal["degC", "K"] = Field("degC", description="K is converted to degC")
    depth_positive: Literal["down", "up"] = Field("down", description="up changes the sign")
    periodic_x: bool = Field(False, description="the last column of x adjoins the first")
    drop_columns: int = Field(
        0, ge=0, le=8, description="last columns of x to leave out, which repeat the first"
    )
    calendar: Literal["360_day", "365_day"] | None = Field(
        None,
        description="length of the year where the files do not state it; default 365.25 d",
    )
    time_units: Literal["seconds", "minutes", "hours", "days", "months", "years"] | None = Field(
        None, description="units of time where the files do not state them; default days"
    )

    _equation: str | None = PrivateAttr(default=None)

    @property
    def equation(self) -> str | None:
        """Name of the equation of state that the states are for; None if it is not known."""
        return self._equation

    def for_equation(self, name: str) -> Self:
        """A copy that holds the kinds of temperature and salinity against an equation of state."""
        copy = self.model_copy()
        copy._equation = name
        return copy

    def with_names(self, names: Mapping[str, str], **changes: Any) -> Self:
        """A copy with default `names` of variables, which the settings override, and `changes`."""
        given = self.variables.model_dump(exclude_none=True)
        return self.model_copy(update={"variables": Variables(**{**names, **given}), **changes})


class Reader(Conventions):
    """The settings of one model's reader: conventions, and options that only this model needs.

    A subclass has a field `name: Literal["..."]`, the value of `reader` in a YAML. It is registered
    in `AnyReader`.

    opened_by: MODULE:FUNCTION from these settings and the paths of one output to a `ModelOutput`
    grouped_by: MODULE:FUNCTION from these settings and all paths to the paths of each output; none:
        each path is an output of its own
    """

    opened_by: ClassVar[str]
    grouped_by: ClassVar[str | None] = None

    def outputs(self, paths: Sequence[Path]) -> list[list[Path]]:
        """`paths` grouped by output."""
        if self.grouped_by is None:
            return [[path] for path in paths]
        groups: list[list[Path]] = lazily(self.grouped_by)(self, paths)
        return groups

    def open(self, *paths: Path) -> ModelOutput:
        """Open one output. Raises UserError for files that are unreadable or ambiguous."""
        output: ModelOutput = lazily(self.opened_by)(self, *paths)
        return output


class CfReader(Reader):
    """CF files of any model: NetCDF or zarr.

    Variables are found by the names in `variables`, else by standard name, else by customary name.
    The wet mask is the file's mask variable, else where the first temperature is a number.
    """

    name: Literal["cf"] = "cf"
    opened_by: ClassVar[str] = "data.readers.cf:open_output"
    grouped_by: ClassVar[str | None] = "data.readers.cf:group"


class MitgcmReader(CfReader):
    """MITgcm's output as NetCDF or zarr, in the names of MITgcm (mnc) or of xmitgcm.

    Cells are `drF * hFacC` thick [m] as in every reader; depths may be negative.
    """

    name: Literal["mitgcm"] = "mitgcm"  # type: ignore[assignment]
    opened_by: ClassVar[str] = "data.readers.mitgcm:open_output"


class MdsReader(Reader):
    """MITgcm's binary files, `.data` and `.meta` (`data.readers.mds`)."""

    name: Literal["mitgcm-mds"] = "mitgcm-mds"
    opened_by: ClassVar[str] = "data.readers.mitgcm:open_folder"
    grid_files: UserPath | None = Field(
        None, description="folder of hFacC, XC, YC, RC, DRF and RAC; default: the run's own"
    )
    time_step: float | None = Field(
        None, gt=0, description="time step of the tracers [s], for .meta files without time"
    )


class NemoReader(Reader):
    """NEMO's output and restarts, whole or in pieces.

    Mask, area, thickness and depth come from the mesh mask if there is one.
    """

    name: Literal["nemo"] = "nemo"
    opened_by: ClassVar[str] = "data.readers.nemo:open_output"
    grouped_by: ClassVar[str | None] = "data.readers.nemo:group"
    mesh_mask: ReadPath | list[ReadPath] | None = Field(
        None,
        description="file with the grid, where the output lacks it; pieces by a pattern, mask and "
        "mesh in several files as a list",
    )


class VerosReader(Reader):
    """Veros' snapshots and restarts."""

    name: Literal["veros"] = "veros"
    opened_by: ClassVar[str] = "data.readers.veros:open_output"
    grid_files: Annotated[UserPath, AfterValidator(as_path)] | None = Field(
        None, description="a snapshot file with the grid, for restarts"
    )


# Every reader is registered here by its class.
OneReader = CfReader | MitgcmReader | MdsReader | NemoReader | VerosReader
AnyReader = Annotated[OneReader, Field(discriminator="name")]
READERS = [str(reader.model_fields["name"].default) for reader in get_args(OneReader)]
