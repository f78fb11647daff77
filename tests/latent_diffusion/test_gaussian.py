"""The Gaussian part of the denoiser, against closed forms and samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.batches import Samples
from latent_diffusion.gaussian import Anomalies, MemberGaussians, principal_components

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


def fitted(means: torch.Tensor, *, patterns: int = 100, std: float = 0.0) -> MemberGaussians:
    """The distribution of latents of a single member."""
    return MemberGaussians.of(Latents(means, std), np.zeros(len(means), int), patterns=patterns)


def covariance(gaussian: MemberGaussians) -> torch.Tensor:
    patterns = gaussian.patterns.flatten(1)
    along = patterns.T * (gaussian.variances - gaussian.remainder) @ patterns
    return along + gaussian.remainder * torch.eye(patterns.shape[1])


def test_it_is_the_ideal_denoiser_of_normal_latents():
    """E[v | x] by the formula of conditional means (e.g. Bishop 2006, equation 2.81)."""
    gaussian = fitted(latents(8))
    scaled = torch.randn(3, *SHAPE)
    signal, noise = AMPLITUDES.values()
    total = signal**2 * covariance(gaussian) + noise**2 * torch.eye(gaussian.means.numel())
    anomaly = scaled.flatten(1) - signal * gaussian.means.flatten()
    gain = torch.linalg.solve(total, covariance(gaussian)).T * signal
    clean = gaussian.means.flatten() + anomaly @ gain.T
    v = (signal * scaled.flatten(1) - clean) / noise
    ours = gaussian.velocity(scaled, **AMPLITUDES)
    torch.testing.assert_close(ours.flatten(1), v, atol=1e-4, rtol=1e-4)


def test_members_are_mixed_by_their_probability():
    """Of the noisy latent under each member (Bayes), against the densities themselves."""
    means = latents(48) + 3.0 * torch.arange(3.0).repeat_interleave(16)[:, None, None, None]
    member = np.repeat([7, 2, 5], 16)
    mixture = MemberGaussians.of(Latents(means, std=0.3), member, patterns=100)
    assert len(mixture.means) == 3
    signal, noise = AMPLITUDES.values()
    scaled = signal * means[[0, 20, 47]] + noise * torch.randn(3, *SHAPE)
    total = signal**2 * covariance(mixture) + noise**2 * torch.eye(scaled[0].numel())
    flat = scaled.flatten(1)
    density = torch.stack(
        [
            torch.distributions.MultivariateNormal(signal * mean.flatten(), total).log_prob(flat)
            for mean in mixture.means
        ],
        dim=1,
    )
    each = [_alone(mixture, mean).velocity(scaled, **AMPLITUDES) for mean in mixture.means]
    expected = torch.einsum("bm,mbchw->bchw", density.softmax(dim=1), torch.stack(each))
    ours = mixture.velocity(scaled, **AMPLITUDES)
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)


def _alone(mixture: MemberGaussians, mean: torch.Tensor) -> MemberGaussians:
    """The distribution of one member of a mixture."""
    one = MemberGaussians(SHAPE, 1, len(mixture.variances))
    one.load_state_dict(mixture.state_dict() | {"means": mean[None], "weights": torch.ones(1)})
    return one


def test_the_covariance_is_that_about_the_members_means():
    means = latents(40) + 50.0 * torch.arange(2.0).repeat_interleave(20)[:, None, None, None]
    mixture = MemberGaussians.of(Latents(means), np.repeat([0, 1], 20), patterns=100)
    assert len(mixture.means) == 2
    assert float(mixture.variances.sum()) < 1000  # not that of the 50 between them


def test_members_of_few_states_share_one_mean():
    """Otherwise their means would be the training states, and samples copies of them."""
    means = latents(8)
    mixture = MemberGaussians.of(Latents(means), np.arange(8), patterns=100)
    assert len(mixture.means) == 1
    assert len(mixture.variances) == 7


def test_it_can_be_counted_without_running():
    """As in studies of cost, on the meta device."""
    mixture = fitted(latents(8)).to("meta")
    v = mixture.velocity(torch.empty(2, *SHAPE, device="meta"), **AMPLITUDES)
    assert v.shape == (2, *SHAPE)


def test_amplitudes_can_differ_between_samples():
    gaussian = fitted(latents(8))
    scaled, signal = torch.randn(2, *SHAPE), torch.tensor([0.1, 0.99])
    noise = (1 - signal**2).sqrt()
    both = gaussian.velocity(scaled, signal=signal[:, None, None, None], noise=noise)
    for i in range(2):
        one = gaussian.velocity(scaled[i : i + 1], signal=float(signal[i]), noise=float(noise[i]))
        torch.testing.assert_close(both[i : i + 1], one)


def test_with_all_patterns_its_covariance_is_that_of_the_latents():
    means = latents(8)
    gaussian = fitted(means, std=0.5)
    assert len(gaussian.variances) == 7  # the mean takes one direction of eight
    expected = torch.cov(means.flatten(1).T) + 0.25 * torch.eye(means[0].numel())
    torch.testing.assert_close(covariance(gaussian), expected, atol=1e-5, rtol=1e-4)


def test_what_the_patterns_leave_out_is_spread_over_the_other_directions():
    means = latents(200)
    gaussian = fitted(means, patterns=1)
    total = torch.cov(means.flatten(1).T).trace()
    assert float(covariance(gaussian).trace()) == pytest.approx(float(total), rel=1e-4)
    assert float(gaussian.remainder) == pytest.approx(0.09, rel=0.1)


@pytest.mark.parametrize("values", [1, 5, 23])
def test_latents_larger_than_a_block_give_the_same(monkeypatch, values):
    """Two members of 20 states, of which `values` of 24 numbers are in memory together."""
    means = latents(40) + 3.0 * torch.arange(2.0).repeat_interleave(20)[:, None, None, None]
    samples, member = Latents(means, 0.5), np.repeat([0, 1], 20)
    whole = MemberGaussians.of(samples, member, patterns=10)
    found = []
    for size in (values, 12):
        monkeypatch.setattr("latent_diffusion.gaussian.BLOCK_BYTES", 4 * 40 * size)
        found.append(MemberGaussians.of(samples, member, patterns=10))
    in_blocks, halves = found
    torch.testing.assert_close(in_blocks.means, whole.means, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(covariance(in_blocks), covariance(whole), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(in_blocks.variances, halves.variances, rtol=1e-6, atol=0)


def test_sums_over_blocks_are_those_of_double_precision(monkeypatch):
    samples, group = Latents(latents(40), 0.5), torch.arange(40) % 2
    monkeypatch.setattr("latent_diffusion.gaussian.BLOCK_BYTES", 4 * 40 * 7)
    moments = Anomalies(samples, np.arange(40), group).moments()
    values = samples.moments[:, 0].flatten(1)
    anomalies = (values - moments.means[group]).double()
    torch.testing.assert_close(moments.products, anomalies @ anomalies.T, rtol=1e-12, atol=1e-12)
    assert moments.total == pytest.approx(float(anomalies.square().sum()), rel=1e-12)
    assert moments.posterior == pytest.approx(0.25, rel=1e-12)


def test_without_patterns_it_says_nothing():
    gaussian = fitted(latents(8), patterns=0)
    assert (gaussian.velocity(torch.randn(2, *SHAPE), **AMPLITUDES) == 0).all()


def test_principal_components_are_those_of_a_singular_value_decomposition():
    anomalies = torch.randn(6, 20, dtype=torch.float64)
    anomalies -= anomalies.mean(dim=0)
    components, variances = principal_components(anomalies, most=3, freedom=5)
    _, values, vectors = torch.linalg.svd(anomalies, full_matrices=False)
    torch.testing.assert_close(variances, values[:3] ** 2 / 5)
    torch.testing.assert_close((components @ vectors[:3].T).abs(), torch.eye(3).double())


def test_it_survives_a_round_trip_through_a_folder(tmp_path):
    gaussian = fitted(latents(8), patterns=3)
    gaussian.save_pretrained(tmp_path)
    loaded = MemberGaussians.from_pretrained(tmp_path)
    scaled = torch.randn(2, *SHAPE)
    ours, theirs = (each.velocity(scaled, **AMPLITUDES) for each in (gaussian, loaded))
    assert torch.equal(ours, theirs)
