"""What the section `guidance` of an experiment may say."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

import guidance.profiles  # noqa: F401  (so that its constraints are known by their names)
from guidance.constraints import NearestStableStateSettings, UnstablePairsSettings
from guidance.steps import LAST_STEP
from guidance.terms import TermSettings

# First mixed layers are mixed; in the last step what still overturns is pulled apart.
IN_TURN = (
    NearestStableStateSettings(until=LAST_STEP),
    UnstablePairsSettings(start=LAST_STEP),
)
TERMS_NOW = (
    "constraints are a list now, as terms: [{nearest_stable_state: {until: last_step}}, "
    "{unstable_pairs: {start: last_step}}], each with its own start, until, weight and per"
)
FORMER = {
    **dict.fromkeys([*TermSettings.known, "per", "windows"], TERMS_NOW),
    **dict.fromkeys(
        ["budget", "satisfied", "relaxation", "damped"], "it was removed; leave it out"
    ),
    "by": "guidance goes by the gradient through the decoder alone; leave it out",
}


class Steering(BaseModel):
    """How constraints steer a chain, whatever they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    acts_on: Literal["clean_estimate", "noisy_sample"] = Field(
        "clean_estimate", description="the noisy sample is for methods to compare with"
    )
    start: float = Field(
        0.6, ge=0, le=1, description="share of the diffusion time that runs unguided"
    )
    every: int = Field(1, gt=0, description="guide every N-th step, and always the last one")
    inner_steps: int = Field(1, gt=0, description="most steps in a guided denoising step")
    step_cap: float = Field(
        0.03, gt=0, description="largest rms change in one step, in standard deviations of a latent"
    )
    strength: Literal["constant", "rising", "dual_ascent"] = Field(
        "constant", description="of the pull on noisy samples over the chain"
    )
    rate: float = Field(
        1.0,
        gt=0,
        description="of noisy samples: the share of each step (constant), a factor on the "
        "published schedule (rising), or how fast the multiplier grows (dual_ascent)",
    )

    @model_validator(mode="after")
    def _steers_one_thing(self) -> Self:
        noisy = self.acts_on == "noisy_sample"
        if noisy and self.every > 1:
            raise ValueError("guidance of the noisy sample acts in each step; set every to 1")
        if not noisy and (self.strength != "constant" or self.rate != 1):
            raise ValueError(
                "strength and rate belong to acts_on: noisy_sample; the step of clean estimates is "
                "set by step_cap"
            )
        if self.strength == "constant" and self.rate > 1:
            raise ValueError(f"a constant strength takes at most a rate of 1, found {self.rate}")
        return self


class GuidanceSettings(Steering):
    """Hydrostatic guidance of the sampling: which constraints, and how they steer the chain."""

    enabled: bool = True
    terms: tuple[SerializeAsAny[TermSettings], ...] = Field(
        IN_TURN, description="the constraints: names, or {name: {option: value}}"
    )
    adjust: bool = Field(True, description="exact convective adjustment as the last step")

    @property
    def couples_samples(self) -> bool:
        """Whether a sample depends on the batch that it is drawn in."""
        return self.strength == "dual_ascent" or any(term.couples_samples for term in self.terms)

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_keys(cls, given: Any) -> Any:
        former = [key for key in FORMER if key in given] if isinstance(given, dict) else []
        if former:
            raise ValueError(f"the key {former[0]} is no longer known: {FORMER[former[0]]}")
        return given

    @model_validator(mode="after")
    def _has_constraints(self) -> Self:
        if self.enabled and not self.terms:
            raise ValueError("there are no terms; set enabled: false to sample unguided")
        return self
