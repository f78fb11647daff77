"""Settings of a study of training terms: variants of one experiment, each with another term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.loading import load_experiment, load_settings
from configs.schema import Experiment
from configs.shipped import base_file, config_file
from data.errors import UserError
from data.lazily import lazily
from data.settings import Section

if TYPE_CHECKING:
    from configs.run import Run

EXAMPLE = "configs/studies/terms_quickstart.yaml"
WARM_UP = 0.2  # maximum warm-up as a fraction of the training samples
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]


class ResidualSettings(Section):
    """A residual of the nearest stable state in the loss of the denoiser."""

    weight: float = Field(gt=0, description="c of Bastek, Sun and Kochmann")
    estimate: Literal["mean", "sample"] = Field(
        "mean", description="residual of the one-step clean estimate, or of a DDIM sample"
    )
    steps: int = Field(2, ge=2, description="network evaluations of a DDIM sample")
    variance: Literal["reverse_step", "clean"] = Field(
        "reverse_step",
        description="variance of the residual: of z_(t-1) given z_t and z_0, as in the paper, or "
        "of z_0 given z_t",
    )
    largest_noise: float = Field(
        0.6, gt=0, le=1, description="amplitude of noise above which there is no residual"
    )
    gradients: Literal["sum", "conflict_free"] = "sum"


class CensoredSettings(Section):
    """A censored Gaussian likelihood of temperature in the loss of the autoencoder."""

    scale: float = Field(
        gt=0, description="standard deviation of the Gaussian, in those of each level"
    )
    softness: float = Field(
        0.05, gt=0, description="range over which the decoder approaches the bound [K]"
    )


class Variant(Section):
    """A variant: its terms; without any it is the baseline."""

    residual: ResidualSettings | None = None
    censored: CensoredSettings | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it has no term."""
        return self.residual is None and self.censored is None


class BaselineSamples(Section):
    """Training samples of the baseline; the other variants get what fits into its time."""

    autoencoder: int = Field(gt=0)
    diffusion: int = Field(gt=0)


class TermsStudySettings(Section):
    """Settings of a study of training terms."""

    base: Path = Field(description="YAML of the base experiment, relative to this file")
    title: str = ""
    samples: BaselineSamples
    members: int = Field(64, gt=1, description="states generated at each point")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1, 2, 3), min_length=1, description="of training and sampling"
    )
    variants: dict[Name, Variant] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_baseline(self) -> Self:
        plain = [name for name, variant in self.variants.items() if variant.is_plain]
        if len(plain) != 1:
            raise ValueError(
                f"exactly one variant has no term, the baseline, but {len(plain)} have none"
            )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must be distinct; equal seeds give equal networks")
        return self


@dataclass(frozen=True)
class Point:
    """One training: a variant and a seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Base name of the point's files."""
        return f"{self.variant}-seed_{self.seed}"


@dataclass(frozen=True)
class TermsStudy:
    """A validated study.

    directory: holds the results of the points and the trained codecs
    """

    settings: TermsStudySettings
    base: Experiment
    directory: Path

    @property
    def baseline(self) -> str:
        """Name of the variant without a term."""
        return next(name for name, variant in self.variants.items() if variant.is_plain)

    @property
    def variants(self) -> dict[str, Variant]:
        """The variants by name."""
        return self.settings.variants

    @property
    def points(self) -> list[Point]:
        """All points: every variant for one seed before the next seed."""
        return [Point(name, seed) for seed in self.settings.seeds for name in self.variants]

    def run(self, *, seed: int, autoencoder: int, diffusion: int) -> Run:
        """The base experiment with a seed and numbers of training samples, for one short training.

        Without checkpoints and validation in between, which would not be equal in time.
        """
        stages = {"autoencoder": autoencoder, "diffusion": diffusion}
        changed = {}
        for name, samples in stages.items():
            section = getattr(self.base, name)
            plan = section.training
            warm_up = max(1, min(plan.warmup_samples, round(WARM_UP * samples)))
            update = dict.fromkeys(("samples", "checkpoint_samples", "validation_samples"), samples)
            training = plan.model_copy(update=update | {"warmup_samples": warm_up, "seed": seed})
            changed[name] = section.model_copy(update={"training": training})
        members = {"members": self.settings.members, "seed": seed}
        sampling = self.base.sampling.model_copy(update=members)
        run: Run = lazily("configs.run:Run")(self.base)
        return run.with_settings(**changed, sampling=sampling)


def load_terms_study(path: Path, overrides: Sequence[str] = ()) -> TermsStudy:
    """Read and check a study and its base experiment.

    overrides: settings of the study, such as `--members 16`. Raises `UserError` for unknown keys,
    wrong values, and a base experiment without an autoencoder.
    """
    path = config_file(path)
    settings = load_settings(path, TermsStudySettings, overrides, example=EXAMPLE)
    base_path = base_file(settings.base, of=path)
    base = load_experiment(base_path)
    if base.autoencoder.kind != "vae":
        raise UserError(
            f"{base_path} has autoencoder.kind {base.autoencoder.kind}, but the terms need a "
            "trained decoder; choose a base with autoencoder.kind vae"
        )
    return TermsStudy(settings, base, base.run_directory.parent / "studies" / path.stem)
