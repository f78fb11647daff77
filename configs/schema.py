"""What an experiment's YAML may say. Unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from autoencoder.settings import AutoencoderSettings, Widths
from data.basin.design import EnsembleSettings
from data.basin.simulate import SimulationSettings
from data.ingest import IngestSettings
from data.settings import Section
from training.settings import TrainingSettings

Label = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]


class DataSettings(Section):
    """Which state archive the experiment learns from, and how it is made if it is missing."""

    archive: Path = Field(description="state archive: a zarr folder or a .zarr.zip")
    simulation: SimulationSettings | None = Field(None, description="made by `halocline simulate`")
    ensemble: EnsembleSettings | None = Field(None, description="made by `halocline simulate`")
    ingest: IngestSettings | None = Field(None, description="made by `halocline ingest`")


class DiffusionSettings(Section):
    """The denoiser of latents: a diffusers UNet2DModel."""

    channels: Widths = (96, 192)
    blocks: int = Field(2, gt=0)
    attention: bool = Field(True, description="self-attention in the lowest stage")
    dropout: float = Field(0.0, ge=0, lt=1)
    train_timesteps: int = Field(1000, gt=1)
    noise_emphasis: float = Field(
        1.0, gt=0, description="1: uniform noise levels; above: more of the high ones"
    )
    training: TrainingSettings

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.attention and self.channels[-1] % 32:
            raise ValueError(
                f"attention has heads of 32 channels, which do not divide {self.channels[-1]}"
            )
        return self


class SamplingSettings(Section):
    """How an ensemble is drawn."""

    members: int = Field(64, gt=0)
    batch_size: int = Field(16, gt=0)
    seed: int = Field(0, ge=0)
    steps: int = Field(25, gt=0)
    scheduler: str = Field("DPMSolverMultistepScheduler", description="any diffusers scheduler")
    scheduler_options: dict[str, bool | int | float | str] = Field({})


class DistillationSettings(Section):
    """How a denoiser of few steps is learnt from a trained one; `sampling.steps` says how few."""

    teacher: Path = Field(description="run directory of the trained experiment")
    teacher_steps: int = Field(
        32, gt=1, description="of its chains; a multiple of the student's, sampling.steps"
    )
    chains: int = Field(4096, ge=16, description="that the teacher draws for the student to learn")
    training: TrainingSettings


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


class EvaluationSettings(Section):
    """Which states are judged against the truth."""

    states: int = Field(64, gt=0, description="number of truth states at most")


class StartSettings(Section):
    """Runs that begin with states of one kind."""

    states: Literal["test", "generated", "training_mean", "nearest_training", "analytic"] = Field(
        description="held-out states, drawn ones, the mean of all that training saw, the training "
        "states nearest to the held-out ones, or the basin's analytic state"
    )
    guidance: GuidanceSettings | None = Field(
        None, description="of drawn states; unsaid: the experiment's own, exactly adjusted"
    )
    members: int = Field(2, gt=0)
    years: float = Field(2.0, gt=0)
    long_members: int = Field(0, ge=0, description="so many of the members go on")
    long_years: float = Field(100.0, gt=0, description="to this length")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.guidance and self.states != "generated":
            raise ValueError(f"guidance is of generated states, and these are {self.states}")
        if self.long_members and self.long_years <= self.years:
            raise ValueError(
                f"long runs go on after {self.years:g} years, and long_years is {self.long_years:g}"
            )
        if self.long_members > self.members:
            raise ValueError(f"{self.long_members} of {self.members} members cannot go on")
        return self


class IntegrationSettings(Section):
    """Integration of states in the basin model."""

    directory: Path | None = Field(
        None, description="where the runs are kept; unsaid: integration/ of the run directory"
    )
    starts: dict[Label, StartSettings] = Field(
        {
            "truth": StartSettings(states="test"),
            "generated": StartSettings(states="generated"),
            "analytic": StartSettings(states="analytic", members=1),
        },
        min_length=1,
        description="by label; what is held against the model's own states is labelled truth",
    )
    velocities: Literal["rest", "balanced"] = Field(
        "rest", description="of all starts: none, or in geostrophic balance with T and S"
    )
    seed: int = Field(12345, description="of the forcing anomalies of the first member of a label")
    checkpoint_years: float = Field(2.0, gt=0, description="simulated years lost at most")
    workers: int = Field(2, gt=0)


class BenchmarkSettings(Section):
    """The ocean that costs are measured on, and systems beside the experiment's own."""

    grid: tuple[int, int, int] = Field(description="levels, rows and columns, all of them wet")
    sea_level: bool = False
    periodic_x: bool = True
    variants: dict[str, dict[str, Any]] = Field(
        {}, description="further systems by name: settings in which each differs from this one"
    )


class Experiment(Section):
    """One complete, runnable experiment."""

    name: str
    title: str = ""
    run_directory: Path
    data: DataSettings
    autoencoder: AutoencoderSettings
    diffusion: DiffusionSettings
    distillation: DistillationSettings | None = None
    sampling: SamplingSettings = SamplingSettings()
    guidance: GuidanceSettings = GuidanceSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    integration: IntegrationSettings | None = None
    benchmark: BenchmarkSettings | None = None

    @model_validator(mode="after")
    def _distillation_fits(self) -> Self:
        told, sampling = self.distillation, self.sampling
        if told is None:
            return self
        if told.teacher == self.run_directory:
            raise ValueError(
                f"the run directory {told.teacher} is the teacher's; the student needs its own"
            )
        if told.teacher_steps % sampling.steps or told.teacher_steps == sampling.steps:
            raise ValueError(
                f"distillation.teacher_steps {told.teacher_steps} is no multiple of "
                f"sampling.steps {sampling.steps}"
            )
        return self
