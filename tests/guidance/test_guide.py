"""The guide with toy decoders: lower energy, bounded steps, mixed layers and spread preserved."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin
from pydantic import ValidationError
from torch import Tensor, nn

from data.grid import OceanGrid, wet_tensor
from data.state import State
from guidance.constraints import NearestStableState
from guidance.energy import WeightedTerm, WholeDecoder, energy_and_gradient
from guidance.guide import EstimateGuide, SampleGuide
from guidance.profiles import MeanProfile
from guidance.seawater import equation_of_state
from guidance.settings import Steering
from guidance.steps import Step, Window
from guidance.stratification import density_steps, wet_pairs
from guidance.terms import Scales, Term
from latent_diffusion.denoiser import noise_level

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


def places(scheduler: SchedulerMixin, steps: int) -> list[Step]:
    """The steps of a chain of that scheduler."""
    scheduler.set_timesteps(steps)
    noise = [noise_level(scheduler, index).noise for index in range(steps)] + [0.0]
    return [Step(index, steps, *noise[index : index + 2]) for index in range(steps)]


def refuse(latents: Tensor) -> State:
    raise AssertionError("nothing was to be decoded")


def test_nothing_happens_before_the_start(stability: NearestStableState, latents: Latents) -> None:
    estimate = latents(4)
    guide = EstimateGuide([WeightedTerm(stability)], Steering(start=0.6))
    assert guide.correct_estimate(estimate, WholeDecoder(refuse), at=Step.even(4, 10)) is estimate
    assert EstimateGuide([]).correct_estimate(estimate, WholeDecoder(refuse), at=LAST) is estimate


def test_energy_falls_and_the_move_is_capped(
    grid: OceanGrid,
    scales: Scales,
    stability: NearestStableState,
    latents: Latents,
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    estimate = latents(6)
    guide = EstimateGuide([WeightedTerm(stability)], steering=Steering(step_cap=0.05))
    with torch.no_grad():
        corrected = guide.correct_estimate(estimate, WholeDecoder(decode), at=Step.even(5, 10))
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
    corrected = EstimateGuide(
        [WeightedTerm(stability)], steering=Steering(step_cap=10.0)
    ).correct_estimate(estimate, WholeDecoder(decode), at=LAST)
    assert (stability(decode(corrected)) < 1e-6 * stability(decode(estimate))).all()


def test_stable_estimates_stay_bit_for_bit(
    grid: OceanGrid, scales: Scales, stability: NearestStableState
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    calm = torch.zeros(2, 6, *grid.shape[1:])
    assert torch.equal(
        EstimateGuide([WeightedTerm(stability)]).correct_estimate(
            calm, WholeDecoder(decode), at=LAST
        ),
        calm,
    )


def test_samples_do_not_feel_each_other(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = ToyDecoder(grid, scales, channels=6)
    guide = EstimateGuide([WeightedTerm(stability)], steering=Steering(inner_steps=2))
    together = guide.correct_estimate(latents(6), WholeDecoder(decode), at=LAST)
    alone = guide.correct_estimate(latents(6)[1:2], WholeDecoder(decode), at=LAST)
    torch.testing.assert_close(together[1:2], alone)


def test_a_noisy_mixed_layer_is_mixed_not_stratified(
    grid: OceanGrid, scales: Scales, stability: NearestStableState
) -> None:
    """Guidance must not achieve stability by a shallower mixed layer."""
    decode = ToyDecoder(grid, scales, channels=None)
    random = torch.Generator().manual_seed(3)
    estimate = torch.zeros(4, 16, *grid.shape[1:])
    # colder towards the surface: every pair of the mixed layer is unstable, by varying amounts
    warming = torch.rand(4, MIXED, *grid.shape[1:], generator=random).cumsum(1)
    estimate[:, :MIXED] = 0.05 * warming / decode.std[:MIXED]
    guide = EstimateGuide([WeightedTerm(stability)], steering=Steering(step_cap=10.0))
    pairs = wet_pairs(wet_tensor(grid))[: MIXED - 1]

    def mixed_layer_steps(latents: Tensor) -> Tensor:
        depth = torch.from_numpy(grid.interface_depth)
        steps = density_steps(decode(latents), eos=EOS, interface_depth=depth)
        return steps[:, : MIXED - 1][:, pairs]

    assert (mixed_layer_steps(estimate) < -1e-4).float().mean() > 0.9
    after = mixed_layer_steps(guide.correct_estimate(estimate, WholeDecoder(decode), at=LAST))
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
        guide = EstimateGuide([WeightedTerm(term)], steering=Steering(step_cap=10.0, inner_steps=2))
        corrected[per] = guide.correct_estimate(estimate, WholeDecoder(decode), at=LAST)
    wet = wet_tensor(grid).repeat(2, 1, 1)
    bias = {per: (x.mean(0) * wet).sum() / wet.sum() for per, x in corrected.items()}
    spread = {per: x.std(0)[wet].mean() for per, x in corrected.items()}
    assert abs(bias["ensemble"]) < 0.02
    torch.testing.assert_close(spread["ensemble"], estimate.std(0)[wet].mean(), rtol=1e-3, atol=0)
    assert spread["sample"] < 0.7 * spread["ensemble"]


def test_weights_scale_the_energies(
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
    guide = EstimateGuide([WeightedTerm(stability)])
    expected = guide.correct_estimate(latents(6), WholeDecoder(decode), at=LAST)
    with torch.inference_mode():
        assert torch.equal(
            guide.correct_estimate(latents(6), WholeDecoder(decode), at=LAST), expected
        )


def test_every_nth_step_and_the_last_are_guided(stability: NearestStableState) -> None:
    guide = EstimateGuide([WeightedTerm(stability)], steering=Steering(start=0.5, every=3))
    guided = [number for number in range(10) if guide.acts_at(Step.even(number, 10))]
    assert guided == [6, 9]


def test_progress_is_the_angle_of_the_noise() -> None:
    assert [Step.even(k, 4).progress for k in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    clear = Step(number=3, steps=30, before=0.8, after=0.6)
    assert clear.progress == pytest.approx(math.acos(0.6) / math.pi * 2)
    assert clear.time_before == pytest.approx(1 - math.acos(0.8) / math.pi * 2)
    assert Step(29, 30, 0.01, 0.0).progress == 1


@pytest.mark.parametrize("border", [0.5, "last_step"])
def test_one_window_ends_where_another_begins(border: float | str) -> None:
    first, second = Window(until=border), Window(start=border)
    for step in (Step.even(number, 10) for number in range(10)):
        assert first.holds(step) != second.holds(step)
        assert Window().holds(step)
    assert second.holds(LAST)


@pytest.mark.parametrize("window", [(0.5, 0.2), (1.0, "last_step"), ("last_step", "last_step")])
def test_an_empty_window_is_refused(window: tuple[float | str, float | str]) -> None:
    start, until = window
    with pytest.raises(ValidationError, match=f"cannot start at {start} and end at {until}"):
        Window(start=start, until=until)


@pytest.mark.parametrize("timesteps", [1000, 4000, 8000])
def test_the_last_step_is_one_step_of_any_chain(timesteps: int, stability: Term) -> None:
    """Also if the previous step is very near the end."""
    schedule = DDPMScheduler(
        num_train_timesteps=timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
    )
    scheduler = DPMSolverMultistepScheduler.from_config(schedule.config, use_karras_sigmas=True)
    chain = places(scheduler, 30)
    assert (chain[-2].progress > 0.998) == (timesteps == 8000), "near to the end, and not last"
    first = WeightedTerm(stability, window=Window(until="last_step"))
    then = WeightedTerm(stability, window=Window(start="last_step"))
    guide = EstimateGuide([first, then], Steering(start=0.0))
    found = [guide.terms_at(step) for step in chain]
    assert found == [[first]] * 29 + [[then]]


def test_a_term_counts_in_its_window_only(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode, all_along = WholeDecoder(ToyDecoder(grid, scales, channels=6)), Steering(start=0.0)
    later = WeightedTerm(stability, window=Window(start=0.75))
    late = EstimateGuide([later], all_along)
    assert [late.acts_at(Step.even(number, 10)) for number in (6, 7, 9)] == [False, True, True]
    profile = WeightedTerm(MeanProfile(grid, *scales, scales), window=Window(until=0.7))
    both, alone = (EstimateGuide(terms, all_along) for terms in ([later, profile], [profile]))
    at = Step.even(3, 10)
    mine, theirs = (guide.correct_estimate(latents(6), decode, at=at) for guide in (both, alone))
    assert torch.equal(mine, theirs)


def test_noisy_samples_are_moved_by_a_share_of_the_step(
    grid: OceanGrid, scales: Scales, latents: Latents
) -> None:
    """In data space a fraction k removes k of each level's error, as the published steps do."""
    decode = ToyDecoder(grid, scales, channels=None)
    profiles = decode.mean[: decode.levels, 0, 0], decode.mean[decode.levels :, 0, 0]
    term = MeanProfile(grid, *profiles, scales, per="sample")
    steering = Steering(acts_on="noisy_sample", start=0.5, rate=0.25, step_cap=10.0)
    guide = SampleGuide([WeightedTerm(term)], steering)
    sample = latents(16)
    assert guide.correct_sample(sample, WholeDecoder(refuse), at=Step.even(0, 10)) is sample
    moved = guide.correct_sample(sample, WholeDecoder(decode), at=LAST)
    before, after = (term(decode(x)).sqrt() for x in (sample, moved))
    torch.testing.assert_close(after, 0.75 * before, rtol=0.05, atol=0)


