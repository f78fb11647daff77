"""Settings of the codec and of its training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from data.settings import Section, Widths
from training.plan import TrainingPlan


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
    training: TrainingPlan
