"""Settings of the codec: design, loss and training."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from data.settings import Section, Widths
from training.plan import TrainingPlan


class CodecDesign(Section):
    """The networks of a latent-space codec, independent of the ocean."""

    latent_channels: int = Field(16, gt=0)
    patch: int = Field(
        1, gt=0, description="the first layer folds patches of N x N cells into channels; this is N"
    )
    channels: Widths = (96, 128)
    blocks: int = Field(2, gt=0, description="residual blocks per stage")
    mixing: bool = Field(True, description="end the decoder with predicted vertical mixing")
    vertical_modes: int = Field(
        0, ge=0, description="number of vertical modes around the network; 0: none"
    )
    linear_path: bool = Field(
        False, description="add a linear map (principal components) in parallel to the network"
    )

    @property
    def factor(self) -> int:
        """Width of a latent cell in grid cells."""
        return self.patch * 2 ** (len(self.channels) - 1)


class LossSettings(Section):
    """Weights of the loss terms relative to the reconstruction error; 0 disables a term."""

    kl: float = Field(1e-6, ge=0, description="KL divergence, mean over latent values")
    stratification: float = Field(0.0, ge=0, description="error of the density steps, both signs")
    created_instability: float = Field(
        0.0, ge=0, description="error of the density steps, only instability"
    )
    spectral: float = Field(
        0.0, ge=0, description="error of horizontal spectra, in wavenumber bands"
    )
    censored: float = Field(
        0.0,
        ge=0,
        description="error with temperature censored at the freezing point and salinity at 0",
    )
    between_states: float = Field(
        0.0,
        ge=0,
        description="density steps of what is decoded between the latents of two states, where "
        "they lie outside the range of these states'",
    )
    latent_jitter: float = Field(
        0.0,
        ge=0,
        description="standard deviation of noise on the latents, relative to their spread (not a "
        "weight): the density-step terms are also computed from the noisy latents; 0: off",
    )

    @model_validator(mode="after")
    def _jitter_has_terms(self) -> Self:
        if self.latent_jitter and not (self.stratification or self.created_instability):
            raise ValueError(
                "latent_jitter repeats the terms stratification and created_instability, but both "
                "are 0"
            )
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term by its name."""
        return self.model_dump(exclude={"latent_jitter"})


class CodecTraining(TrainingPlan):
    """The training of the codec: on whole states, or on windows of them."""

    window: tuple[PositiveInt, PositiveInt] | None = Field(
        None,
        description="rows and columns of the windows, at random positions, on which the codec is "
        "trained and validated, whose size then sets the memory; null: whole states",
    )

    @property
    def states_at_once(self) -> int:
        """Whole states in memory together while linear maps are fitted and latents standardised."""
        return self.batch_size if self.window is None else 1

    @property
    def identity(self) -> dict[str, object]:
        """As of any plan. Without windows they are left out, so trained models remain valid."""
        return {
            key: value
            for key, value in super().identity.items()
            if key != "window" or value is not None
        }


class AutoencoderSettings(CodecDesign):
    """The codec: a VAE, or the identity for diffusion in data space."""

    kind: Literal["vae", "identity"] = "vae"
    losses: LossSettings = LossSettings()
    training: CodecTraining

    @property
    def record(self) -> dict[str, Any]:
        """The settings as stages record them.

        Loss terms without weight are left out, so a new term leaves trained models valid.
        """
        losses = {name: value for name, value in self.losses.model_dump().items() if value}
        networks = self.model_dump(mode="json", exclude={"losses", "training"})
        return networks | {"losses": losses, "training": self.training.record}

    @property
    def design(self) -> CodecDesign:
        """The fields of `CodecDesign`."""
        return CodecDesign(**{name: getattr(self, name) for name in CodecDesign.model_fields})
