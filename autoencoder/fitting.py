"""Fits of a codec to its training states, before and after the training of its network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from autoencoder.codec import VolumeCodec
from autoencoder.linear import fit
from data.state import State

EFFECT_PROBE = 0.3  # standard deviations of the latent perturbation that measures effects


def fit_linear_maps(codec: VolumeCodec, states: Callable[[], Iterable[State]]) -> None:
    """Fit the VAE's vertical modes and linear path, where it has them, to the states.

    states: an iterator over the training states, called once for each fit
    """

    def inputs() -> Iterator[Tensor]:
        return (codec.network_input(state) for state in states())

    vae, design = codec.vae, codec.design
    if vae.modes is not None:
        fit(vae.modes, inputs, design.vertical_modes)
    if vae.linear is not None:
        fit(vae.linear, lambda: map(vae.amplitudes, inputs()), design.latent_channels)


@torch.no_grad()
def standardise_latents(codec: VolumeCodec, states: Iterable[State]) -> None:
    """Set the codec's standardisation of latents from the training states, in batches.

    Standardised latents have mean 0 and, in each channel, a standard deviation proportional to the
    channel's effect on the decoded states of the last batch (mean square over channels 1). Equal
    changes of any two latent values then change the state equally, so diffusion noise hides the
    least important details first, as in data space.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for state in states:
        mean, log_variance = codec.vae.encode(codec.network_input(state))
        count += mean[:, 0].numel()
        total = total + mean.double().sum(dim=(0, 2, 3))
        # Variance of posterior draws: variance of the means plus the posterior variance.
        draws = mean.double().square() + log_variance.double().exp()
        squares = squares + draws.sum(dim=(0, 2, 3))
    std = (squares / count - (total / count).square()).clamp_min(1e-12).sqrt().float()
    codec.latent_mean.copy_(total / count)
    codec.latent_unit.copy_(std)
    spread = _effects(codec, state)
    codec.latent_unit.copy_(std / (spread / spread.square().mean().sqrt()))


def _effects(codec: VolumeCodec, state: State) -> Tensor:
    """Change of the normalised decoded states when each latent channel is perturbed alone, `l`.

    The perturbation is white noise of `EFFECT_PROBE` standard deviations; latents have variance 1.
    """
    latents, generator = codec.encode(state), torch.Generator().manual_seed(0)
    before, effects = codec.statistics.normalise(codec.decode(latents)), []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        noise = torch.randn(moved[:, channel].shape, generator=generator)
        moved[:, channel] += EFFECT_PROBE * noise.to(moved)
        change = codec.statistics.normalise(codec.decode(moved)) - before
        effects.append(change.square().sum().sqrt())
    return torch.stack(effects)
