"""Settings of the section `guidance`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from data.settings import Section
from guidance.steps import LAST_STEP
from guidance.term_settings import (
    NearestStableStateSettings,
    TermSettings,
    UnstablePairsSettings,
)

# Mix unstable layers first; the last step restratifies the remaining inversions.
DEFAULT_TERMS = (
    NearestStableStateSettings(until=LAST_STEP),
    UnstablePairsSettings(start=LAST_STEP),
)
TERMS_NOW = (
    "constraints are now a list, terms: [{nearest_stable_state: {until: last_step}}, "
    "{unstable_pairs: {start: last_step}}], each with its own start, until, weight and per"
)
FORMER = {
    **dict.fromkeys([*TermSettings.known, "per", "windows"], TERMS_NOW),
    **dict.fromkeys(
        ["budget", "satisfied", "relaxation", "damped"], "it was removed; leave it out"
    ),
    "by": "guidance always uses the gradient through the decoder; leave it out",
}


class Steering(Section):
    """How any constraints guide a chain."""

    acts_on: Literal["clean_estimate", "noisy_sample"] = Field(
        "clean_estimate", description="noisy_sample is for comparison with published methods"
    )
    start: float = Field(
        0.6, ge=0, le=1, description="fraction of the diffusion time without guidance"
    )
    every: int = Field(1, gt=0, description="guide every N-th step, and always the last one")
    inner_steps: int = Field(
        1, gt=0, description="maximum gradient steps per guided denoising step"
    )
    step_cap: float = Field(
        0.03,
        gt=0,
        description="maximum rms change per gradient step, in standard deviations of latents",
    )
    strength: Literal["constant", "rising", "dual_ascent"] = Field(
        "constant", description="schedule of the step size for noisy samples"
    )
    rate: float = Field(
        1.0,
        gt=0,
        description="for noisy samples: fraction of each step (constant), factor of the published "
        "schedule (rising) or growth rate of the multiplier (dual_ascent)",
    )

    @model_validator(mode="after")
    def _steers_one_thing(self) -> Self:
        noisy = self.acts_on == "noisy_sample"
        if noisy and self.every > 1:
            raise ValueError("guidance of the noisy sample acts in every step; set every to 1")
        if not noisy and (self.strength != "constant" or self.rate != 1):
            raise ValueError(
                "strength and rate apply only to acts_on: noisy_sample; for clean estimates set "
                "step_cap"
            )
        if self.strength == "constant" and self.rate > 1:
            raise ValueError(f"with constant strength, rate must be at most 1, found {self.rate}")
        if self.strength != "constant" and self.inner_steps > 1:
            raise ValueError(
                f"with {self.strength} strength, each step is taken once; set inner_steps to 1"
            )
        return self


class GuidanceSettings(Steering):
    """Hydrostatic guidance of the sampling: its constraints and how they act."""

    enabled: bool = True
    terms: tuple[SerializeAsAny[TermSettings], ...] = Field(
        DEFAULT_TERMS, description="constraints, each a name or {name: {option: value}}"
    )
    adjust: bool = Field(True, description="exact convective adjustment as the last step")

    @property
    def couples_samples(self) -> bool:
        """Whether a sample depends on its batch."""
        return self.strength == "dual_ascent" or any(term.couples_samples for term in self.terms)

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_keys(cls, given: Any) -> Any:
        former = [key for key in FORMER if key in given] if isinstance(given, dict) else []
        if former:
            raise ValueError(f"the key {former[0]} is no longer known: {FORMER[former[0]]}")
        if isinstance(given, dict) and isinstance(given.get("terms"), dict):
            raise ValueError(
                "terms is a list, which is replaced as a whole: for example --guidance.terms "
                "'[nearest_stable_state, {unstable_pairs: {weight: 3}}]'"
            )
        return given

    @model_validator(mode="after")
    def _has_constraints(self) -> Self:
        if self.enabled and not self.terms:
            raise ValueError("there are no terms; set enabled: false to sample unguided")
        return self
