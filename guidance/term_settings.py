"""Options of the constraints of guidance, by their names in YAML files.

A constraint's energy, and the function that builds it from its options, are in
`guidance.constraints` and `guidance.profiles`; they are imported when it is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from data.lazily import lazily
from data.settings import Per
from guidance.steps import Window

if TYPE_CHECKING:
    from guidance.terms import Ocean, Term


class TermSettings(Window):
    """Options of a constraint. A YAML file gives its name, or `{name: {option: value, ...}}`.

    known: all constraints; name: the constraint's name in YAML files
    built_by: MODULE:FUNCTION from these options and an `Ocean` to the constraint
    """

    known: ClassVar[dict[str, type[TermSettings]]] = {}
    name: ClassVar[str]
    built_by: ClassVar[str]

    weight: float = Field(1.0, gt=0, description="weight of its energy in the sum")

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Register a constraint by its name; shared base classes have no name."""
        super().__pydantic_init_subclass__(**options)
        if "name" in vars(cls):
            TermSettings.known[cls.name] = cls

    @property
    def couples_samples(self) -> bool:
        """Whether a sample's energy depends on its batch."""
        return False

    def build(self, ocean: Ocean) -> Term:
        """The constraint for states of an ocean."""
        term: Term = lazily(self.built_by)(self, ocean)
        return term

    @model_validator(mode="wrap")
    @classmethod
    def _by_name(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is not TermSettings or isinstance(given, TermSettings):
            return handler(given)
        entry = {given: None} if isinstance(given, str) else given
        if not isinstance(entry, dict) or len(entry) != 1:
            raise ValueError(
                "a constraint is a name, optionally with options: {unstable_pairs: {weight: 2}}; "
                f"found {given!r}"
            )
        ((name, options),) = entry.items()
        if name not in cls.known:
            raise ValueError(f"there is no constraint {name}; the names are {', '.join(cls.known)}")
        return cls.known[name].model_validate({} if options is None else options)

    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {self.name: handler(self)}


class NearestStableStateSettings(TermSettings):
    """Options of `nearest_stable_state`: the target is the exactly adjusted state."""

    name: ClassVar = "nearest_stable_state"
    built_by: ClassVar = "guidance.constraints:nearest_stable_state"

    tolerance: float = Field(0.0, ge=0, description="accepted inversions [kg/m3]")


class UnstablePairsSettings(TermSettings):
    """Options of `unstable_pairs`, which stratifies mixed layers if used early or alone."""

    name: ClassVar = "unstable_pairs"
    built_by: ClassVar = "guidance.constraints:unstable_pairs"


class PhysicalBoundsSettings(TermSettings):
    """Options of `physical_bounds`."""

    name: ClassVar = "physical_bounds"
    built_by: ClassVar = "guidance.constraints:physical_bounds"


class MeanSettings(TermSettings):
    """Options of constraints on horizontal means."""

    per: Per = Field("sample", description="apply to the means of each sample or of the batch")

    @property
    def couples_samples(self) -> bool:
        """Whether means are over the batch."""
        return self.per == "ensemble"


class MeanProfileSettings(MeanSettings):
    """Options of `mean_profile`: the training states' horizontal means of T and S."""

    name: ClassVar = "mean_profile"
    built_by: ClassVar = "guidance.profiles:mean_profile"


class DensityProfileSettings(MeanSettings):
    """Options of `density_profile`: the training states' horizontal means of density."""

    name: ClassVar = "density_profile"
    built_by: ClassVar = "guidance.profiles:density_profile"
    steps: ClassVar[bool] = False


class DensityStepsSettings(DensityProfileSettings):
    """Options of `density_steps`: the training states' differences between mean densities."""

    name: ClassVar = "density_steps"
    steps: ClassVar[bool] = True
