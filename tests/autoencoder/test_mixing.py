"""The decoder's last layer: vertical mixing conserves, homogenises and leaves the rest alone."""

from __future__ import annotations

import torch

from autoencoder.mixing import exchange_thickness, mix
from data.state import State
from guidance.stratification import wet_pairs

THICKNESS = torch.tensor([50.0, 60.0, 80.0, 100.0], dtype=torch.float64)[:, None, None]


def column(*values: float) -> State:
    field = torch.tensor(values, dtype=torch.float64)[None, :, None, None]
    return State(field, 0.1 * field + 34.0)


def exchange(*metres: float) -> torch.Tensor:
    return torch.tensor(metres, dtype=torch.float64)[None, :, None, None]


def test_no_exchange_changes_nothing():
    state = column(10.0, 9.5, 9.9, 4.0)
    mixed = mix(state, exchange(0, 0, 0), THICKNESS)
    torch.testing.assert_close(mixed.temperature, state.temperature)


def test_strong_exchange_homogenises_its_layers_only_and_conserves_heat_and_salt():
    state = column(10.0, 9.5, 9.9, 4.0)
    mixed = mix(state, exchange(1e7, 1e7, 0), THICKNESS)
    mean = (state.temperature[0, :3] * THICKNESS[:3]).sum() / THICKNESS[:3].sum()
    torch.testing.assert_close(mixed.temperature[0, :3], mean.expand(3, 1, 1), rtol=0, atol=1e-5)
    assert mixed.temperature[0, 3] == 4.0
    for before, after in zip(
        (state.temperature, state.salinity), (mixed.temperature, mixed.salinity), strict=True
    ):
        torch.testing.assert_close((after * THICKNESS).sum(), (before * THICKNESS).sum())


def test_mixing_solves_the_implicit_diffusion_equation():
    state, c = column(10.0, 9.5, 9.9, 4.0), exchange(30.0, 5.0, 80.0)
    x, d = mix(state, c, THICKNESS).temperature[0, :, 0, 0], state.temperature[0, :, 0, 0]
    flux = c[0, :, 0, 0] * (x[1:] - x[:-1])
    zero = flux.new_zeros(1)
    torch.testing.assert_close(
        THICKNESS[:, 0, 0] * (x - d), torch.cat([flux, zero]) - torch.cat([zero, flux])
    )


def test_nothing_is_exchanged_with_land():
    wet = torch.tensor([True, True, False, False])[:, None, None]
    thickness = THICKNESS * wet
    strong = exchange_thickness(torch.full((1, 3, 1, 1), 50.0), thickness, wet_pairs(wet))
    assert strong[0, :, 0, 0].tolist()[1:] == [0.0, 0.0]
    mixed = mix(column(10.0, 9.0, 0.0, 0.0), strong, thickness)
    assert mixed.temperature[0, 2:].abs().max() == 0
    assert (mixed.temperature[0, 0] - mixed.temperature[0, 1]).abs() < 0.01


def test_the_gradient_reaches_exchange_and_state():
    state = column(10.0, 9.5, 9.9, 4.0)
    temperature = state.temperature.requires_grad_()
    raw = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)

    def mixed(temperature: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        pairs = torch.ones(3, 1, 1, dtype=torch.bool)
        c = exchange_thickness(raw, THICKNESS, pairs)
        return mix(State(temperature, state.salinity), c, THICKNESS).temperature

    assert torch.autograd.gradcheck(mixed, (temperature, raw))


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    state = torch.randn(2, 1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    raw = torch.rand(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    thickness = THICKNESS.expand(4, 2, 3)

    def mixed(fields: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        result = mix(State(*fields), 100 * strength, thickness)
        return torch.stack([result.temperature, result.salinity])

    assert torch.autograd.gradcheck(mixed, (state, raw))
