"""Whether a sampler's chain stays within the data: a test on normal distributions.

For a normal distribution the ideal denoiser is known, and so is the spread that samples must have.
Solvers of second order that begin at the pure noise of a cosine schedule (a sigma of 2 10^4) take a
first step that is long compared with the noise where it ends, and their error there grows as
variance * sigma / sigma'^3: with 15 steps of Heun's method samples have 15 times the spread. A test
of the chain itself finds such samplers, whatever their name and options.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from data.documents import reason
from data.errors import UserError
from latent_diffusion.denoiser import noise_level

SAMPLES = 256
MOST_GROWTH = 2.0  # of the standard deviation; too few steps of sound samplers lessen it


def check_chain(scheduler: SchedulerMixin, *, steps: int, largest_variance: float) -> None:
    """Raise `UserError` if a chain of `steps` steps inflates the spread of a normal distribution.

    largest_variance: of the latents along any direction; errors grow with it
    """
    name = type(scheduler).__name__
    try:
        factor = growth(scheduler, steps=steps, variances=(1.0, max(largest_variance, 1.0)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} cannot sample this model with {steps} steps ({type(error).__name__}: "
            f"{reason(error)}); change its sampling.scheduler_options or choose another scheduler"
        ) from error
    if factor > MOST_GROWTH:
        raise UserError(
            f"{name} does not converge in {steps} steps: on a normal distribution with the "
            f"variance of this model its samples have {factor:.1f} times the true spread; use more "
            "steps, the option use_karras_sigmas or DPMSolverMultistepScheduler"
        )


@torch.no_grad()
def growth(scheduler: SchedulerMixin, *, steps: int, variances: Sequence[float]) -> float:
    """The largest ratio of the samples' standard deviation to the true one; 1 is exact.

    variances: `v`, of the normal distributions; the mean is 0. The scheduler stays as it is. NaN
    counts as 1, because the chain itself says so in its own words.
    """
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    variance = torch.tensor(variances).view(1, -1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1, len(variances), 1, SAMPLES, generator=generator)
    sample = start * scheduler.init_noise_sigma
    random = "generator" in inspect.signature(scheduler.step).parameters
    noise = {"generator": generator} if random else {}
    for index, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(sample, timestep)
        v = _ideal_velocity(scaled, variance, *noise_level(scheduler, index))
        sample = scheduler.step(v, timestep, sample, **noise).prev_sample
    ratio = sample.std(dim=-1) / start.std(dim=-1) / variance[..., 0].sqrt()
    return float(ratio.nan_to_num(1.0, posinf=torch.inf).max())


def _ideal_velocity(scaled: Tensor, variance: Tensor, signal: float, noise: float) -> Tensor:
    """v for normal distributions with mean 0; see `MemberGaussians.velocity`."""
    return signal * noise * (1 - variance) / (signal**2 * variance + noise**2) * scaled
