"""The autoencoder's objective: its terms, and their gradients."""

from __future__ import annotations

import json

import pytest
import torch

from autoencoder import objective as module
from autoencoder.codec import VolumeCodec
from autoencoder.objective import TERMS, AutoencoderObjective, halves
from autoencoder.settings import LossSettings
from configs.stages import train_codec
from data.errors import UserError
from data.state import State
from guidance.seawater import equation_of_state, freezing_temperature

ALL = {
    "kl": 1e-3,
    "stratification": 0.1,
    "created_instability": 0.2,
    "spectral": 0.05,
    "censored": 0.5,
    "between_states": 0.3,
}
EVERY_LOSS = [
    word for name, weight in ALL.items() for word in (f"--autoencoder.losses.{name}", str(weight))
]
EVERY_LOSS += ["--autoencoder.losses.latent_jitter", "0.1"]


@pytest.fixture(scope="module")
def wide_archive(tmp_path_factory, write_tiny_archive):
    """An archive with a box of ocean wide enough for spectra, and with sea level."""
    path = tmp_path_factory.mktemp("wide") / "wide.zarr"
    return write_tiny_archive(path, rows=24, columns=16, sea_level=True)


@pytest.fixture
def build(wide_archive, tiny_run):
    """Builds an objective of the given loss weights, and a batch of two states."""

    def build(losses: dict[str, float], **options) -> tuple[AutoencoderObjective, torch.Tensor]:
        run = tiny_run("--data.archive", str(wide_archive))
        archive = run.archive
        codec = run.untrained_codec(archive)
        assert isinstance(codec, VolumeCodec)
        eos = equation_of_state(archive.equation_of_state)
        objective = AutoencoderObjective(codec, eos=eos, losses=losses, **options)
        return objective, archive.read([0, 1]).to_channels()

    return build


def _noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _at_its_bounds(batch: torch.Tensor, codec: VolumeCodec) -> torch.Tensor:
    """The states with fresh water at its freezing point everywhere."""
    state = State.from_channels(batch, levels=codec.statistics.levels)
    salinity = torch.zeros_like(state.salinity)
    depth = codec.grid_depth.float()[:, None, None]
    temperature = freezing_temperature(salinity, depth)
    return State(temperature, salinity, state.sea_level).to_channels()


def test_every_setting_is_a_term():
    assert LossSettings().weights.keys() == ALL.keys()
    assert ALL.keys() <= TERMS.keys()


def test_the_loss_is_the_weighted_sum_of_every_term(build):
    objective, batch = build(ALL, latent_jitter=0.1)
    losses = objective.eval()(batch, _noise())
    weights = {
        "reconstruction": 1.0,
        "jittered_stratification": ALL["stratification"],
        "jittered_created_instability": ALL["created_instability"],
    } | ALL
    assert losses.keys() == weights.keys() | {"loss"}
    expected = sum(weight * losses[name] for name, weight in weights.items())
    torch.testing.assert_close(losses["loss"], expected)
    again = objective(batch, _noise())
    assert torch.equal(losses["loss"], again["loss"])


@pytest.mark.parametrize("name", ALL)
def test_a_term_alone_has_a_finite_gradient_in_the_decoder(build, name):
    objective, batch = build({name: 1.0})
    if name == "censored":
        batch = _at_its_bounds(batch, objective.codec)
    losses = objective(batch, _noise())
    assert losses.keys() == {"reconstruction", name, "loss"}
    losses[name].backward()
    network = objective.codec.vae.encoder if name == "kl" else objective.codec.vae.head
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_a_term_without_weight_does_not_exist(build):
    objective, batch = build(dict.fromkeys(ALL, 0.0))
    assert objective(batch, _noise()).keys() == {"reconstruction", "loss"}
    assert {id(p) for p in objective.parameters()} == {id(p) for p in objective.codec.parameters()}


@pytest.mark.parametrize(
    ("losses", "jitter", "expected"),
    [
        ({"kl": 1.0}, 0.0, 0),
        ({"stratification": 1.0, "created_instability": 1.0}, 0.0, 2),
        ({"stratification": 1.0, "created_instability": 1.0}, 0.1, 3),
        ({"stratification": 1.0, "between_states": 1.0}, 0.1, 3.5),  # once for two states
    ],
)
def test_density_steps_are_computed_once_and_only_if_wanted(
    build, monkeypatch, losses, jitter, expected
):
    calls, real = [], module.density_steps
    monkeypatch.setattr(module, "density_steps", lambda *a, **k: calls.append(1) or real(*a, **k))
    objective, batch = build(losses, latent_jitter=jitter)
    objective(batch, _noise())
    assert len(calls) == expected * len(batch)  # state by state


