"""Residuals about the members' own means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.batches import Samples
from latent_diffusion.residuals import (
    Residuals,
    deviation,
    fitted_coefficients,
    member_courses,
)

SHAPE = (2, 3, 4)


class Latents(Samples):
    """Latents `n c h w` with a posterior of standard deviation 0.1."""

    def __init__(self, means: torch.Tensor) -> None:
        self.moments = torch.stack([means, torch.full_like(means, 0.1)], dim=1)

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self.moments[item], item


def seasons(phases: list[float], repeats: int) -> np.ndarray:
    """A course of 1 and two harmonics."""
    season = np.tile(phases, repeats)
    waves = [f(2 * np.pi * k * season) for k in (1, 2) for f in (np.cos, np.sin)]
    return np.stack([np.ones_like(season), *waves], axis=1)


def latents(course: np.ndarray, coefficients: torch.Tensor, group: np.ndarray) -> torch.Tensor:
    return torch.einsum("nt,ntchw->nchw", torch.from_numpy(course).float(), coefficients[group])


def test_courses_are_found_and_residuals_are_what_is_left():
    course, group = seasons([0.0, 0.2, 0.4, 0.6, 0.8], 4), np.repeat([0, 1], 10)
    truth = torch.randn(2, 5, *SHAPE, generator=torch.Generator().manual_seed(0))
    noise = 0.1 * torch.randn(20, *SHAPE, generator=torch.Generator().manual_seed(1))
    samples = Latents(latents(course, truth, group) + noise)
    courses = member_courses(samples, course, group)
    torch.testing.assert_close(courses, truth, atol=0.3, rtol=0)
    scale = torch.tensor([2.0, 4.0])[:, None, None]
    residuals = Residuals(samples, courses, group=group, course=course, scale=scale)
    means = torch.stack([residuals[item][0][0] for item in range(20)])
    for one in (0, 1):
        torch.testing.assert_close(
            means[group == one].mean(dim=0), torch.zeros(SHAPE), atol=1e-5, rtol=0
        )
    back = scale * means + latents(course, courses, group)
    torch.testing.assert_close(back, samples.moments[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(residuals[0][0][1], (0.1 / scale).expand(SHAPE))


def test_a_harmonic_that_the_states_do_not_resolve_is_zero():
    """Four phases a year: sin(4 pi t) is 0 at all of them, whatever its coefficient."""
    course, group = seasons([0.0, 0.25, 0.5, 0.75], 5), np.zeros(20, int)
    samples = Latents(torch.randn(20, *SHAPE, generator=torch.Generator().manual_seed(0)))
    courses = member_courses(samples, course, group)
    assert courses[0, 4].abs().max() < 1e-6
    assert courses[0, :4].abs().min(dim=0).values.max() > 0.01


def test_a_member_of_few_states_has_its_mean_alone():
    course, group = seasons([0.0, 0.2, 0.4, 0.6, 0.8], 1), np.zeros(5, int)
    samples = Latents(torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0)))
    courses = member_courses(samples, course, group)
    torch.testing.assert_close(courses[0, 0], samples.moments[:, 0].mean(dim=0))
    assert (courses[0, 1:] == 0).all()


@pytest.mark.parametrize("phases", [[0.25], [0.0, 0.5]])
def test_what_does_not_vary_among_the_states_takes_nothing_of_their_mean(phases):
    """A member whose states are all of one season, or of two."""
    course, group = seasons(phases, 20 // len(phases)), np.zeros(20, int)
    samples = Latents(torch.full((20, *SHAPE), 10.0))
    courses = member_courses(samples, course, group)
    torch.testing.assert_close(courses[0, 0], torch.full(SHAPE, 10.0))
    assert courses[0, 1:].abs().max() < 1e-4


def test_coefficients_are_counted():
    course = np.concatenate([seasons([0.0, 0.25, 0.5, 0.75], 5), seasons([0.25], 5)])
    group = np.repeat([0, 1], [20, 5])
    assert fitted_coefficients(course, group) == 4 + 1  # sin(4 pi t) is not resolved; few states


def test_a_level_without_ocean_is_left_as_it_is():
    means = torch.randn(50, *SHAPE, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(SHAPE)
    weight[1] = 0
    wet, dry = deviation(Latents(means), weight).flatten()
    assert wet == pytest.approx((means[:, 0].square().mean() + 0.1**2).sqrt())
    assert dry == 1
