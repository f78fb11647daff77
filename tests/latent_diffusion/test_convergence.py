"""Chains that inflate the spread of their samples are refused, whichever scheduler makes them."""

from __future__ import annotations

import pytest

from data.errors import UserError
from latent_diffusion.convergence import check_chain, growth
from latent_diffusion.noise import member_generator
from latent_diffusion.schedulers import build_schedule, build_scheduler, usable_schedulers

SPECTRUM = (0.1, 1.0, 150.0)  # the leading pattern of the basin's latents has a variance of 150


def scheduler(name: str, **options):
    return build_scheduler(name, options, schedule=build_schedule(1000))


@pytest.mark.parametrize("name", sorted(usable_schedulers()))
def test_every_scheduler_converges_to_a_normal_distribution(name):
    few, many = (growth(scheduler(name), steps=n, variances=(0.1, 1.0)) for n in (50, 400))
    assert abs(many - 1) < 0.1
    assert few < 2


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("HeunDiscreteScheduler", 15),
        ("HeunDiscreteScheduler", 50),
        ("KDPM2AncestralDiscreteScheduler", 25),
    ],
)
def test_a_chain_that_leaves_the_data_is_refused_with_what_to_do(name, steps):
    with pytest.raises(UserError, match=f"{name} does not converge in {steps} steps") as error:
        check_chain(scheduler(name), steps=steps, largest_variance=SPECTRUM[-1])
    assert "use_karras_sigmas" in str(error.value)
    assert growth(scheduler(name), steps=steps, variances=SPECTRUM) > 10


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, 15),
        ("DPMSolverMultistepScheduler", {}, 1),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, 30),
        ("DDIMScheduler", {}, 4),
    ],
)
def test_sound_chains_are_accepted_also_in_very_few_steps(name, options, steps):
    check_chain(scheduler(name, **options), steps=steps, largest_variance=SPECTRUM[-1])


@pytest.mark.parametrize("options", [{"variance_type": "learned"}, {"steps_offset": 5000}])
def test_options_that_the_network_does_not_fit_are_refused_in_one_sentence(options):
    name = "DDPMScheduler" if "variance_type" in options else "DDIMScheduler"
    with pytest.raises(UserError, match=f"{name} cannot sample this model"):
        check_chain(scheduler(name, **options), steps=4, largest_variance=1.0)


def test_the_test_leaves_the_scheduler_as_it_was():
    tested, untouched = (
        scheduler("DPMSolverMultistepScheduler"),
        scheduler("DPMSolverMultistepScheduler"),
    )
    tested.set_timesteps(4)
    untouched.set_timesteps(4)
    growth(tested, steps=9, variances=(1.0,))
    assert tested.timesteps.tolist() == untouched.timesteps.tolist()
    assert tested.step_index == untouched.step_index


def test_the_pipeline_tests_its_own_chain(trained):
    pipeline = trained.pipeline()
    pipeline.scheduler = scheduler("HeunDiscreteScheduler")
    with pytest.raises(UserError, match="does not converge in 6 steps"):
        pipeline.draw(generators=[member_generator(0, 0)], steps=6)


def test_more_steps_than_noise_levels_are_refused_with_the_most_that_are_possible(trained):
    with pytest.raises(UserError, match="use at most 1000 steps"):
        trained.pipeline().set_steps(2000)