@torch.no_grad()
def test_jitter_is_counted_in_the_spread_of_the_latents_about_their_mean(build):
    objective, batch = build({"stratification": 1.0}, latent_jitter=0.5)
    comparison = objective.compare(batch, _noise())
    seen = []
    decode = objective.codec.vae.decode
    objective.codec.vae.decode = lambda latents: seen.append(latents) or decode(latents)
    _ = comparison.jittered_steps
    moved, spread = seen[0] - comparison.mean, comparison.mean.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(
        moved.std(dim=(0, 2, 3)) / spread, torch.full((4,), 0.5), rtol=0.2, atol=0
    )


@torch.no_grad()
def test_a_mixed_column_between_two_stratified_states_costs_something(build):
    objective, batch = build({"between_states": 1.0})
    comparison = objective.compare(batch, _noise())
    stratified = torch.full_like(comparison.true_steps, 0.5)
    vars(comparison)["true_steps"] = stratified
    vars(comparison)["steps_between"] = stratified[:1]
    assert TERMS["between_states"](comparison) == 0
    vars(comparison)["steps_between"] = torch.zeros_like(stratified[:1])
    assert TERMS["between_states"](comparison) > 5


@torch.no_grad()
def test_what_is_decoded_between_states_lies_between_their_latents(build):
    objective, batch = build({"between_states": 1.0})
    comparison = objective.compare(batch, _noise())
    seen = []
    decode = objective.codec.vae.decode
    objective.codec.vae.decode = lambda latents: seen.append(latents) or decode(latents)
    _ = comparison.steps_between
    assert len(seen[0]) == 1
    distance = (comparison.mean[1] - comparison.mean[0]).norm()
    torch.testing.assert_close(
        sum((seen[0][0] - mean).norm() for mean in comparison.mean), distance
    )


@pytest.mark.parametrize("states", [1, 2, 5, 8])
def test_each_state_of_a_batch_is_in_a_pair(states):
    one, other = halves(torch.arange(states))
    assert len(one) == len(other) == (states + 1) // 2
    assert set(torch.cat([one, other]).tolist()) == set(range(states))
    assert states == 1 or (one != other).all()


@torch.no_grad()
def test_the_loss_of_a_perfect_codec_comes_only_from_instability_of_the_truth(build):
    objective, batch = build(ALL)
    comparison = objective.eval().compare(batch, _noise())
    vars(comparison)["reconstruction"] = comparison.truth
    vars(comparison)["steps_between"] = comparison.true_steps[:1]
    costs = {name: float(TERMS[name](comparison)) for name in ("reconstruction", *ALL)}
    del costs["kl"]  # of latents that are not the truth's
    assert costs == pytest.approx(dict.fromkeys(costs, 0.0), abs=1e-6)


def test_a_grid_without_room_for_spectra_is_refused_in_a_sentence(tiny_run):
    with pytest.raises(UserError, match=r"8 x 8 cells without land.*12 x 8.*losses\.spectral"):
        train_codec(tiny_run("--autoencoder.losses.spectral", "0.1"))


def test_jitter_without_terms_to_repeat_is_refused(tiny_run):
    words = (
        "--autoencoder.losses.stratification",
        "0",
        "--autoencoder.losses.latent_jitter",
        "0.1",
    )
    with pytest.raises(UserError, match="latent_jitter repeats the terms"):
        tiny_run(*words)


def test_all_terms_train_together_and_resume_exactly(
    wide_archive, tiny_run, interrupt_training, assert_same_training
):
    experiment = tiny_run(
        *("--data.archive", str(wide_archive), "--autoencoder.training.samples", "24"), *EVERY_LOSS
    )
    whole, parted = (
        experiment.with_settings(run_directory=experiment.directory / name)
        for name in ("whole", "parted")
    )
    train_codec(whole)
    interrupt_training(train_codec, parted, at=12)
    train_codec(parted)
    assert_same_training(whole.directory / "autoencoder", parted.directory / "autoencoder")
    log = (whole.directory / "autoencoder" / "metrics.jsonl").read_text().splitlines()
    logged = json.loads(log[-1])
    for name in (*ALL, "reconstruction", "jittered_stratification", "loss"):
        assert f"validation/{name}" in logged
