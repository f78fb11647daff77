"""The autoencoder's loss terms."""

from __future__ import annotations

import pytest
import torch

from autoencoder.losses import kl_divergence, reconstruction_error, stratification_error


@pytest.fixture
def wet() -> torch.Tensor:
    mask = torch.ones(3, 4, 5)
    mask[:, 0] = 0
    mask[1:, 2, 2] = 0
    return mask


def test_a_perfect_reconstruction_costs_nothing(wet):
    x = torch.randn(2, 3, 4, 5)
    assert reconstruction_error(x, x, wet) == 0
    assert stratification_error(x, x, wet) == 0


def test_the_reconstruction_error_is_the_mean_square_over_wet_cells(wet):
    x = torch.randn(2, 3, 4, 5)
    assert reconstruction_error(x + 2.0, x, wet) == pytest.approx(4.0, rel=1e-5)


@pytest.mark.parametrize("term", [reconstruction_error, stratification_error])
def test_land_has_no_influence(term, wet):
    target = torch.randn(2, 3, 4, 5)
    estimate = (target + torch.randn(2, 3, 4, 5)).requires_grad_()
    term(estimate, target, wet).backward()
    assert (estimate.grad[:, wet == 0] == 0).all()
    assert (estimate.grad[:, wet == 1] != 0).all()
    changed = torch.where(wet == 1, estimate, 99.0)
    assert term(changed, target, wet) == term(estimate, target, wet)


def test_the_kl_divergence_has_its_closed_form():
    zero = torch.zeros(2, 3, 4, 5)
    assert kl_divergence(zero, zero) == 0
    one, four = torch.ones(2, 3, 4, 5), torch.full((2, 3, 4, 5), 4.0)
    assert kl_divergence(one, zero) == pytest.approx(0.5)
    assert kl_divergence(zero, four.log()) == pytest.approx(0.5 * (4 - 1 - four.log()[0, 0, 0, 0]))


def _error(step: float, true_step: float) -> float:
    shape = (1, 1, 1, 1)
    return float(
        stratification_error(
            torch.full(shape, step), torch.full(shape, true_step), torch.ones(shape[1:])
        )
    )


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
def test_stabilising_a_neutral_pair_costs_as_much_as_overturning_it(size):
    assert _error(size, 0.0) == pytest.approx(_error(-size, 0.0))
    assert _error(0.0, size) == pytest.approx(_error(0.0, -size))


def test_the_same_error_costs_far_more_in_a_mixed_column_than_in_a_stratified_one():
    assert _error(1e-3, 0.0) > 50 * _error(0.1 + 1e-3, 0.1)
    assert _error(1e-3, 0.0) == pytest.approx(0.881, abs=1e-3)  # asinh(1)
