"""Sampling given observations, against the exact posterior of a normal prior."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from data.errors import UserError
from data.state import State
from latent_diffusion.denoiser import NoiseLevel
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.kalman import Jacobian, SeenPrior, Spectral, Spread
from latent_diffusion.moment_matching import DenoiserCovariance, through_denoiser
from latent_diffusion.posterior import (
    COPIES,
    LatentPosterior,
    _by_columns,
    _by_rows,
    condensed,
    jacobian,
)
from studies.gaussian_posterior import CASES, GaussianOcean, compare


@pytest.fixture(scope="module")
def ocean() -> GaussianOcean:
    return GaussianOcean.build((8, 8), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "case"), [*zip((1, 2, 192, 2000), CASES, strict=True)])
def test_chains_sample_the_exact_posterior(ocean, count, case):
    evidence = ocean.observe(ocean.truth(seed=0), **case._asdict(), seed=5)
    assert len(evidence.value) == count
    drawn = ocean.draw(evidence, members=96, steps=60)
    found = compare(drawn, ocean.posterior(evidence), prior=ocean.prior)
    assert found.offset < 0.02
    assert 0.97 < found.spread < 1.03


def test_a_step_is_the_textbook_s():
    """C H' (H C H' + R)^-1 d with dense matrices, also for covariances that differ by sample."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n, d, k, members = 5, 12, 3, 4
    patterns = torch.linalg.qr(normal(d, k))[0].T
    rows, innovation, errors = normal(n, d), normal(2, n), torch.eye(n).double() * 0.1
    covariance = Spectral(torch.tensor([3.0, 2.0, 1.0]).double(), torch.tensor(0.2).double())
    spread = Spread(normal(2, members, members), normal(members, d))
    prior = SeenPrior(Jacobian.of(rows, patterns), covariance, errors, spread)
    step = prior.step(innovation)
    for sample in range(2):
        dense = patterns.T * (covariance.along - 0.2) @ patterns + 0.2 * torch.eye(d)
        extra = spread.weights[sample].T @ spread.directions
        dense = dense + extra.T @ extra
        gain = dense @ rows.T @ torch.linalg.inv(rows @ dense @ rows.T + errors)
        torch.testing.assert_close(step[sample], gain @ innovation[sample])
        total = rows @ dense @ rows.T + errors
        torch.testing.assert_close(
            total @ prior.weights(innovation)[sample], innovation[sample], atol=1e-9, rtol=1e-9
        )


@pytest.mark.parametrize("most", [1000, 40])
def test_many_values_say_the_same_in_few_numbers(ocean, most):
    """All combinations give the values' own update, the leading ones nearly."""
    codec, gaussian = ocean.pipeline.codec, ocean.pipeline.gaussian
    evidence = ocean.observe(ocean.truth(seed=0), profiles=12, levels=8, seed=5)
    error = evidence.covariance.diagonal().sqrt()
    few = condensed(
        evidence.operator, evidence.value, error, codec=codec, gaussian=gaussian, most=most
    )
    assert len(few.covariance) <= most < len(evidence.value) or most == 1000
    scaled = torch.randn(2, *codec.latent_shape, generator=torch.Generator().manual_seed(1))
    level = NoiseLevel(0.6, 0.8)
    v = gaussian.velocity(scaled, signal=level.signal, noise=level.noise)
    found, expected = (
        LatentPosterior(codec, gaussian, one).velocity(v, scaled, level=level)
        for one in (few, evidence)
    )
    change = (expected - v).square().mean().sqrt()
    assert change > 0.01
    assert (found - expected).square().mean().sqrt() < (2e-3 if most == 1000 else 0.1) * change


def test_many_values_tell_members_apart(ocean):
    """What the means of members differ by is seen, also where their own states hardly vary."""
    codec = ocean.pipeline.codec
    shape = codec.latent_shape
    mixture = MemberGaussians(shape, members=2)
    mixture.remainder.fill_(1e-4)
    mixture.means[0], mixture.means[1] = 1.0, -1.0
    evidence = ocean.observe(ocean.truth(seed=0), profiles=12, levels=8, seed=5)
    error = evidence.covariance.diagonal().sqrt()
    few = condensed(
        evidence.operator, evidence.value, error, codec=codec, gaussian=mixture, most=1000
    )
    scaled, level = torch.zeros(1, *shape), NoiseLevel(0.6, 0.8)
    v = mixture.velocity(scaled, signal=level.signal, noise=level.noise)
    found, expected = (
        LatentPosterior(codec, mixture, one).velocity(v, scaled, level=level) - v
        for one in (few, evidence)
    )
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=0.05 * float(expected.abs().max()), rtol=0)


def test_many_values_have_the_derivative_of_few(ocean):
    """By decoded units, where there are more values than latents, as by gradients."""
    evidence = ocean.observe(ocean.truth(seed=0), profiles=12, levels=8, seed=5)
    codec = ocean.pipeline.codec
    torch.testing.assert_close(
        _by_columns(evidence.operator, codec),
        _by_rows(evidence.operator, codec).double(),
        atol=1e-4,
        rtol=1e-4,
    )


