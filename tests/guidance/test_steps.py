"""Schedules of the published methods, for chains of any length."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
)

from guidance.steps import Constant, DualAscent, Rising, Step
from latent_diffusion.denoiser import noise_level

ENERGY = torch.tensor([0.5, 1.5])


PUBLISHED = [0.001 * (1 + 40 * math.exp(-20 * t / 1000)) for t in range(1000)]


def chain(scheduler: SchedulerMixin, steps: int) -> list[Step]:
    """The steps of a chain of that scheduler."""
    scheduler.set_timesteps(steps)
    noise = [noise_level(scheduler, index).noise for index in range(steps)] + [0.0]
    return [Step(index, steps, *noise[index : index + 2]) for index in range(steps)]


def test_the_rising_schedule_is_the_published_one() -> None:
    """kappa = 0.001 for most of the chain, 0.041 at its end (Meunier et al. 2025)."""
    rising = Rising()
    assert rising(ENERGY, Step.even(499, 1000)) == pytest.approx(0.001, rel=1e-2)
    assert rising(ENERGY, Step.even(999, 1000)) == pytest.approx(0.041, rel=0.03)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DDIMScheduler, {}),
        (DPMSolverMultistepScheduler, {"use_karras_sigmas": True, "lambda_min_clipped": -5.1}),
        (DPMSolverMultistepScheduler, {"lambda_min_clipped": -5.1}),
    ],
)
@pytest.mark.parametrize("steps", [20, 30])
def test_any_chain_is_pulled_as_far_as_the_published_one(kind, options, steps) -> None:
    """Also with the noise levels of Karras et al., where most steps are nearly pure noise."""
    schedule = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )
    places = chain(kind.from_config(schedule.config, **options), steps)
    left = math.prod(1 - Rising()(ENERGY, at) for at in places)
    assert left == pytest.approx(math.prod(1 - kappa for kappa in PUBLISHED), rel=0.1)
    # None is left for the very end, when the network can no longer respond.
    late = next(at for at in places if at.time_before < 0.2)
    assert math.prod(1 - Rising()(ENERGY, at) for at in places[late.number :]) < 0.5


def test_the_multiplier_grows_by_the_batch_s_energy() -> None:
    ascent = DualAscent(rate=2.0)
    shares = [ascent(ENERGY, Step.even(number, 10)) for number in range(3)]
    assert shares == pytest.approx([0.2, 0.4, 0.6])
    assert DualAscent(rate=1e9)(ENERGY, Step.even(0, 10)) == 1.0


def test_a_constant_stays() -> None:
    assert Constant(0.3)(ENERGY, Step.even(0, 10)) == 0.3
