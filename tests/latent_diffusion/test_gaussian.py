"""The Gaussian part of the denoiser, against closed forms and samples."""

from __future__ import annotations

import pytest
import torch

from data.batches import Samples
from latent_diffusion.gaussian import LatentGaussian, principal_components

SHAPE = (2, 3, 4)
AMPLITUDES = {"signal": 0.6, "noise": 0.8}


class Latents(Samples):
    """Latents `n c h w` of which the encoder is certain up to `std`."""

    def __init__(self, means: torch.Tensor, std: float = 0.0) -> None:
        self.moments = torch.stack([means, torch.full_like(means, std)], dim=1)

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self.moments[item], item


def latents(count: int, *, seed: int = 0) -> torch.Tensor:
    """Latents with a mean, a strong basin-wide pattern and weak noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.3 * torch.randn(count, *SHAPE, generator=generator)
    return 1.0 + noise + 2.0 * torch.randn(count, 1, 1, 1, generator=generator)


def covariance(gaussian: LatentGaussian) -> torch.Tensor:
    patterns = gaussian.patterns.flatten(1)
    along = patterns.T * (gaussian.variances - gaussian.remainder) @ patterns
    return along + gaussian.remainder * torch.eye(patterns.shape[1])


def test_it_is_the_ideal_denoiser_of_normal_latents():
    """E[v | x] by the formula of conditional means (e.g. Bishop 2006, equation 2.81)."""
    gaussian = LatentGaussian.of(Latents(latents(8)), patterns=8)
    scaled = torch.randn(3, *SHAPE)
    signal, noise = AMPLITUDES.values()
    total = signal**2 * covariance(gaussian) + noise**2 * torch.eye(gaussian.mean.numel())
    anomaly = scaled.flatten(1) - signal * gaussian.mean.flatten()
    gain = torch.linalg.solve(total, covariance(gaussian)).T * signal
    clean = gaussian.mean.flatten() + anomaly @ gain.T
    v = (signal * scaled.flatten(1) - clean) / noise
    ours = gaussian.velocity(scaled, **AMPLITUDES)
    torch.testing.assert_close(ours.flatten(1), v, atol=1e-4, rtol=1e-4)


def test_amplitudes_can_differ_between_samples():
    gaussian = LatentGaussian.of(Latents(latents(8)), patterns=8)
    scaled, signal = torch.randn(2, *SHAPE), torch.tensor([0.1, 0.99])
    noise = (1 - signal**2).sqrt()
    both = gaussian.velocity(scaled, signal=signal[:, None, None, None], noise=noise)
    for i in range(2):
        one = gaussian.velocity(scaled[i : i + 1], signal=float(signal[i]), noise=float(noise[i]))
        torch.testing.assert_close(both[i : i + 1], one)


def test_with_all_patterns_its_covariance_is_that_of_the_latents():
    means = latents(8)
    gaussian = LatentGaussian.of(Latents(means, std=0.5), patterns=100)
    assert len(gaussian.variances) == 7  # the mean takes one direction of eight
    expected = torch.cov(means.flatten(1).T) + 0.25 * torch.eye(means[0].numel())
    torch.testing.assert_close(covariance(gaussian), expected, atol=1e-5, rtol=1e-4)


def test_what_the_patterns_leave_out_is_spread_over_the_other_directions():
    means = latents(200)
    gaussian = LatentGaussian.of(Latents(means), patterns=1)
    total = torch.cov(means.flatten(1).T).trace()
    assert float(covariance(gaussian).trace()) == pytest.approx(float(total), rel=1e-4)
    assert float(gaussian.remainder) == pytest.approx(0.09, rel=0.1)


def test_without_patterns_it_says_nothing():
    gaussian = LatentGaussian.of(Latents(latents(8)), patterns=0)
    assert (gaussian.velocity(torch.randn(2, *SHAPE), **AMPLITUDES) == 0).all()


def test_principal_components_are_those_of_a_singular_value_decomposition():
    anomalies = torch.randn(6, 20, dtype=torch.float64)
    anomalies -= anomalies.mean(dim=0)
    components, variances = principal_components(anomalies, most=3)
    _, values, vectors = torch.linalg.svd(anomalies, full_matrices=False)
    torch.testing.assert_close(variances, values[:3] ** 2 / 5)
    torch.testing.assert_close((components @ vectors[:3].T).abs(), torch.eye(3).double())


def test_it_survives_a_round_trip_through_a_folder(tmp_path):
    gaussian = LatentGaussian.of(Latents(latents(8)), patterns=3)
    gaussian.save_pretrained(tmp_path)
    loaded = LatentGaussian.from_pretrained(tmp_path)
    scaled = torch.randn(2, *SHAPE)
    ours, theirs = (each.velocity(scaled, **AMPLITUDES) for each in (gaussian, loaded))
    assert torch.equal(ours, theirs)
