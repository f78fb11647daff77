"""The guide on toy decoders: less energy, bounded moves, mixed layers mixed, diversity kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.constraints import NearestStableState, Scales
from guidance.decoding import WholeDecoder
from guidance.energy import WeightedTerm, energy_and_gradient
from guidance.guide import Descent, Guide, SampleGuide, Step
from guidance.profiles import MeanProfile
from guidance.seawater import equation_of_state
from guidance.stratification import density_steps, wet_pairs
from guidance.strength import Constant

EOS = equation_of_state("nemo-seos")
LAST = Step.even(9, 10)
MIXED = 3  # layers of the mixed layer


class ToyDecoder(nn.Module):
    """Latents `b c h w` to anomalies of the levels by a fixed matrix; with None, data space."""

    def __init__(self, grid: OceanGrid, scales: Scales, *, channels: int | None) -> None:
        super().__init__()
        levels = grid.shape[0]
        self.wet, self.levels = wet_tensor(grid), levels
        depth = torch.from_numpy(grid.depth).float()
        profile = 4 + 14 * torch.exp(-(depth - 60).clamp(min=0) / 300)
        self.mean = torch.cat([profile, torch.full((levels,), 35.0)])[:, None, None]
        self.std = torch.cat([*scales])[:, None, None]
        random = torch.Generator().manual_seed(2)
        mixing = (
            torch.eye(2 * levels)
            if channels is None
            else torch.randn(2 * levels, channels, generator=random) / channels**0.5
        )
        self.mixing = nn.Parameter(mixing)

    def forward(self, latents: Tensor, *, rows: slice = slice(None)) -> State:
        anomalies = torch.einsum("kc,bcyx->bkyx", self.mixing, latents)
        channels = (self.mean + self.std * anomalies) * self.wet[:, rows].repeat(2, 1, 1)
        return State.from_channels(channels, levels=self.levels)


@pytest.fixture
def scales(grid: OceanGrid) -> Scales:
    levels = grid.shape[0]
    return Scales(torch.linspace(1.0, 0.2, levels), torch.linspace(0.2, 0.05, levels))


@pytest.fixture
def stability(grid: OceanGrid, scales: Scales) -> NearestStableState:
    return NearestStableState(grid, EOS, scales)


Latents = Callable[[int], Tensor]


@pytest.fixture
def latents(grid: OceanGrid) -> Latents:
    def draw(channels: int) -> Tensor:
        random = torch.Generator().manual_seed(7)
        return torch.randn(3, channels, *grid.shape[1:], generator=random)

    return draw


def rms(difference: Tensor) -> Tensor:
    return difference.square().mean((1, 2, 3)).sqrt()


def refuse(latents: Tensor) -> State:
    raise AssertionError("nothing was to be decoded")


def test_nothing_happens_before_the_start(stability: NearestStableState, latents: Latents) -> None:
    estimate = latents(4)
    guide = Guide([WeightedTerm(stability)], start=0.6)
    assert guide.correct(estimate, WholeDecoder(refuse), at=Step.even(4, 10)) is estimate
    assert Guide([]).correct(estimate, WholeDecoder(refuse), at=LAST) is estimate


@pytest.mark.parametrize("damped", [True, False])
def test_energy_falls_and_the_move_is_capped(
    grid: OceanGrid,
    scales: Scales,
    stability: NearestStableState,
    latents: Latents,
    damped: bool,
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    estimate = latents(6)
    guide = Guide([WeightedTerm(stability)], descent=Descent(step_cap=0.05, damped=damped))
    with torch.no_grad():
        corrected = guide.correct(estimate, WholeDecoder(decode), at=Step.even(5, 10))
        before, after = stability(decode(estimate)), stability(decode(corrected))
    assert (after < 0.9 * before).all()
    assert (rms(corrected - estimate) <= 0.05 * 1.0001).all()
    assert not corrected.requires_grad
    assert decode.mixing.grad is None


def test_data_space_reaches_the_stable_state_in_one_step(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=None)
    estimate = latents(16)
    corrected = Guide([WeightedTerm(stability)], descent=Descent(step_cap=10.0)).correct(
        estimate, WholeDecoder(decode), at=LAST
    )
    assert (stability(decode(corrected)) < 1e-6 * stability(decode(estimate))).all()


def test_stable_estimates_stay_bit_for_bit(
    grid: OceanGrid, scales: Scales, stability: NearestStableState
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    calm = torch.zeros(2, 6, *grid.shape[1:])
    assert torch.equal(
        Guide([WeightedTerm(stability)]).correct(calm, WholeDecoder(decode), at=LAST), calm
    )


def test_samples_do_not_feel_each_other(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    guide = Guide([WeightedTerm(stability)], descent=Descent(inner_steps=2))
    together = guide.correct(latents(6), WholeDecoder(decode), at=LAST)
    alone = guide.correct(latents(6)[1:2], WholeDecoder(decode), at=LAST)
    torch.testing.assert_close(together[1:2], alone)


def test_damping_helps_where_the_decoder_cannot_follow(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    """A warm layer that no latent can cool: its energy stays, and undamped steps chase it."""
    follow = ToyDecoder(grid, scales, channels=6)
    flaw = torch.zeros(grid.shape[0])
    flaw[3] = 12.0

    def decode(latents: Tensor) -> State:
        state = follow(latents)
        warm = state.temperature + flaw[:, None, None] * follow.wet
        return State(warm, state.salinity)

    def largest_rise(*, damped: bool) -> float:
        guide = Guide([WeightedTerm(stability)], descent=Descent(step_cap=10.0, damped=damped))
        estimate, energies = latents(6), []
        for _ in range(10):
            energies.append(stability(decode(estimate)).detach())
            estimate = guide.correct(estimate, WholeDecoder(decode), at=LAST)
        return torch.stack(energies).diff(dim=0).max().item()

    assert largest_rise(damped=True) < 0
    assert largest_rise(damped=False) > 0.01


def test_a_noisy_mixed_layer_is_mixed_not_stratified(
    grid: OceanGrid, scales: Scales, stability: NearestStableState
) -> None:
    """Guidance must not buy stability with a shallower mixed layer."""
    decode = ToyDecoder(grid, scales, channels=None)
    random = torch.Generator().manual_seed(3)
    estimate = torch.zeros(4, 16, *grid.shape[1:])
    # colder towards the surface: every pair of the mixed layer overturns, by various amounts
    warming = torch.rand(4, MIXED, *grid.shape[1:], generator=random).cumsum(1)
    estimate[:, :MIXED] = 0.05 * warming / decode.std[:MIXED]
    guide = Guide([WeightedTerm(stability)], descent=Descent(step_cap=10.0))
    pairs = wet_pairs(wet_tensor(grid))[: MIXED - 1]

    def mixed_layer_steps(latents: Tensor) -> Tensor:
        depth = torch.from_numpy(grid.interface_depth)
        steps = density_steps(decode(latents), eos=EOS, interface_depth=depth)
        return steps[:, : MIXED - 1][:, pairs]

    assert (mixed_layer_steps(estimate) < -1e-4).float().mean() > 0.9
    after = mixed_layer_steps(guide.correct(estimate, WholeDecoder(decode), at=LAST))
    assert after.abs().max() < 1e-5


def test_ensemble_profile_moves_the_mean_and_keeps_the_spread(
    grid: OceanGrid, scales: Scales, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=None)
    profiles = decode.mean[: decode.levels, 0, 0], decode.mean[decode.levels :, 0, 0]
    offsets = torch.tensor([0.2, 0.5, 0.8])[:, None, None, None]
    estimate = 0.1 * latents(16) + offsets
    corrected = {}
    for per in ("ensemble", "sample"):
        term = MeanProfile(grid, *profiles, scales, per=per)
        guide = Guide([WeightedTerm(term)], descent=Descent(step_cap=10.0, inner_steps=2))
        corrected[per] = guide.correct(estimate, WholeDecoder(decode), at=LAST)
    wet = wet_tensor(grid).repeat(2, 1, 1)
    bias = {per: (x.mean(0) * wet).sum() / wet.sum() for per, x in corrected.items()}
    spread = {per: x.std(0)[wet].mean() for per, x in corrected.items()}
    assert abs(bias["ensemble"]) < 0.02
    torch.testing.assert_close(spread["ensemble"], estimate.std(0)[wet].mean(), rtol=1e-3, atol=0)
    assert spread["sample"] < 0.7 * spread["ensemble"]


def test_weights_set_what_counts(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    terms = [WeightedTerm(stability, 0.5), WeightedTerm(stability, 1.5)]
    energy, gradient = energy_and_gradient(terms, latents(6), WholeDecoder(decode))
    torch.testing.assert_close(energy, 2 * stability(decode(latents(6))))
    once = energy_and_gradient([WeightedTerm(stability)], latents(6), WholeDecoder(decode))[1]
    torch.testing.assert_close(gradient, 2 * once)


def test_works_in_inference_mode(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    guide = Guide([WeightedTerm(stability)])
    expected = guide.correct(latents(6), WholeDecoder(decode), at=LAST)
    with torch.inference_mode():
        assert torch.equal(guide.correct(latents(6), WholeDecoder(decode), at=LAST), expected)


def test_nonsense_settings_are_refused(stability: NearestStableState) -> None:
    with pytest.raises(UserError, match="0 to 1"):
        Guide([WeightedTerm(stability)], start=2.0)
    with pytest.raises(UserError, match="above 0"):
        Guide([WeightedTerm(stability)], descent=Descent(step_cap=0.0))


def test_each_so_many_th_step_is_guided_and_the_last(stability: NearestStableState) -> None:
    guide = Guide([WeightedTerm(stability)], start=0.5, every=3)
    guided = [number for number in range(10) if guide.acts_at(Step.even(number, 10))]
    assert guided == [6, 9]


def test_progress_is_the_angle_of_the_noise() -> None:
    assert [Step.even(k, 4).progress for k in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    clear = Step(number=3, steps=30, before=0.8, after=0.6)
    assert clear.progress == pytest.approx(math.acos(0.6) / math.pi * 2)
    assert clear.time_before == pytest.approx(1 - math.acos(0.8) / math.pi * 2)
    assert Step(29, 30, 0.01, 0.0).progress == 1


def test_one_term_s_window_ends_where_another_s_begins(stability: NearestStableState) -> None:
    first, second = WeightedTerm(stability, last=0.5), WeightedTerm(stability, first=0.5)
    for progress in (0.1, 0.5, 0.9, 1.0):
        assert first.counts_at(progress) != second.counts_at(progress)
    assert second.counts_at(1.0)


def test_a_term_counts_in_its_window_only(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = WholeDecoder(ToyDecoder(grid, scales, channels=6))
    late = Guide([WeightedTerm(stability, first=0.75)], start=0.0)
    assert [late.acts_at(Step.even(number, 10)) for number in (6, 7, 9)] == [False, True, True]
    profile = WeightedTerm(MeanProfile(grid, *scales, scales), last=0.7)
    both = Guide([WeightedTerm(stability, first=0.75), profile], start=0.0)
    alone = Guide([profile], start=0.0)
    at = Step.even(3, 10)
    mine, theirs = (guide.correct(latents(6), decode, at=at) for guide in (both, alone))
    assert torch.equal(mine, theirs)
    with pytest.raises(UserError, match="smaller one first"):
        WeightedTerm(stability, first=0.5, last=0.2)


def test_noisy_samples_are_moved_by_a_share_of_the_step(
    grid: OceanGrid, scales: Scales, latents: Latents
) -> None:
    """In data space a share k takes k of each level's error, as the seed paper's steps do."""
    decode = ToyDecoder(grid, scales, channels=None)
    profiles = decode.mean[: decode.levels, 0, 0], decode.mean[decode.levels :, 0, 0]
    term = MeanProfile(grid, *profiles, scales, per="sample")
    descent = Descent(step_cap=10.0, damped=False)
    guide = SampleGuide([WeightedTerm(term)], start=0.5, strength=Constant(0.25), descent=descent)
    sample = latents(16)
    assert guide.correct(sample, WholeDecoder(refuse), at=Step.even(0, 10)) is sample
    moved = guide.correct(sample, WholeDecoder(decode), at=LAST)
    before, after = (term(decode(x)).sqrt() for x in (sample, moved))
    torch.testing.assert_close(after, 0.75 * before, rtol=0.05, atol=0)
    with pytest.raises(UserError, match="does not go through the network"):
        SampleGuide([WeightedTerm(term)], descent=Descent(by="network"))


class InStrips:
    """The same decoder, two rows at a time."""

    def __init__(self, decode: ToyDecoder) -> None:
        self.decode = decode

    def features(self, latents: Tensor) -> tuple[Tensor, ...]:
        return (2 * latents,)

    def strips(self, batch: int) -> list[SimpleNamespace]:
        count = self.decode.wet.shape[1]
        return [SimpleNamespace(rows=slice(first, first + 2)) for first in range(0, count, 2)]

    def cut(self, features: tuple[Tensor, ...], strip: SimpleNamespace) -> tuple[Tensor, ...]:
        return (features[0][:, :, strip.rows],)

    def decode_strip(self, cut: tuple[Tensor, ...], strip: SimpleNamespace) -> State:
        return self.decode(0.5 * cut[0], rows=strip.rows)


@pytest.mark.parametrize("local", [True, False])
def test_strips_change_nothing(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents, local: bool
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    terms = [WeightedTerm(stability, 2.0)]
    if not local:
        terms.append(WeightedTerm(MeanProfile(grid, *scales, scales)))
    guide = Guide(terms, descent=Descent(step_cap=10.0))
    whole = guide.correct(latents(6), WholeDecoder(decode), at=LAST)
    in_strips = guide.correct(latents(6), InStrips(decode), at=LAST)
    torch.testing.assert_close(in_strips, whole)


def test_a_part_of_the_grid_has_its_share_of_the_energy(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    state = ToyDecoder(grid, scales, channels=None)(latents(16))
    rows = grid.shape[1]
    parts = [
        stability.part(part)(state.map(lambda field, part=part: field[..., part, :]))
        for part in (slice(0, 2), slice(2, rows))
    ]
    torch.testing.assert_close(sum(parts), stability(state))
    assert all((part > 0).all() for part in parts)
