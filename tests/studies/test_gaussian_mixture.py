"""The guide on a mixture of Gaussians: what it does to mean and spread, against what it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from halocline import main
from latent_diffusion.denoiser import NoiseLevel
from studies.gaussian_mixture import (
    MEAN_AND_DIFFERENCE,
    MIXTURE,
    TARGET,
    Experiment,
    Moments,
    mean_guide,
    sample,
)

COUNT = 2000


@pytest.fixture(scope="module")
def unguided() -> Tensor:
    return sample(MIXTURE, count=COUNT)


def assert_moments(points: Tensor, expected: Moments) -> None:
    """Equal within four standard errors, and 1.5 % for the 250 steps (more steps: less)."""
    pairs = points.double() @ MEAN_AND_DIFFERENCE.T
    found = Moments.of(points)
    apart = pairs - pairs.mean(0)
    products = apart[:, :, None] * apart[:, None, :]
    scale = expected.covariance.diagonal().sqrt()
    errors = (
        (found.mean - expected.mean, pairs.std(0), 0.015 * scale),
        (
            found.covariance - expected.covariance,
            products.std(0),
            0.03 * scale.outer(scale),
        ),
    )
    for error, deviation, steps in errors:
        assert (error.abs() <= 4 * deviation / len(points) ** 0.5 + steps + 1e-6).all(), error


def test_the_denoiser_is_the_posterior_mean() -> None:
    # Tweedie: E[z | x] = (x + noise^2 grad log p(x)) / signal
    random = torch.Generator().manual_seed(0)
    points = torch.randn(50, 2, generator=random, dtype=torch.float64).requires_grad_()
    for signal in (0.1, 0.7, 0.99):
        level = NoiseLevel(signal, (1 - signal**2) ** 0.5)
        density = MIXTURE.noisy(level).log_density(points).sum()
        (score,) = torch.autograd.grad(density, points)
        expected = (points + level.noise**2 * score) / level.signal
        torch.testing.assert_close(MIXTURE.clean_estimate(points, level), expected)


def test_conditioned_times_marginal_is_joint() -> None:
    pairs = torch.tensor([[0.23, -1.0], [0.23, 2.0]], dtype=torch.float64)
    joint = MIXTURE.mapped(MEAN_AND_DIFFERENCE)
    marginal = MIXTURE.mapped(MEAN_AND_DIFFERENCE[:1]).log_density(pairs[:, :1])
    conditioned = joint.given_first(0.23).log_density(pairs[:, 1:])
    torch.testing.assert_close(marginal + conditioned, joint.log_density(pairs))


def test_unguided_samples_have_the_moments_of_the_mixture(unguided: Tensor) -> None:
    assert_moments(unguided, Experiment("", None).expected(COUNT))


@pytest.mark.slow
@pytest.mark.parametrize(
    "experiment",
    [
        Experiment("per sample", "sample"),
        Experiment("per ensemble", "ensemble"),
        Experiment("per ensemble of 4", "ensemble", start=0.98, batch=4),
    ],
    ids=lambda experiment: experiment.title,
)
def test_guided_samples_have_the_moments_of_the_moved_mixture(experiment: Experiment) -> None:
    points = experiment.run(COUNT)
    assert_moments(points, experiment.expected(COUNT))
    assert Moments.of(points).mean[0].item() == pytest.approx(TARGET, abs=1e-5)


@pytest.mark.parametrize("per", ["sample", "ensemble"])
def test_guidance_moves_samples_along_the_mean_alone(per: str, unguided: Tensor) -> None:
    """Each to the target, or all alike: the same noise, point by point."""
    guided = sample(MIXTURE, count=COUNT, guide=mean_guide(TARGET, per=per))
    means = unguided.mean(1, keepdim=True)
    moved = unguided + TARGET - (means if per == "sample" else means.mean())
    # a few points between two components choose the other one
    assert torch.quantile((guided - moved).abs(), 0.95) < 0.02


def test_guidance_per_sample_projects_and_does_not_condition() -> None:
    """The components keep their weights; given the mean, one of them would be all but certain."""
    points = sample(MIXTURE, count=COUNT, guide=mean_guide(TARGET, per="sample"))
    share = (points[:, 0] - points[:, 1] > 0.7).double().mean()
    assert share.item() == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / COUNT) ** 0.5)
    assert MIXTURE.mapped(MEAN_AND_DIFFERENCE).given_first(TARGET).weights[2] > 0.9


@pytest.mark.slow
def test_the_command_draws_and_prints(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--output", str(tmp_path / "mixture.png"), "--points", "16"]
    main(["study", "gaussian_mixture", *words])
    assert (tmp_path / "mixture.png").stat().st_size > 10_000
    assert "| per ensemble of 4 | 0.230 (0.230)" in capsys.readouterr().out
