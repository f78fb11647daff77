"""Constraints on horizontal means, and the climatology on which they are based."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.climatology import Climatology, climatology
from guidance.profiles import MeanDensityProfile
from guidance.seawater import equation_of_state

Build = Callable[..., State]
EOS = equation_of_state("linear")


def shifted(state: State, temperature: torch.Tensor | float, grid: OceanGrid) -> State:
    return State(state.temperature + temperature * wet_tensor(grid), state.salinity)


def test_density_profiles_count_offsets_in_their_spread(
    grid: OceanGrid, noisy_state: Build
) -> None:
    states = noisy_state(batch=4, dtype=torch.float64)
    known = climatology(states.split(2), grid=grid, eos=EOS)
    mean = State(*(field.mean(0, keepdim=True) for field in (states.temperature, states.salinity)))
    term = MeanDensityProfile(grid, EOS, known.density, known.density_std)
    assert term(mean).item() == pytest.approx(0, abs=1e-10)
    warmer = shifted(mean, 1.0, grid)
    offset = EOS.rho0 * EOS.thermal_expansion
    cells = torch.from_numpy(grid.wet.sum((1, 2)) / grid.wet.sum())
    expected = 0.5 * (cells * (offset / known.density_std) ** 2).sum()
    assert term(warmer).item() == pytest.approx(float(expected), rel=1e-6)
    steps = MeanDensityProfile(grid, EOS, known.density, known.step_std, steps=True)
    assert steps(warmer).item() == pytest.approx(0, abs=1e-10), "all levels alike: no step changes"
    ramp = torch.linspace(0, 1, grid.shape[0])[:, None, None]
    assert steps(shifted(mean, ramp, grid)).item() > 0


@pytest.mark.parametrize("steps", [False, True])
def test_density_profiles_differentiate_like_finite_differences(
    grid: OceanGrid, noisy_state: Build, steps: bool
) -> None:
    states = noisy_state(batch=2, dtype=torch.float64)
    known = climatology(states.split(1), grid=grid, eos=EOS)
    std = known.step_std if steps else known.density_std
    term = MeanDensityProfile(grid, EOS, known.density, std, steps=steps)
    salinity = states.salinity
    assert torch.autograd.gradcheck(
        lambda t: term(State(t, salinity)),
        states.temperature[:, :, :2, :2].repeat(1, 1, 3, 3)[..., :6, :5].requires_grad_(),
    )


def test_the_climatology_knows_the_spread_and_the_data_s_own_inversions(
    grid: OceanGrid, noisy_state: Build
) -> None:
    still = noisy_state(batch=3, noise=0.0, dtype=torch.float64)
    known = climatology([still], grid=grid, eos=EOS)
    assert known.tolerance.abs().max() == 0
    assert known.density_std.max() < 1e-9
    noisy = climatology([noisy_state(batch=6, dtype=torch.float64)], grid=grid, eos=EOS)
    assert (noisy.tolerance[:2] > 0.01).all()
    wet = grid.wet.any((1, 2))
    assert ((noisy.density_std.numpy() > 0.05) == wet).all()
    # Steps of white noise have root 2 times its standard deviation.
    assert noisy.step_std[0] == pytest.approx(np.sqrt(2) * float(noisy.density_std[0]), rel=0.2)
    saved = json.loads(json.dumps(noisy.as_dict()))
    assert Climatology.from_dict(saved).as_dict() == noisy.as_dict()
    with pytest.raises(UserError, match="needs at least 2 training states"):
        climatology([noisy_state(batch=1)], grid=grid, eos=EOS)
