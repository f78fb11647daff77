"""Classifier-free guidance: conditions that count for more than the training states say."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from latent_diffusion.denoiser import Denoiser
from latent_diffusion.pipeline import StatePipeline


class StrengthenedDenoiser(Denoiser):
    """Moves v away from that of unknown conditions (Ho & Salimans 2022, equation 6).

    strength: 1 + w of the paper, by which the effect of the conditions is multiplied
    """

    def __init__(self, *parts: Any, strength: float) -> None:
        super().__init__(*parts)
        self.strength = strength

    def forward(self, *inputs: Any, features: Tensor | None = None, **levels: Any) -> Tensor:
        """As `Denoiser.forward`."""
        known = super().forward(*inputs, features=features, **levels)
        unknown = super().forward(*inputs, features=None, **levels)
        return unknown + self.strength * (known - unknown)


class StrengthenedPipeline(StatePipeline):
    """A pipeline that draws with classifier-free guidance."""

    strength = 1.0

    @classmethod
    def around(cls, pipeline: StatePipeline, *, strength: float) -> StrengthenedPipeline:
        """The model, sampler and guidance of a pipeline."""
        own = cls(**pipeline.components, steps=pipeline.steps)
        own.origin, own.strength = pipeline.origin, strength
        own.set_progress_bar_config(disable=True)
        return own

    @property
    def denoiser(self) -> Denoiser:
        """Predicts v of standardised latents, with strengthened conditions."""
        return StrengthenedDenoiser(
            self.unet,
            self.gaussian,
            self.codec.static_maps,
            self.embedding,
            strength=self.strength,
        )
