"""Each way to pull lowers the energy; in data space all are the same projection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.constraints import NearestStableState, Scales
from guidance.decoding import WholeDecoder
from guidance.energy import WeightedTerm, energy_of
from guidance.guide import Descent
from guidance.profiles import MeanProfile
from guidance.pulls import decoder_pull, encoder_pull, network_pull, surrogate_pull
from guidance.seawater import equation_of_state

EOS = equation_of_state("nemo-seos")
Draw = Callable[[int], Tensor]


class Levels(WholeDecoder):
    """Latents are the anomalies' amplitudes on orthonormal modes of the column; bent a little."""

    def __init__(self, grid: OceanGrid, scales: Scales, *, channels: int, bend: float = 0.0):
        object.__setattr__(self, "decode", self._decode)
        levels = grid.shape[0]
        self.__dict__.update(levels=levels, wet=wet_tensor(grid).repeat(2, 1, 1), bend=bend)
        random = torch.Generator().manual_seed(2)
        square = torch.randn(2 * levels, 2 * levels, generator=random)
        depth = torch.from_numpy(grid.depth).float()
        profile = 4 + 14 * torch.exp(-(depth - 60).clamp(min=0) / 300)
        self.__dict__.update(
            modes=torch.linalg.qr(square)[0][:, :channels],
            mean=torch.cat([profile, torch.full((levels,), 35.0)])[:, None, None],
            std=torch.cat([*scales])[:, None, None],
        )

    def _decode(self, latents: Tensor) -> State:
        return self._state(latents + self.bend * latents**2)

    def decode_linearly(self, latents: Tensor) -> State:
        return self._state(latents)

    def encode(self, state: State) -> Tensor:
        anomalies = (state.to_channels() - self.mean) / self.std * self.wet
        return torch.einsum("kc,bkyx->bcyx", self.modes, anomalies)

    def _state(self, amplitudes: Tensor) -> State:
        anomalies = torch.einsum("kc,bcyx->bkyx", self.modes, amplitudes)
        return State.from_channels(
            (self.mean + self.std * anomalies) * self.wet, levels=self.levels
        )


@pytest.fixture
def scales(grid: OceanGrid) -> Scales:
    levels = grid.shape[0]
    return Scales(torch.linspace(1.0, 0.2, levels), torch.linspace(0.2, 0.05, levels))


@pytest.fixture
def terms(grid: OceanGrid, scales: Scales) -> list[WeightedTerm]:
    return [WeightedTerm(NearestStableState(grid, EOS, scales))]


@pytest.fixture
def latents(grid: OceanGrid) -> Draw:
    def draw(channels: int) -> Tensor:
        random = torch.Generator().manual_seed(7)
        return torch.randn(3, channels, *grid.shape[1:], generator=random)

    return draw


@pytest.mark.parametrize("by", ["decoder", "encoder", "surrogate", "network"])
def test_every_way_lowers_the_energy(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw, by: str
) -> None:
    decoder = Levels(grid, scales, channels=6, bend=0.1)
    estimate = latents(6)
    descent = Descent(by=by, step_cap=10.0, inner_steps=3)
    moved = descent(estimate, terms, decoder, through_network=lambda gradient: 0.5 * gradient)
    before, after = (energy_of(terms, z, decoder) for z in (estimate, moved))
    assert (after < 0.6 * before).all()
    assert not moved.requires_grad


def test_in_data_space_encoding_again_is_the_exact_adjustment(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw
) -> None:
    decoder = Levels(grid, scales, channels=16)
    estimate = latents(16)
    moved = Descent(by="encoder", step_cap=10.0, damped=False)(estimate, terms, decoder)
    target = terms[0].term.project(decoder.decode(estimate))
    torch.testing.assert_close(
        decoder.decode(moved).to_channels(), target.to_channels(), atol=1e-4, rtol=0
    )


def test_a_linear_decoder_is_its_own_surrogate(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw
) -> None:
    decoder = Levels(grid, scales, channels=6)
    exact = decoder_pull(terms, latents(6), decoder)
    approximate = surrogate_pull(terms, latents(6), decoder)
    for mine, theirs in zip(approximate, exact, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_slope_through_the_network_is_that_of_the_energy(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw
) -> None:
    """Against finite differences along the direction."""
    decoder, estimate, size = Levels(grid, scales, channels=6), latents(6), 1e-3
    pull = network_pull(terms, estimate, decoder, lambda gradient: gradient.roll(1, dims=1))
    unit = size / pull.direction.flatten(1).norm(dim=1)
    shift = unit[:, None, None, None] * pull.direction
    up, down = (energy_of(terms, estimate + sign * shift, decoder) for sign in (1, -1))
    torch.testing.assert_close((up - down) / (2 * unit), pull.slope, rtol=2e-2, atol=1e-6)


def test_encoding_again_needs_one_constraint_with_a_nearest_state(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw
) -> None:
    decoder = Levels(grid, scales, channels=6)
    profile = WeightedTerm(MeanProfile(grid, *scales, scales))
    for several in ([*terms, profile], [profile]):
        with pytest.raises(UserError, match="one constraint that has a nearest state"):
            encoder_pull(several, latents(6), decoder)


def test_satisfied_samples_stay_and_end_the_search(
    grid: OceanGrid, scales: Scales, terms: list[WeightedTerm], latents: Draw
) -> None:
    decoder, estimate = Levels(grid, scales, channels=6), latents(6)
    estimate[1] *= 0.01
    energy = energy_of(terms, estimate, decoder)
    enough = float(energy[1]) * 2
    decoded = []
    decode = decoder.decode
    object.__setattr__(decoder, "decode", lambda z: decoded.append(z) or decode(z))
    moved = Descent(satisfied=enough, step_cap=10.0, inner_steps=50, damped=False, relaxation=0.7)(
        estimate, terms, decoder
    )
    assert torch.equal(moved[1], estimate[1])
    assert (energy_of(terms, moved, decoder) < energy).tolist() == [True, False, True]
    satisfied = Descent(satisfied=2 * float(energy.max()), inner_steps=50)
    decoded.clear()
    assert torch.equal(satisfied(estimate, terms, decoder), estimate)
    assert len(decoded) == 1, "one look is enough"
