"""The censored likelihood, and a decoder that keeps to a bound."""

from __future__ import annotations

import math

import pytest
import torch

from autoencoder.objective import AutoencoderObjective
from data.archive.reader import StateArchive
from guidance.seawater import equation_of_state
from studies.terms.censored import (
    BoundedCodec,
    CensoredObjective,
    censored_log_likelihood,
    softly_bounded,
)
from studies.terms.settings import CensoredSettings

BOUND = 15.0  # degC: within the range of the tiny states' upper levels


def likelihood(value, mean, *, bound=0.0, scale=0.5, at_bound=False):
    value, mean = torch.as_tensor(value).double(), torch.as_tensor(mean).double()
    places = torch.full_like(value + mean, at_bound, dtype=torch.bool)
    bounds = torch.full_like(value + mean, bound)
    return censored_log_likelihood(value, mean, bounds, scale=scale, at_bound=places)


@pytest.mark.parametrize("mean", [-2.0, -0.1, 0.0, 0.4, 3.0])
def test_the_likelihood_integrates_to_1(mean):
    values = torch.linspace(0, 8, 20001, dtype=torch.float64)
    above = torch.trapezoid(likelihood(values, mean).exp(), values)
    at = likelihood(0.0, mean, at_bound=True).exp()
    assert float(above + at) == pytest.approx(1, abs=1e-6)


def test_limits_of_the_likelihood_at_the_bound():
    assert float(likelihood(0.0, -50.0, at_bound=True)) == pytest.approx(0)
    assert float(likelihood(0.0, 0.0, at_bound=True)) == pytest.approx(-math.log(2))
    # Far above the bound it falls as the squared distance does.
    mean, scale = 60.0, 0.5
    far = float(likelihood(0.0, mean, at_bound=True))
    assert far == pytest.approx(-0.5 * (mean / scale) ** 2, rel=1e-3)


def test_means_beyond_the_bound_cost_nothing_more_and_gradients_are_finite():
    mean = torch.tensor([-9.0, -3.0, 0.0, 3.0, 90.0], requires_grad=True)
    at = torch.ones(5, dtype=torch.bool)
    zeros = torch.zeros(5)
    loss = -censored_log_likelihood(zeros, mean, zeros, scale=0.1, at_bound=at)
    loss.sum().backward()
    assert mean.grad.isfinite().all()
    assert mean.grad[:2].abs().max() < 1e-6
    assert (mean.grad[2:] > 0).all()


def test_the_soft_bound_is_approached_and_forgotten_above():
    bound, softness = torch.tensor(-1.8), torch.tensor(0.05)
    values = torch.linspace(-9, 20, 4001)
    bounded = softly_bounded(values, bound=bound, softness=softness)
    assert bounded.min() >= bound
    assert (bounded.diff() >= 0).all()
    assert (bounded > values - 1e-6).all()
    far = values > -0.7
    assert torch.equal(bounded[far], values[far])
    at = softly_bounded(bound[None], bound=bound, softness=softness)
    assert float(at) == pytest.approx(-1.8 + 0.05 * math.log(2), abs=1e-5)
    inputs = torch.tensor([-400.0, -1.8, 400.0], requires_grad=True)
    softly_bounded(inputs, bound=bound, softness=softness).sum().backward()
    assert inputs.grad.tolist() == pytest.approx([0, 0.5, 1], abs=1e-4)


@pytest.fixture
def plain(tiny_run):
    """An untrained codec of the tiny ocean."""
    run = tiny_run()
    return run.untrained_codec(run.archive).eval()


@pytest.fixture
def states(tiny_archive):
    """Four states as channels `b c y x`."""
    return StateArchive.open(tiny_archive).read(range(4)).to_channels()


def test_a_bounded_codec_decodes_no_colder_water(plain, tmp_path):
    latents = 5 * torch.randn(2, *plain.latent_shape, generator=torch.Generator().manual_seed(0))
    bounded = BoundedCodec.around(plain, bound=BOUND, softness=0.05).eval()
    bounded.save_pretrained(tmp_path)
    loaded = BoundedCodec.from_pretrained(tmp_path).eval()
    wet = plain.grid_wet > 0
    with torch.no_grad():
        free, held = plain.decode(latents), loaded.decode(latents)
    assert free.temperature[:, wet].min() < BOUND - 1
    assert held.temperature[:, wet].min() >= BOUND
    assert (held.temperature[:, ~wet] == 0).all()
    assert torch.equal(held.salinity, free.salinity)
    warm = wet & (free.temperature > BOUND + 1.1)
    assert torch.equal(held.temperature[warm], free.temperature[warm])


def objectives(plain, *, bound: float, scale: float):
    """The usual objective, and the censored one of the same weights."""
    options = {
        "eos": equation_of_state(plain.config.ocean["equation_of_state"]),
        "losses": {"kl": 1e-3},
    }
    bounded = BoundedCodec.around(plain, bound=bound, softness=0.05)
    settings = CensoredSettings(scale=scale)
    censored = CensoredObjective(bounded, settings=settings, **options)
    return AutoencoderObjective(plain, **options), censored


def evaluate(objective, states):
    return objective(states, torch.Generator().manual_seed(0))


def test_far_above_the_bound_the_term_is_the_squared_error_up_to_a_constant(plain, states):
    usual, censored = objectives(plain, bound=-1000, scale=0.2)
    errors, costs = (evaluate(one, states)["reconstruction"] for one in (usual, censored))
    wet = plain.statistics.wet
    share = float(wet[: plain.statistics.levels].sum() / wet.sum())
    constant = 2 * 0.2**2 * (math.log(0.2) + 0.5 * math.log(2 * math.pi)) * share
    assert float(costs) == pytest.approx(float(errors) + constant, rel=1e-4)


def test_at_the_bound_colder_means_cost_less(plain, states):
    usual, censored = objectives(plain, bound=BOUND, scale=0.1)
    squared, cost = evaluate(usual, states), evaluate(censored, states)
    assert cost["kl"] == squared["kl"]
    assert float(cost["reconstruction"]) < float(squared["reconstruction"])
    cost["loss"].backward()
    gradients = [p.grad for p in censored.parameters() if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    assert any((gradient != 0).any() for gradient in gradients)
