"""The residual of the nearest stable state in the loss of the denoiser."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoencoder.codec import IdentityCodec
from data.archive.reader import StateArchive
from data.state import State
from guidance.seawater import equation_of_state
from guidance.stratification import density_steps, wet_pairs
from latent_diffusion.objective import DenoisingObjective
from latent_diffusion.schedulers import build_schedule
from studies.terms.conflict_free import conflict_free
from studies.terms.residual import ResidualObjective, residual_variance, stability_residual
from studies.terms.settings import ResidualSettings

SHAPE = (2, 3, 4)


@pytest.fixture
def codec(tiny_run):
    """Data space: latents are the normalised state."""
    run = tiny_run("--autoencoder.kind", "identity")
    codec = run.untrained_codec(run.archive)
    assert isinstance(codec, IdentityCodec)
    return codec


@pytest.fixture
def states(tiny_archive):
    """Two states that overturn in places."""
    return StateArchive.open(tiny_archive).read([0, 5])


def steps_of(codec, state: State) -> torch.Tensor:
    """Density steps of wet pairs [kg/m3]."""
    depth = torch.from_numpy(codec.grid.interface_depth)
    eos = equation_of_state(codec.config.ocean["equation_of_state"])
    pairs = wet_pairs(codec.grid_wet > 0)
    return density_steps(state.map(torch.Tensor.double), eos=eos, interface_depth=depth)[:, pairs]


def test_a_stable_state_has_no_residual(codec, states):
    warm = torch.linspace(20, 2, states.levels)[:, None, None] * codec.grid_wet
    stable = State(warm[None].float(), 35 * codec.grid_wet[None].float())
    assert steps_of(codec, stable).min() > 0
    residual = stability_residual(codec)
    assert residual(codec.encode(stable)).tolist() == [0.0]
    assert (residual(codec.encode(states)) > 1e-6).all()


def test_descent_raises_dense_water_over_light(codec, states):
    residual = stability_residual(codec)
    latents = codec.encode(states).requires_grad_()
    (gradient,) = torch.autograd.grad(residual(latents).sum(), latents)
    before, moved = steps_of(codec, states), codec.decode((latents - 100 * gradient).detach())
    after = steps_of(codec, moved)
    assert residual(codec.encode(moved)).sum() < residual(latents).sum()
    assert after.min() > before.min()
    # Where columns are stable nothing moves.
    still = (gradient == 0).all(dim=1)
    assert 0.5 < float(still.float().mean()) < 1


def test_the_variance_of_a_reverse_step_is_that_of_the_sampler():
    schedule = build_schedule(50)
    variance = residual_variance(schedule, "reverse_step")
    for t in (1, 2, 25, 49):
        assert float(variance[t]) == pytest.approx(float(schedule._get_variance(t)), rel=1e-4)
    assert variance[0] == variance[1]
    clean = residual_variance(schedule, "clean")
    torch.testing.assert_close(clean, 1 - schedule.alphas_cumprod.double())


class Oracle(nn.Module):
    """Predicts the v of one clean latent, plus a parameter."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean, self.given = clean, []
        self.error = nn.Parameter(torch.full(SHAPE, 0.01))

    def forward(self, scaled, timesteps, *, signal, noise, **_):
        self.given.append((timesteps, (scaled - signal * self.clean) / noise))
        return (signal * scaled - self.clean) / noise + self.error


def objective_of(denoiser, seen=None, **settings):
    """An objective whose residual is the mean of the latents squared, and which notes them."""

    def residual(latents: torch.Tensor) -> torch.Tensor:
        if seen is not None:
            seen.append(latents)
        return 0.5 * latents.square().flatten(1).mean(dim=1)

    return ResidualObjective(
        denoiser,
        residual=residual,
        settings=ResidualSettings(**settings),
        schedule=build_schedule(20),
        weight=torch.ones(SHAPE),
    )


