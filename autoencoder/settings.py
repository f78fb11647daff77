"""What a configuration says of the codec: its design, its loss and its training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from data.settings import Section, Widths
from training.plan import TrainingPlan


class CodecDesign(Section):
    """The networks of a latent-space codec, whatever the ocean that they are for."""

    latent_channels: int = Field(16, gt=0)
    patch: int = Field(1, gt=0, description="cells a side that the first layer folds into channels")
    channels: Widths = (96, 128)
    blocks: int = Field(2, gt=0, description="residual blocks in a stage")
    mixing: bool = Field(True, description="the decoder ends in predicted vertical mixing")
    vertical_modes: int = Field(0, ge=0, description="column modes around the network; 0: none")
    linear_path: bool = Field(False, description="principal components beside the network")

    @property
    def factor(self) -> int:
        """How many cells a side one latent cell covers."""
        return self.patch * 2 ** (len(self.channels) - 1)


class LossSettings(Section):
    """Weights of the autoencoder's loss terms beside the reconstruction error; 0 leaves one out."""

    kl: float = Field(1e-6, ge=0, description="per latent number")
    stratification: float = Field(0.0, ge=0, description="density steps, both signs of error")
    created_instability: float = Field(0.0, ge=0, description="density steps, only overturning")
    spectral: float = Field(0.0, ge=0, description="band energies of horizontal spectra")
    censored: float = Field(0.0, ge=0, description="likelihood at freezing point and salinity 0")
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


class AutoencoderSettings(CodecDesign):
    """The codec: a VAE, or the identity, which makes the diffusion a data-space model."""

    kind: Literal["vae", "identity"] = "vae"
    losses: LossSettings = LossSettings()
    training: TrainingPlan

    @property
    def design(self) -> CodecDesign:
        """The design alone."""
        return CodecDesign(**{name: getattr(self, name) for name in CodecDesign.model_fields})