def test_a_multiplier_starts_anew_with_each_chain(
    grid: OceanGrid, scales: Scales, stability: NearestStableState, latents: Latents
) -> None:
    decode = WholeDecoder(ToyDecoder(grid, scales, channels=6))
    steering = Steering(acts_on="noisy_sample", start=0.0, strength="dual_ascent", rate=0.1)
    guide = SampleGuide([WeightedTerm(stability)], steering)
    one, another = guide.for_a_chain(), guide.for_a_chain()
    first, again, on = (
        chain.correct_sample(latents(6), decode, at=LAST) for chain in (one, another, another)
    )
    assert torch.equal(first, again)
    assert not torch.equal(again, on), "the multiplier grows within a chain"


def test_each_guide_corrects_only_its_own_quantity(
    stability: NearestStableState, latents: Latents
) -> None:
    anything, nothing = latents(4), WholeDecoder(refuse)
    noisy = SampleGuide([WeightedTerm(stability)], Steering(acts_on="noisy_sample"))
    assert noisy.correct_estimate(anything, nothing, at=LAST) is anything
    clean = EstimateGuide([WeightedTerm(stability)])
    assert clean.correct_sample(anything, nothing, at=LAST) is anything


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
    guide = EstimateGuide(terms, steering=Steering(step_cap=10.0))
    whole = guide.correct_estimate(latents(6), WholeDecoder(decode), at=LAST)
    in_strips = guide.correct_estimate(latents(6), InStrips(decode), at=LAST)
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
