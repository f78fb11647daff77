"""What observations say about conditions and mean, against dense normal distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autoencoder.locality import latent_tapers
from data.conditions import Conditions, ConditionSettings, ConditionSpace
from data.state import State
from latent_diffusion.expectation import Expectation
from latent_diffusion.inference import Inference, Weighted
from latent_diffusion.noise import member_generator
from latent_diffusion.posterior import LatentPosterior, jacobian
from studies.gaussian_posterior import GaussianOcean

GM = np.array([400.0, 600.0, 900.0, 1300.0, 1900.0])
SCALE = 0.7


@pytest.fixture(scope="module")
def ocean() -> GaussianOcean:
    return GaussianOcean.build((8, 8), seed=1)


@pytest.fixture(scope="module")
def expectation(ocean) -> Expectation:
    """Means of five members that vary smoothly with one parameter, with some noise."""
    shape = ocean.pipeline.codec.latent_shape
    generator = torch.Generator().manual_seed(0)
    pattern, noise = (
        torch.randn(shape, generator=generator),
        torch.randn(5, *shape, generator=generator),
    )
    conditions, member = Conditions({"gm": GM}), np.arange(5)
    space = ConditionSpace.of(conditions, member, ConditionSettings(parameters={"gm": "log"}))
    points = space.point(conditions)
    means = torch.from_numpy(points).float()[:, :, None, None] * pattern + 0.1 * noise
    scale = torch.full((shape[0], 1, 1), SCALE)
    return Expectation.of(means[:, None], points, space=space, scale=scale)


@pytest.fixture(scope="module")
def inference(ocean, expectation) -> Inference:
    """Given profiles of a state at gm = 1100."""
    pipeline = ocean.pipeline
    truth = expectation.mean(at(1100.0))[0] + SCALE * ocean.truth(seed=3)
    evidence = ocean.observe(truth, profiles=6, levels=5, seed=1)
    posterior = LatentPosterior(
        pipeline.codec, pipeline.gaussian, evidence, scale=expectation.scale
    )
    return Inference(posterior, expectation)


@pytest.fixture(scope="module")
def localised(ocean, inference) -> Inference:
    """As `inference`, with errors of the mean that are not those of the whole ocean."""
    return replace(inference, tapers=latent_tapers(ocean.pipeline.codec, 1500.0))


def at(*gm: float) -> Conditions:
    return Conditions({"gm": np.array(gm)})


def dense(ocean: GaussianOcean, inference: Inference, conditions: Conditions):
    """H, covariance of the mean, of residuals, and innovation of the expected mean."""
    expectation, evidence = inference.expectation, inference.posterior.evidence
    rows = jacobian(evidence.operator, ocean.pipeline.codec).double()
    weights = expectation.deviations(conditions)[0].flatten()
    directions = expectation.patterns.flatten(0, 1).flatten(1).double()
    of_mean = directions.T * weights**2 @ directions
    if inference.tapers is not None:
        tapers = inference.tapers.flatten(1)
        of_mean = of_mean * (tapers.T @ tapers).repeat(2 * [expectation.means.shape[1]])
    residual = SCALE**2 * ocean.prior.covariance
    state = ocean.pipeline.codec.decode(expectation.mean(conditions))
    return rows, of_mean, residual, evidence.innovation(state)[0]


@pytest.mark.parametrize("kind", ["inference", "localised"])
def test_the_probability_of_observations_is_that_of_a_normal_distribution(ocean, kind, request):
    inference, found = request.getfixturevalue(kind), []
    for gm in (500.0, 1700.0):
        rows, of_mean, residual, innovation = dense(ocean, inference, at(gm))
        total = rows @ (of_mean + residual) @ rows.T + inference.posterior.evidence.covariance
        normal = torch.distributions.MultivariateNormal(torch.zeros(len(total)).double(), total)
        found.append(float(normal.log_prob(innovation)))
    ours = inference.log_probability(at(500.0, 1700.0))
    assert ours[1] - ours[0] == pytest.approx(found[1] - found[0], rel=1e-4)


def test_large_means_are_decoded_one_by_one(ocean, inference, monkeypatch):
    expected, sizes = inference.log_probability(at(500.0, 900.0, 1700.0)), []
    codec = ocean.pipeline.codec
    decode = codec.decode

    def note(latents: torch.Tensor) -> State:
        sizes.append(len(latents))
        return decode(latents)

    monkeypatch.setattr(codec, "decode", note)
    monkeypatch.setattr("data.batches.MOST_BYTES", 1)
    found = inference.log_probability(at(500.0, 900.0, 1700.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize("kind", ["inference", "localised"])
def test_means_are_drawn_from_their_posterior(ocean, kind, request, monkeypatch):
    inference = request.getfixturevalue(kind)
    monkeypatch.setattr("latent_diffusion.inference.MOST_PRECISIONS", 2**16)
    conditions = at(*[1100.0] * 400)
    generators = [member_generator(0, k) for k in range(400)]
    drawn = inference.frame(conditions, generators).mean.flatten(1).double()
    rows, of_mean, residual, innovation = dense(ocean, inference, at(1100.0))
    total = rows @ (of_mean + residual) @ rows.T + inference.posterior.evidence.covariance
    gain = of_mean @ rows.T @ torch.linalg.inv(total)
    expected = inference.expectation.mean(at(1100.0)).flatten().double() + gain @ innovation
    covariance = of_mean - gain @ rows @ of_mean
    error = (drawn.mean(0) - expected).square().sum().sqrt()
    assert error < 3 * (covariance.trace() / 400).sqrt()
    assert drawn.var(dim=0).sum() == pytest.approx(float(covariance.trace()), rel=0.15)


def test_drawn_means_take_a_curved_decoder_into_account(ocean, localised, monkeypatch):
    codec = ocean.pipeline.codec
    straight = codec.decode

    def curved(latents: torch.Tensor) -> State:
        return straight(latents + 0.1 * latents.square())

    localised.frame(at(1100.0), [member_generator(0, 0)])  # the derivative is that of `straight`
    monkeypatch.setattr(codec, "decode", curved)
    once, default, converged = (_drawn_mean(localised, n, monkeypatch) for n in (1, None, 30))
    error = (default - converged).norm() / (once - converged).norm()
    assert error < 0.2


def _drawn_mean(inference, linearisations, monkeypatch) -> torch.Tensor:
    with monkeypatch.context() as patch:
        if linearisations is not None:
            patch.setattr("latent_diffusion.inference.LINEARISATIONS", linearisations)
        return inference.frame(at(1100.0), [member_generator(0, 0)]).mean


def test_tapers_localise_the_errors_of_the_mean(localised):
    tapers = localised.tapers.flatten(1)
    factors = tapers.T @ tapers
    assert len(tapers) > 1
    assert torch.allclose(factors.diagonal(), torch.ones(len(factors)).double())
    assert factors.min() < 0.5


def test_certain_means_are_the_expected_ones(inference):
    conditions = Conditions({"gm": np.array([1100.0])}, certain=True)
    frame = inference.frame(conditions, [member_generator(0, 0)])
    assert torch.equal(frame.mean, inference.expectation.mean(conditions))


def test_the_parameter_of_the_truth_is_found(inference):
    found = inference.conditions({}, seed=0)
    gm = found.conditions.values["gm"]
    mean = (found.probability * np.log(gm)).sum()
    deviation = np.sqrt((found.probability * (np.log(gm) - mean) ** 2).sum())
    assert abs(mean - np.log(1100.0)) < 3 * deviation
    assert deviation < 0.1 * np.log(GM[-1] / GM[0])
    assert GM[0] <= gm.min() and gm.max() <= GM[-1]
    drawn = found.drawn(50, seed=0).values["gm"]
    assert abs(np.log(drawn).mean() - mean) < deviation


def test_less_trust_gives_a_wider_range(inference):
    wary = Inference(inference.posterior, inference.expectation, trust=0.05)

    def spread(found: Weighted) -> float:
        gm = np.log(found.conditions.values["gm"])
        return float((found.probability * gm**2).sum() - (found.probability * gm).sum() ** 2)

    assert spread(wary.conditions({}, seed=0)) > 5 * spread(inference.conditions({}, seed=0))


def test_known_conditions_are_kept(inference):
    found = inference.conditions({"gm": 700.0}, seed=0)
    assert found.conditions.values["gm"].tolist() == [700.0]
    assert found.probability.tolist() == [1.0]


def test_members_are_drawn_by_probability():
    weighted = Weighted(at(1.0, 2.0, 3.0), np.array([0.5, 0.0, 0.5]))
    drawn = weighted.drawn(10, seed=3).values["gm"]
    assert sorted(drawn.tolist()) == [1.0] * 5 + [3.0] * 5
