"""The decoder's last layer: mixing conserves, homogenises and changes nothing else."""

from __future__ import annotations

import torch

from autoencoder.mixing import exchange_thickness, mix
from guidance.stratification import wet_pairs

THICKNESS = torch.tensor([50.0, 60.0, 80.0, 100.0], dtype=torch.float64)[:, None, None]


def column(*values: float) -> torch.Tensor:
    """Temperature and salinity `b t z y x` of one column."""
    field = torch.tensor(values, dtype=torch.float64)[None, :, None, None]
    return torch.stack([field, 0.1 * field + 34.0], dim=1)


def exchange(*metres: float) -> torch.Tensor:
    return torch.tensor(metres, dtype=torch.float64)[None, :, None, None]


def test_no_exchange_changes_nothing():
    before = column(10.0, 9.5, 9.9, 4.0)
    torch.testing.assert_close(mix(before, exchange(0, 0, 0), THICKNESS), before)


def test_strong_exchange_homogenises_its_layers_only_and_conserves_heat_and_salt():
    before = column(10.0, 9.5, 9.9, 4.0)
    mixed = mix(before, exchange(1e7, 1e7, 0), THICKNESS)
    mean = (before[:, :, :3] * THICKNESS[:3]).sum(2, keepdim=True) / THICKNESS[:3].sum()
    torch.testing.assert_close(mixed[:, :, :3], mean.expand(1, 2, 3, 1, 1), rtol=0, atol=1e-5)
    assert torch.equal(mixed[:, :, 3], before[:, :, 3])
    torch.testing.assert_close((mixed * THICKNESS).sum(2), (before * THICKNESS).sum(2))


def test_mixing_solves_the_implicit_diffusion_equation():
    before, c = column(10.0, 9.5, 9.9, 4.0), exchange(30.0, 5.0, 80.0)
    x, d = (tracers[0, 0, :, 0, 0] for tracers in (mix(before, c, THICKNESS), before))
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
    temperature = mix(column(10.0, 9.0, 0.0, 0.0), strong, thickness)[0, 0]
    assert temperature[2:].abs().max() == 0
    assert (temperature[0] - temperature[1]).abs() < 0.01


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    before = torch.randn(2, 2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    raw = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    thickness, pairs = THICKNESS.expand(4, 2, 3), torch.ones(3, 2, 3, dtype=torch.bool)

    def mixed(tracers: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        return mix(tracers, exchange_thickness(raw, thickness, pairs), thickness)

    assert torch.autograd.gradcheck(mixed, (before, raw))
