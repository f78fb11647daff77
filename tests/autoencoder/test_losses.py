"""The autoencoder's loss terms."""

from __future__ import annotations

import pytest
import torch

from autoencoder.losses import (
    band_energies,
    censored_error,
    created_instability,
    error_outside_range,
    kl_divergence,
    reconstruction_error,
    spectral_error,
    stratification_error,
)


def _censored(estimate: torch.Tensor, target: torch.Tensor, wet: torch.Tensor) -> torch.Tensor:
    return censored_error(estimate, target, torch.full_like(target, -0.3), wet)


ON_WET_CELLS = {
    "reconstruction": reconstruction_error,
    "stratification": stratification_error,
    "censored": _censored,
}


@pytest.fixture
def wet() -> torch.Tensor:
    mask = torch.ones(3, 4, 5)
    mask[:, 0] = 0
    mask[1:, 2, 2] = 0
    return mask


def test_a_perfect_reconstruction_costs_nothing(wet):
    x = torch.randn(2, 3, 4, 5)
    for term in (*ON_WET_CELLS.values(), created_instability):
        if term is not _censored:  # a likelihood, whose least value at the bound is not there
            assert term(x, x, wet) == 0
    energies = band_energies(torch.randn(2, 3, 12, 16))
    assert spectral_error(energies, energies) == 0


def test_the_reconstruction_error_is_the_mean_square_over_wet_cells(wet):
    x = torch.randn(2, 3, 4, 5)
    assert reconstruction_error(x + 2.0, x, wet) == pytest.approx(4.0, rel=1e-5)


@pytest.mark.parametrize("term", ON_WET_CELLS.values(), ids=ON_WET_CELLS)
def test_land_has_no_influence(term, wet):
    target = torch.randn(2, 3, 4, 5)
    estimate = (target + torch.randn(2, 3, 4, 5)).requires_grad_()
    term(estimate, target, wet).backward()
    assert (estimate.grad[:, wet == 0] == 0).all()
    if term is not _censored:  # below its bound a value is left alone
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


def _created(steps: list[float], true_steps: list[float]) -> float:
    pairs = torch.ones(len(steps), 1, 1)
    ours, theirs = (torch.tensor(x)[None, :, None, None] for x in (steps, true_steps))
    return float(created_instability(ours, theirs, pairs))


def test_created_instability_counts_only_instability_beyond_the_truth():
    assert _created([0.5, 0.0, -2e-3], [0.1, 0.0, -2e-3]) == 0
    assert _created([0.0, 1e-4, -1e-3], [0.1, 0.0, -2e-3]) == 0, "less stable, but not unstable"
    assert _created([-1e-3], [0.3]) == pytest.approx(0.881, abs=1e-3)  # asinh(1)
    assert _created([-2e-3], [-1e-3]) == pytest.approx(1.444 - 0.881, abs=1e-3)


def test_only_unstable_pairs_are_pulled_and_towards_stable():
    steps = torch.tensor([0.2, -0.2])[None, :, None, None].requires_grad_()
    created_instability(steps, torch.full_like(steps, 0.1), torch.ones(2, 1, 1)).backward()
    assert steps.grad.flatten()[0] == 0
    assert steps.grad.flatten()[1] < 0


def _outside(step: float, one: float, other: float) -> float:
    steps = (torch.full((1, 1, 1, 1), x) for x in (step, one, other))
    return float(error_outside_range(*steps, torch.ones(1, 1, 1)))


def test_between_two_states_density_steps_are_free_within_the_range_of_theirs():
    assert _outside(0.05, 0.0, 0.3) == _outside(0.05, 0.3, 0.0) == 0
    assert _outside(1e-3, 0.0, 0.0) == pytest.approx(0.881, abs=1e-3), "both are mixed"
    assert _outside(0.0, 1e-3, 0.3) == pytest.approx(0.881, abs=1e-3), "both are stratified"


def _censored_at(value: float, *, truth: float, bound: float = 0.0) -> torch.Tensor:
    value, truth, bound = (torch.full((1, 1, 1, 1), x) for x in (value, truth, bound))
    return censored_error(value, truth, bound, torch.ones(1, 1, 1))


def test_the_censored_likelihood_is_gaussian_away_from_the_bound():
    assert _censored_at(0.7, truth=0.4) == pytest.approx(0.09, rel=1e-5)
    assert _censored_at(-0.1, truth=0.4) == pytest.approx(0.25, rel=1e-5)


def test_at_its_bound_a_value_may_lie_below_and_not_above():
    assert _censored_at(0.0, truth=0.0) == pytest.approx(-2 * 0.01 * torch.tensor(0.5).log().item())
    assert _censored_at(-0.5, truth=0.0) < 1e-6
    # -log of the normal tail: x**2 / 2 + log(x sqrt(2 pi)), for x = 20 sigma
    far = 2 * 0.01 * (200 + torch.tensor(20 * (2 * torch.pi) ** 0.5).log().item())
    assert _censored_at(2.0, truth=0.0) == pytest.approx(far, rel=1e-3)


@pytest.mark.parametrize(("truth", "bound", "slope"), [(0.0, 0.0, 100.0), (9.0, -1e9, 82.0)])
def test_the_censored_likelihood_pulls_back_from_far_away(truth, bound, slope):
    value, truth, bound = (torch.full((1, 1, 1, 1), x) for x in (50.0, truth, bound))
    censored_error(value.requires_grad_(), truth, bound, torch.ones(1, 1, 1)).backward()
    assert value.grad == pytest.approx(slope, rel=1e-3)


def _waves(rows: int = 24, columns: int = 32, *, phase: float = 0.0) -> torch.Tensor:
    """A long and a short wave in x, `1 1 h w`."""
    x = 2 * torch.pi * torch.arange(columns) / columns
    field = torch.cos(3 * x + phase) + 0.3 * torch.cos(13 * x + phase)
    return field.expand(1, 1, rows, columns)


def test_band_energies_hold_the_variance_and_find_the_waves():
    energies = band_energies(_waves())[0, 0]
    assert energies.argmax() == 1  # 3 / 32 cycles per cell, in rings of 1/12
    assert energies[3:].sum() == pytest.approx(0.3**2 / 2, rel=0.1)
    assert energies[3:].argmax() == 1  # 13 / 32
    noise = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert band_energies(noise + 7.0).sum(-1).mean() == pytest.approx(1.0, abs=0.05)


def test_the_spectral_error_feels_smoothing_and_hardly_a_shift():
    truth = band_energies(_waves())
    shifted = spectral_error(band_energies(_waves(phase=1.5)), truth)
    field = _waves()
    smooth = (field.roll(-1, -1) + 2 * field + field.roll(1, -1)) / 4
    smoothed = spectral_error(band_energies(smooth), truth)
    assert smoothed > 10 * shifted
    assert (smooth - field).square().mean() < 0.2 * (_waves(phase=1.5) - field).square().mean()


def test_the_spectral_error_counts_factors_of_energy_above_the_floor():
    energies = torch.tensor([[[1.0, 0.1]]])
    assert spectral_error(torch.e * energies, energies) == pytest.approx(1.0, abs=1e-3)
    assert spectral_error(torch.tensor([[[1e-9]]]), torch.tensor([[[0.0]]])) < 1e-3


@pytest.mark.parametrize("size", [(8, 8), (9, 31)])
def test_the_spectral_gradient_is_finite_for_an_empty_field(size):
    field = torch.zeros(2, 1, *size, requires_grad=True)
    spectral_error(band_energies(field), band_energies(torch.randn(2, 1, *size))).backward()
    assert field.grad.isfinite().all()
