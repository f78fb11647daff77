"""Chains that begin at given states, and the noise at which two kinds of states agree."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from data.errors import UserError
from latent_diffusion.denoiser import noise_level
from latent_diffusion.schedulers import build_schedule
from latent_diffusion.start import Start, compared_scales, least_noise
from studies.gaussian_posterior import GaussianOcean


def white(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "kind", [DPMSolverMultistepScheduler, DDIMScheduler, HeunDiscreteScheduler]
)
def test_a_chain_begins_with_the_noise_that_is_asked_for(kind):
    scheduler = kind.from_config(build_schedule(1000).config)
    scheduler.set_timesteps(40)
    start = Start(torch.full((1, 2, 64, 64), 3.0), noise=0.5)
    step = start.step(scheduler)
    level = noise_level(scheduler, step)
    assert 0.5 <= level.noise < 0.6
    assert noise_level(scheduler, step + scheduler.order).noise < 0.5
    sample = start.sample(scheduler, white(1, 2, 64, 64), step=step, frame=None)
    scaled = scheduler.scale_model_input(sample, scheduler.timesteps[step])
    assert float(scaled.mean()) == pytest.approx(3 * level.signal, abs=0.02)
    assert float(scaled.std()) == pytest.approx(level.noise, rel=0.03)


def test_noise_that_no_chain_has_is_refused():
    for noise in (0.0, -0.5, 1.5):
        with pytest.raises(UserError, match="give more than 0 and at most 1"):
            Start(torch.zeros(1, 1, 4, 4), noise=noise)
    scheduler = DDIMScheduler.from_config(build_schedule(1000).config)
    scheduler.set_timesteps(4)
    assert Start(torch.zeros(1, 1, 4, 4), noise=1e-4).step(scheduler) == 3  # the last


def test_with_little_noise_a_state_returns_and_with_much_it_is_forgotten():
    ocean = GaussianOcean.build((8, 8), seed=1)
    pipeline = ocean.pipeline
    pair = [torch.Generator().manual_seed(k) for k in (98, 99)]  # this ocean draws pairs
    given = pipeline.draw(generators=pair, steps=60).latents[:1]
    generators = [torch.Generator().manual_seed(k) for k in range(4)]

    def kept(noise: float) -> float:
        drawn = pipeline.draw(
            generators=[g.manual_seed(k) for k, g in enumerate(generators)],
            steps=60,
            start=Start(given, noise),
        ).latents
        mean = drawn.mean(dim=0)
        return float((mean * given[0]).sum() / given.square().sum())

    assert kept(0.02) == pytest.approx(1.0, abs=0.05)
    assert 0.95 > kept(0.9) > kept(0.995) > 0.3
    assert kept(1.0) == pytest.approx(0.0, abs=0.01)


def test_alike_latents_need_no_noise_and_smooth_ones_enough_to_hide_what_they_lack():
    target = white(64, 4, 16, 16, seed=1)
    alike = compared_scales(white(64, 4, 16, 16, seed=2), target, states=64)
    assert all(scale.noise == 0 for scale in alike)
    assert least_noise(alike) == 0.05  # a chain needs some
    smooth = target.clone()
    smooth[:, 2:] = 0.5 * target[:, 2:]  # a quarter of the power in the second half
    scales = compared_scales(smooth, target, states=64)
    noise = least_noise(scales)
    assert {scale.channels for scale in scales if scale.noise > 0} == {(2, 4)}
    worst = next(scale for scale in scales if scale.noise == noise)
    assert abs(worst.ratio(noise) - 1) == pytest.approx(worst.tolerance)
    assert 0.1 <= worst.tolerance < 0.2
    assert abs(worst.ratio(0.9 * noise) - 1) > worst.tolerance


def test_copies_of_a_state_tell_no_more_than_the_state():
    target, one = white(64, 4, 16, 16, seed=1), 0.5 * white(1, 4, 16, 16, seed=2)
    few = compared_scales(one, target, states=1)
    many = compared_scales(one.expand(16, -1, -1, -1), target, states=1)
    assert least_noise(many) == pytest.approx(least_noise(few))


def test_scales_have_the_power_of_their_waves():
    """Stripes of two cells are detail of the scale of two."""
    stripes = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(4).expand(1, 1, 16, 16)
    powers = {scale.cells: scale.source for scale in compared_scales(stripes, stripes, states=1)}
    assert powers[2] == pytest.approx(1.0)
    assert powers[1] == powers[4] == powers[8] == pytest.approx(0.0)
