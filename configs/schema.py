"""What an experiment's YAML may say. Unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.basin.design import EnsembleSettings
from data.basin.simulate import SimulationSettings
from data.ingest import IngestSettings
from guidance.settings import GuidanceSettings
from training.schedule import TrainingPlan

# Networks normalise their channels in groups of 8.
Widths = Annotated[
    tuple[Annotated[int, Field(gt=0, multiple_of=8)], ...],
    Field(min_length=1, description="width of each stage; each halves rows and columns"),
]


Label = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]


class Section(BaseModel):
    """A block of the YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Section):
    """Which state archive the experiment learns from, and how it is made if it is missing."""

    archive: Path = Field(description="state archive: a zarr folder or a .zarr.zip")
    simulation: SimulationSettings | None = Field(None, description="made by `halocline simulate`")
    ensemble: EnsembleSettings | None = Field(None, description="made by `halocline simulate`")
    ingest: IngestSettings | None = Field(None, description="made by `halocline ingest`")


class TrainingSettings(Section):
    """How a stage is trained; times are counted in training samples."""

    samples: int = Field(gt=0)
    batch_size: int = Field(16, gt=0, description="over all processes")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_samples: int = Field(1000, ge=1)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    gradient_clip: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    checkpoint_samples: int = Field(5000, gt=0)
    validation_samples: int = Field(5000, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int = Field(0, ge=0, description="processes that read states; 0 reads in the trainer")
    seed: int = Field(0, ge=0)

    def plan(self) -> TrainingPlan:
        """The part of these settings that the training loop follows."""
        return TrainingPlan(**self.model_dump(exclude={"precision", "workers"}))


class LossSettings(Section):
    """Weights of the autoencoder's loss terms beside the reconstruction error; 0 leaves one out."""

    kl: float = Field(1e-6, ge=0, description="per latent number; bounded latents have none")
    stratification: float = Field(0.0, ge=0, description="density steps, both signs of error")
    created_instability: float = Field(0.0, ge=0, description="density steps, only overturning")
    interpolated_instability: float = Field(
        0.0, ge=0, description="overturning of what decodes half-way between two states' latents"
    )
    adjusted: float = Field(0.0, ge=0, description="error after exact convective adjustment")
    spectral: float = Field(0.0, ge=0, description="band energies of horizontal spectra")
    gradient: float = Field(0.0, ge=0, description="differences between horizontal neighbours")
    volume_mean: float = Field(0.0, ge=0, description="mean temperature and salinity")
    censored: float = Field(0.0, ge=0, description="likelihood at freezing point and salinity 0")
    adversarial: float = Field(0.0, ge=0, description="patches that a critic tells from the data's")
    latent_jitter: float = Field(
        0.0,
        ge=0,
        description="no weight, but noise in units of the latents' spread: under it the terms of "
        "the density steps count once more",
    )

    @model_validator(mode="after")
    def _jitter_has_terms(self) -> Self:
        if self.latent_jitter and not (self.stratification or self.created_instability):
            raise ValueError(
                "latent_jitter repeats stratification and created_instability, and both are 0"
            )
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term by its name."""
        return self.model_dump(exclude={"latent_jitter"})


class AutoencoderSettings(Section):
    """The codec: a VAE, or the identity, which makes the diffusion a data-space model."""

    kind: Literal["vae", "identity"] = "vae"
    latent_channels: int = Field(16, gt=0)
    patch: int = Field(1, gt=0, description="cells a side that the first layer folds into channels")
    channels: Widths = (96, 128)
    blocks: int = Field(2, gt=0, description="residual blocks in a stage")
    mixing: bool = Field(True, description="the decoder ends in predicted vertical mixing")
    network: Literal["folded", "convolutional"] = Field(
        "folded", description="work near the latents' resolution, or from full resolution down"
    )
    shortcuts: bool = Field(True, description="folds and unfolds learn a change of a fixed map")
    vertical_modes: int = Field(0, ge=0, description="column modes around the network; 0: none")
    train_modes: bool = Field(True, description="training may change the vertical modes")
    linear_path: bool = Field(False, description="principal components beside the network")
    latent_noise: float = Field(
        0.0, ge=0, le=1, description="noise on softly bounded latents; 0: a learnt Gaussian"
    )
    head_kernel: Literal[1, 3] = Field(
        1, description="cells a side of the decoder's last convolution"
    )
    effect_exponent: float = Field(
        1.0,
        ge=0,
        le=1,
        description="power of a latent's effect on the state that its spread follows; 0: all alike",
    )
    losses: LossSettings = LossSettings()
    training: TrainingSettings


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
    scheduler_options: dict[str, bool | int | float | str] = {}


class DistillationSettings(Section):
    """How a denoiser of few steps is learnt from a trained one; `sampling.steps` says how few."""

    teacher: Path = Field(description="run directory of the trained experiment")
    teacher_steps: int = Field(
        32, gt=1, description="of its chains; a multiple of the student's, sampling.steps"
    )
    chains: int = Field(4096, ge=16, description="that the teacher draws for the student to learn")
    training: TrainingSettings


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
