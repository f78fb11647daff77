"""Settings of guidance."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from data.settings import Section

TermName = Literal[
    "nearest_stable_state",
    "unstable_pairs",
    "physical_bounds",
    "mean_profile",
    "density_profile",
    "density_steps",
    "budget",
]
Share = Annotated[float, Field(ge=0, le=1)]
LAST_STEP = 0.998  # of the diffusion time: what no step but the last one reaches
# First mixed layers are mixed; at the very end what still overturns is pulled apart.
IN_TURN: dict[str, tuple[float, float]] = {
    "nearest_stable_state": (0.0, LAST_STEP),
    "unstable_pairs": (LAST_STEP, 1.0),
}


class GuidanceSettings(Section):
    """Hydrostatic guidance of the sampling: which constraints, and how they steer the chain."""

    enabled: bool = True

    # Constraints: their weights, 0 leaves one out.
    nearest_stable_state: float = Field(1.0, ge=0, description="the state, exactly adjusted")
    unstable_pairs: float = Field(
        1.0, ge=0, description="hinge on density steps; early or alone it stratifies mixed layers"
    )
    physical_bounds: float = Field(0.0, ge=0, description="freezing point, salinity 0")
    mean_profile: float = Field(0.0, ge=0, description="horizontal means of T and S")
    density_profile: float = Field(0.0, ge=0, description="horizontal means of density")
    density_steps: float = Field(0.0, ge=0, description="their differences between levels")
    budget: float = Field(0.0, ge=0, description="the ocean's heat and salt content")
    per: Literal["sample", "ensemble"] = Field(
        "sample", description="whether means (the last four) are each sample's or the batch's"
    )
    windows: dict[TermName, tuple[Share, Share]] = Field(
        {},
        description="shares of the diffusion time, 0 at noise and 1 at the end, between which a "
        "constraint counts; unsaid: all of it, but of nearest_stable_state and unstable_pairs "
        "together the latter only at the end, and the former before",
    )

    # How they steer.
    acts_on: Literal["clean_estimate", "noisy_sample"] = Field(
        "clean_estimate", description="the noisy sample is for methods to compare with"
    )
    by: Literal["decoder", "network", "encoder", "surrogate"] = Field(
        "decoder",
        description="gradient through the decoder, through the denoiser too, or through a linear "
        "stand-in for the decoder; or projection and encoding again",
    )
    start: float = Field(
        0.6, ge=0, le=1, description="share of the diffusion time that runs unguided"
    )
    every: int = Field(1, gt=0, description="guide each so-many-th step, the last one always")
    inner_steps: int = Field(1, gt=0, description="most steps in a guided denoising step")
    satisfied: float = Field(0.0, ge=0, description="energy at which a sample is left alone")
    step_cap: float = Field(0.03, gt=0, description="largest rms change of a latent in one step")
    relaxation: float = Field(1.0, gt=0, description="factor on each step")
    damped: bool = Field(False, description="decode where a step leads, and shorten it")
    strength: Literal["constant", "rising", "dual_ascent"] = Field(
        "constant", description="of the pull on noisy samples over the chain"
    )
    rate: float = Field(
        1.0,
        gt=0,
        description="of noisy samples: the share of each step (constant), a factor on the "
        "published schedule (rising), or how fast the multiplier grows (dual_ascent)",
    )

    adjust: bool = Field(True, description="exact convective adjustment as the last step")

    @property
    def weights(self) -> dict[TermName, float]:
        """Weight of each constraint by its name."""
        return {name: getattr(self, name) for name in get_args(TermName)}

    def window(self, name: TermName) -> tuple[float, float]:
        """Between which shares of the diffusion time a constraint counts."""
        if name in self.windows:
            return self.windows[name]
        together = self.nearest_stable_state > 0 and self.unstable_pairs > 0
        return IN_TURN.get(name, (0.0, 1.0)) if together else (0.0, 1.0)

    @property
    def couples_samples(self) -> bool:
        """Whether a sample depends on the batch that it is drawn in."""
        means = (self.mean_profile, self.density_profile, self.density_steps, self.budget)
        return self.strength == "dual_ascent" or (self.per == "ensemble" and any(means))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        noisy = self.acts_on == "noisy_sample"
        if noisy and (self.by == "network" or self.every > 1 or self.damped):
            raise ValueError(
                "guidance of the noisy sample takes by: decoder, encoder or surrogate, "
                "every: 1 and damped: false"
            )
        used = [name for name, weight in self.weights.items() if weight]
        projected = ("nearest_stable_state", "physical_bounds")
        if self.by == "encoder" and (len(used) != 1 or used[0] not in projected):
            raise ValueError(
                f"by: encoder takes one constraint, {' or '.join(projected)}, found "
                f"{', '.join(used) or 'none'}; set the weights of the others to 0"
            )
        if not noisy and (self.strength != "constant" or self.rate != 1):
            raise ValueError(
                "strength and rate belong to acts_on: noisy_sample; the step of clean estimates is "
                "set by step_cap and relaxation"
            )
        if self.strength == "constant" and self.rate > 1:
            raise ValueError(
                f"of a constant strength at most all is taken: rate 1, found {self.rate}"
            )
        if self.enabled and not used:
            raise ValueError("no constraint has a weight; set enabled: false to sample unguided")
        for name, (first, last) in self.windows.items():
            if first >= last:
                raise ValueError(
                    f"the window of {name} ends at {last}, before it begins at {first}"
                )
        return self
