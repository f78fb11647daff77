"""A residual of the nearest stable state in the loss of the denoiser.

Bastek, Sun & Kochmann 2025, "Physics-informed diffusion models", ICLR, arXiv 2403.14404: a residual
R of the physics is observed to be 0 with a variance that falls with the noise, so that the loss
gains c R^2 / (2 variance). Here R is the decoded state minus its exact convective adjustment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from autoencoder.codec import Codec
from guidance.constraints import NearestStableState
from guidance.seawater import equation_of_state
from guidance.terms import Scales
from latent_diffusion.denoiser import Denoiser
from latent_diffusion.objective import DenoisingObjective
from studies.terms.conflict_free import with_conflict_free_gradient
from studies.terms.settings import ResidualSettings

Energy = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prediction:
    """What the denoiser was given, and its v; all of batch b.

    scaled, v: `b c h w`; timesteps: `b`; signal, noise: amplitudes `b 1 1 1`
    """

    scaled: Tensor
    timesteps: Tensor
    signal: Tensor
    noise: Tensor
    v: Tensor

    @property
    def clean(self) -> Tensor:
        """The clean estimate `b c h w`."""
        return self.signal * self.scaled - self.noise * self.v

    @property
    def predicted_noise(self) -> Tensor:
        """The noise that remains beside the clean estimate, `b c h w`."""
        return self.noise * self.scaled + self.signal * self.v

    def of(self, chosen: Tensor) -> Prediction:
        """The samples at the True places of `b`."""
        parts = (self.scaled, self.timesteps, self.signal, self.noise, self.v)
        return Prediction(*(part[chosen] for part in parts))


def stability_residual(codec: Codec) -> Energy:
    """R^2 / 2 `b` of latents `b c h w`, with R the decoded state minus its nearest stable state.

    R^2 is the mean over wet cells in units of the scales of each level, summed over T and S. The
    stable state, which has the same column heat and salt, is held constant in the gradient.
    """
    statistics = codec.statistics
    scales = Scales.from_channels(statistics.std.cpu(), levels=statistics.levels)
    eos = equation_of_state(codec.config.ocean["equation_of_state"])
    term = NearestStableState(codec.grid, eos, scales)
    return lambda latents: term(codec.decode(latents))


def residual_variance(schedule: DDPMScheduler, kind: str) -> Tensor:
    """Variance `t` that the residual is given at each timestep, before the division by c.

    kind: "reverse_step", of z_(t-1) given z_t and z_0, which the paper uses: beta_t (1 - a_(t-1)) /
        (1 - a_t) with a the product of 1 - beta, and at t = 0, where it is 0, that of t = 1;
        "clean", of z_0 of variance 1 given z_t: 1 - a_t
    """
    alphas = schedule.alphas_cumprod.double()
    if kind == "clean":
        return 1 - alphas
    before = torch.cat([alphas.new_ones(1), alphas[:-1]])
    variance = (1 - alphas / before) * (1 - before) / (1 - alphas)
    variance[0] = variance[1]
    return variance


class ResidualObjective(DenoisingObjective):
    """v-prediction error plus the residual of what the denoiser predicts at low noise.

    residual: R^2 / 2 of latents
    settings: weight, estimate and variance of the residual
    schedule, weight, noise_emphasis: see `DenoisingObjective`
    """

    _variance: Tensor

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        residual: Energy,
        settings: ResidualSettings,
        schedule: DDPMScheduler,
        weight: Tensor,
        noise_emphasis: float = 1.0,
    ) -> None:
        super().__init__(denoiser, schedule=schedule, weight=weight, noise_emphasis=noise_emphasis)
        self._residual, self._settings = residual, settings
        variance = residual_variance(schedule, settings.variance).float()
        self.register_buffer("_variance", variance, persistent=False)

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Both losses of a batch, and their sum; see `DenoisingObjective`."""
        with _predictions(self.denoiser) as predictions:
            data = super().forward(batch, generator)["loss"]
        residual = self.residual(predictions[0])
        total = data + residual
        if self._settings.gradients == "conflict_free" and residual.requires_grad:
            parameters = [p for p in self.denoiser.parameters() if p.requires_grad]
            total = with_conflict_free_gradient(data, residual, parameters)
        return {"loss": total, "data": data, "residual": residual}

    def residual(self, prediction: Prediction) -> Tensor:
        """c R^2 / (2 variance), mean over the batch; 0 for samples above the largest noise."""
        low = prediction.noise.flatten() <= self._settings.largest_noise
        if not low.any():
            return prediction.v.new_zeros(())
        chosen = prediction.of(low)
        clean = chosen.clean if self._settings.estimate == "mean" else self._sampled(chosen)
        likelihood = self._residual(clean) / self._variance[chosen.timesteps]
        return self._settings.weight * likelihood.sum() / len(low)

    def _sampled(self, prediction: Prediction) -> Tensor:
        """The samples `b c h w` of a short DDIM chain from the prediction's noisy latents.

        Steps are equal in time; the last ends at the clean estimate. The gradient passes through
        all of them.
        """
        steps, start = self._settings.steps, prediction.timesteps
        for left in range(steps - 1, 0, -1):
            prediction = self._following(prediction, start * left // steps)
        return prediction.clean

    def _following(self, prediction: Prediction, timesteps: Tensor) -> Prediction:
        """The prediction at lower `timesteps` `b`, after a DDIM step (Song et al. 2021)."""
        signal = self._alphas[timesteps].sqrt()[:, None, None, None]
        noise = (1 - self._alphas[timesteps]).sqrt()[:, None, None, None]
        scaled = signal * prediction.clean + noise * prediction.predicted_noise
        v = self.denoiser(scaled, timesteps, signal=signal, noise=noise)
        return Prediction(scaled, timesteps, signal, noise, v)


@contextmanager
def _predictions(denoiser: nn.Module) -> Iterator[list[Prediction]]:
    """The predictions that the denoiser makes within this context."""
    found: list[Prediction] = []

    def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], v: Tensor) -> None:
        scaled, timesteps = given
        found.append(Prediction(scaled, timesteps, named["signal"], named["noise"], v))

    handle = denoiser.register_forward_hook(note, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()