@pytest.fixture
def batch():
    """Moments of eight equal latents without posterior noise."""
    mean = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    return torch.stack([mean, 0 * mean]).expand(8, 2, *SHAPE)


def losses_of(objective, batch):
    return objective(batch, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("estimate", ["mean", "sample"])
def test_both_estimates_of_a_perfect_denoiser_are_the_clean_latents(batch, estimate):
    denoiser, seen = Oracle(batch[0, 0]), []
    nn.init.zeros_(denoiser.error)
    objective = objective_of(denoiser, seen, weight=1, estimate=estimate, steps=3)
    losses_of(objective, batch)
    assert len(denoiser.given) == (3 if estimate == "sample" else 1)
    assert 0 < len(seen[0]) < 8
    torch.testing.assert_close(seen[0], batch[0, 0].expand_as(seen[0]), atol=1e-4, rtol=1e-4)


def test_a_sample_keeps_its_noise_while_its_level_falls_evenly(batch):
    denoiser = Oracle(batch[0, 0])
    nn.init.zeros_(denoiser.error)
    losses_of(objective_of(denoiser, weight=1, estimate="sample", steps=3), batch)
    (start, noise), *following = denoiser.given
    low = (1 - build_schedule(20).alphas_cumprod[start]).sqrt() <= 0.6
    assert start[low].max() > 3
    for left, (timesteps, remaining) in zip((2, 1), following, strict=True):
        assert torch.equal(timesteps, start[low] * left // 3)
        torch.testing.assert_close(remaining, noise[low], atol=1e-3, rtol=1e-3)


def test_the_gradient_of_a_sample_passes_through_all_its_steps(batch):
    gradients = {}
    for estimate in ("mean", "sample"):
        denoiser = Oracle(batch[0, 0])
        losses_of(objective_of(denoiser, weight=1, estimate=estimate), batch)["residual"].backward()
        gradients[estimate] = denoiser.error.grad
    assert not torch.allclose(gradients["mean"], gradients["sample"], rtol=0.01)


def test_the_loss_is_the_data_loss_plus_the_weighted_likelihood(batch):
    denoiser, seen = Oracle(batch[0, 0]), []
    objective = objective_of(denoiser, seen, weight=3, variance="clean")
    losses = losses_of(objective, batch)
    plain = DenoisingObjective(denoiser, schedule=build_schedule(20), weight=torch.ones(SHAPE))
    data = losses_of(plain, batch)["loss"]
    assert float(losses["data"]) == float(data)
    # z-hat = z - noise * error, so the noise of each sample follows from its estimate.
    clean = batch[0, 0].flatten()[0]
    variance = ((clean - seen[0].flatten(1)[:, 0]) / 0.01).square()
    energy = 0.5 * seen[0].square().flatten(1).mean(dim=1)
    expected = 3 * float((energy / variance).sum()) / len(batch)
    assert float(losses["residual"]) == pytest.approx(expected, rel=0.01)
    assert float(losses["loss"]) == pytest.approx(float(losses["data"] + losses["residual"]))


def test_noisy_samples_have_no_residual(batch):
    denoiser = Oracle(batch[0, 0])
    losses = losses_of(objective_of(denoiser, weight=1, largest_noise=1e-6), batch)
    assert float(losses["residual"]) == 0
    losses["loss"].backward()
    assert denoiser.error.grad.abs().sum() > 0


def test_conflict_free_gradients_replace_that_of_the_sum(batch):
    denoiser = Oracle(batch[0, 0])
    objective = objective_of(denoiser, weight=1, gradients="conflict_free")
    losses = losses_of(objective, batch)
    gradients = [
        torch.autograd.grad(losses[name], denoiser.error, retain_graph=True)[0].flatten()
        for name in ("data", "residual")
    ]
    losses["loss"].backward()
    torch.testing.assert_close(denoiser.error.grad.flatten(), conflict_free(*gradients))
    with torch.no_grad():  # as in validation
        value = losses_of(objective, batch)["loss"]
    assert float(value) == pytest.approx(float(losses["loss"]))
