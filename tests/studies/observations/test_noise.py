"""Chains as functions of the random numbers that they draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.errors import UserError
from latent_diffusion.noise import member_generator
from latent_diffusion.schedulers import build_schedule, build_scheduler
from studies.observations.noise import ChainInputs


@pytest.fixture
def inputs(conditional):
    return ChainInputs(conditional.pipeline(), 4)


def test_a_vector_holds_noise_conditions_and_amplitudes_of_the_mean(inputs):
    expectation = inputs.pipeline.expectation
    latents = int(np.prod(inputs.pipeline.codec.latent_shape))
    # gm and the season; the age is that of an equilibrium.
    assert inputs.size == latents + 2 + expectation.scales.numel()
    prior = inputs.prior(500, seed=0)
    assert prior.shape == (500, inputs.size)
    assert abs(prior.mean()) < 0.02 and prior.std() == pytest.approx(1, abs=0.02)


def test_states_follow_from_the_vector_alone(inputs):
    vectors = inputs.prior(3, seed=0)
    together = inputs.states(vectors)
    alone = inputs.states(vectors[1:2])
    torch.testing.assert_close(together.temperature[1:2], alone.temperature, atol=1e-4, rtol=0)
    assert not torch.allclose(together.temperature[0], together.temperature[1])


def test_the_same_noise_makes_the_state_that_the_pipeline_draws(trained):
    pipeline = trained.pipeline()
    inputs = ChainInputs(pipeline, 4)
    assert inputs.size == int(np.prod(pipeline.codec.latent_shape))
    noise = pipeline.initial_noise([member_generator(0, 0)])
    drawn = pipeline.draw(generators=[member_generator(0, 0)], steps=4)
    state = inputs.states(noise.flatten(1).double().numpy())
    torch.testing.assert_close(state.temperature, drawn.state.temperature, atol=1e-4, rtol=0)


def test_conditions_stay_in_the_range_of_the_training_members(inputs):
    vectors = np.zeros((2, inputs.size))
    latents = int(np.prod(inputs.pipeline.codec.latent_shape))
    vectors[:, latents] = (-9.0, 9.0)
    frame = inputs._frame(vectors[:, latents : latents + 2], vectors[:, latents + 2 :])
    assert frame.conditions.values["gm"] == pytest.approx([500, 1000])
    assert frame.conditions.values["season"] == pytest.approx([0.5, 0.5])


def test_a_scheduler_that_draws_noise_is_refused(trained):
    pipeline = trained.pipeline()
    schedule = build_schedule(len(pipeline.scheduler.config.trained_betas or range(1000)))
    pipeline.scheduler = build_scheduler("DDPMScheduler", {}, schedule=schedule)
    inputs = ChainInputs(pipeline, 4)
    with pytest.raises(UserError, match="DDPMScheduler draws noise in its steps"):
        inputs.states(inputs.prior(1, seed=0))