def test_a_derivative_that_is_too_large_is_refused(ocean, monkeypatch):
    """Of a thousand values at 1/12 degree, before it is made; and one byte beyond the limit."""
    codec = SimpleNamespace(latent_shape=(32, 765, 1081))
    message = (
        "1000 values and 26462880 latents need 591 GiB of memory, more than the 16 that are "
        "allowed: give fewer observations, such as means over layers or boxes"
    )
    with pytest.raises(UserError, match=f"^{message}$"):
        jacobian(SimpleNamespace(count=1000), codec)
    codec = ocean.pipeline.codec
    evidence = ocean.observe(ocean.truth(seed=0), profiles=2, levels=3, seed=5)
    need = 12 * math.prod(codec.latent_shape) * 8 * COPIES
    monkeypatch.setattr("latent_diffusion.posterior.MOST_BYTES", need)
    assert evidence.jacobian(codec).shape == (12, math.prod(codec.latent_shape))
    monkeypatch.setattr("latent_diffusion.posterior.MOST_BYTES", need - 1)
    with pytest.raises(UserError, match="give fewer observations"):
        evidence.jacobian(codec)


def test_a_source_with_too_many_means_is_refused(ocean, monkeypatch):
    evidence = ocean.observe(ocean.truth(seed=0), profiles=2, levels=3, seed=5)
    codec, gaussian = ocean.pipeline.codec, ocean.pipeline.gaussian
    monkeypatch.setattr("latent_diffusion.posterior.MOST_BYTES", 1)
    error = evidence.covariance.diagonal().sqrt()
    with pytest.raises(UserError, match="give a coarser source"):
        condensed(evidence.operator, evidence.value, error, codec=codec, gaussian=gaussian)


@pytest.mark.parametrize("derivative", [_by_rows, _by_columns])
def test_large_states_are_differentiated_one_by_one(ocean, monkeypatch, derivative):
    evidence = ocean.observe(ocean.truth(seed=0), profiles=2, levels=3, seed=5)
    codec = ocean.pipeline.codec
    expected, sizes, decode = derivative(evidence.operator, codec), [], codec.decode_linearly

    def note(latents: torch.Tensor) -> State:
        sizes.append(len(latents))
        return decode(latents)

    monkeypatch.setattr(codec, "decode_linearly", note)
    derivative(evidence.operator, codec)
    assert max(sizes) > 1
    sizes.clear()
    monkeypatch.setattr("data.batches.MOST_BYTES", 1)
    torch.testing.assert_close(derivative(evidence.operator, codec), expected)
    assert set(sizes) == {1}


def test_members_differ_as_their_estimates_given_noise(ocean):
    """The covariance of a mixture is that within members plus that of their expected latents."""
    shape = ocean.pipeline.codec.latent_shape
    mixture = MemberGaussians(shape, members=3)
    mixture.remainder.fill_(0.5)
    mixture.means.copy_(0.1 * torch.randn(3, *shape, generator=torch.Generator().manual_seed(2)))
    scaled = 0.3 * mixture.means[:1]
    level = NoiseLevel(0.6, 0.8)
    evidence = ocean.observe(ocean.truth(seed=0), profiles=1, levels=1, seed=0)
    posterior = LatentPosterior(ocean.pipeline.codec, mixture, evidence)
    spread = posterior._between_members(scaled, level)
    probability, _ = mixture.member_estimates(scaled, signal=level.signal, noise=level.noise)
    gain = level.signal * 0.5 / (level.signal**2 * 0.5 + level.noise**2)
    estimates = mixture.means.flatten(1) + gain * (
        scaled.flatten(1) - level.signal * mixture.means.flatten(1)
    )
    centred = estimates - probability @ estimates
    expected = (probability[0, :, None] * centred.square()).sum(0)
    factor = spread.weights[0].T @ spread.directions
    assert 0.01 < float(probability.max()) < 0.99
    torch.testing.assert_close(factor.square().sum(0).float(), expected, atol=1e-5, rtol=1e-4)


def test_the_denoiser_s_own_covariance_is_that_of_the_closed_form(ocean):
    """For a normal prior: products, and the step, also from another preconditioner."""
    gaussian, codec = ocean.pipeline.gaussian, ocean.pipeline.codec
    level = NoiseLevel(0.6, 0.8)
    scaled = torch.randn(2, *codec.latent_shape, generator=torch.Generator().manual_seed(1))

    def denoise(x: torch.Tensor) -> torch.Tensor:
        return gaussian.velocity(x, signal=level.signal, noise=level.noise)

    covariance = DenoiserCovariance(denoise, scaled, level)
    dense = ocean.prior.covariance
    noisy = level.signal**2 * dense + level.noise**2 * torch.eye(len(dense))
    given = level.noise**2 * torch.linalg.solve(noisy, dense)
    vector = torch.randn(2, len(dense), generator=torch.Generator().manual_seed(2)).double()
    torch.testing.assert_close(covariance.times(vector), vector @ given, atol=2e-4, rtol=1e-3)

    evidence = ocean.observe(ocean.truth(seed=0), profiles=3, levels=4, seed=0)
    posterior = LatentPosterior(codec, gaussian, evidence)
    prior = SeenPrior(posterior._jacobian, posterior._given(level), evidence.covariance)
    innovation = torch.randn(2, 24, generator=torch.Generator().manual_seed(3)).double()
    other = SeenPrior(
        posterior._jacobian, Spectral(2 * prior.covariance.along, prior.covariance.across),
        evidence.covariance,
    )  # fmt: skip
    found = through_denoiser(innovation, other, covariance, iterations=8)
    torch.testing.assert_close(found, prior.step(innovation), atol=2e-3, rtol=1e-2)
