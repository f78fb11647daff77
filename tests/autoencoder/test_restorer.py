"""The restorer of small scales: what it leaves alone, what it draws, and its stage."""

from __future__ import annotations

import pytest
import torch

from autoencoder.restorer import Restorer, restore
from autoencoder.train import load_codec, train_codec
from autoencoder.train_restorer import (
    DecodedStates,
    build_restorer,
    load_restorer,
    train_restorer,
)
from data.errors import UserError
from data.states import StateArchive


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _generators(*seeds):
    return [_generator(seed) for seed in seeds]


@pytest.fixture
def plain():
    """An untrained restorer of two fields on 16 x 24 cells, all wet but for a row."""
    torch.manual_seed(0)
    restorer = Restorer(
        2, 16, 24, modes=2, window=4, patch=2, width=8, blocks=1, periodic_x=True
    ).eval()
    restorer.wet[:, 1:] = 1
    return restorer


def test_small_scales_are_what_a_window_smooths_away(plain):
    x = torch.arange(24) * 2 * torch.pi / 24
    long, short = 3 + torch.cos(x), torch.cos(8 * x)
    fields = (long + short).expand(1, 2, 16, 24) * plain.wet
    small = plain.small_scales(fields)
    torch.testing.assert_close(small[0, 0, 8], short, atol=0.12, rtol=0)
    assert not small[:, :, 0].any()
    assert float(plain.small_scales(5 * plain.wet[None]).abs().max()) < 1e-5


def test_one_step_of_an_untrained_restorer_adds_nothing_and_more_add_noise(plain):
    known = torch.randn(2, 2, 16, 24, generator=_generator()) * plain.wet
    assert float(plain.draw(known, steps=1, generators=_generators(0, 1)).abs().max()) < 1e-5
    drawn = plain.draw(known, steps=8, generators=_generators(0, 1))
    assert torch.equal(drawn, plain.draw(known, steps=8, generators=_generators(0, 1)))
    assert not torch.equal(drawn, plain.draw(known, steps=8, generators=_generators(2, 3)))


def test_the_velocity_continues_around_a_periodic_axis(plain):
    torch.nn.init.normal_(plain.last.weight)
    x, known = torch.randn(2, 1, 2, 16, 24, generator=_generator())
    time = torch.tensor([0.3])
    rolled = plain.velocity(x.roll(6, -1), time, known.roll(6, -1))
    torch.testing.assert_close(rolled, plain.velocity(x, time, known).roll(6, -1))


def test_noise_has_the_residuals_spectrum_and_unseen_states_their_errors(
    tiny_experiment, restorer_overrides
):
    experiment = tiny_experiment(*restorer_overrides)
    train_codec(experiment)
    archive, codec = StateArchive.open(experiment.data.archive), load_codec(experiment)
    pairs = {split: DecodedStates(codec, archive, split) for split in ("train", "validation")}
    assert experiment.restorer is not None
    restorer = build_restorer(experiment.restorer, codec, pairs)
    noise = restorer.noise([_generator()] * 400)
    found = torch.fft.rfft2(noise, norm="ortho")[..., 1:4].abs().square().mean(dim=(0, 2, 3))
    expected = restorer.noise_spectrum[..., 1:4].square().mean(dim=(1, 2))
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0)
    assert ((restorer.kept >= 0) & (restorer.kept <= 1)).all()
    known = codec.network_input(archive.read([0, 1]))
    wrong = restorer.unseen(known, _generator()) - known
    assert not wrong[:, ~codec.statistics.wet].any()


def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny_experiment, restorer_overrides, interrupt_training, assert_same_training
):
    experiment = tiny_experiment(*restorer_overrides)
    train_codec(experiment)
    parted = experiment.model_copy(
        update={"run_directory": experiment.run_directory.with_name("parted")}
    )
    train_codec(parted)
    train_restorer(experiment)
    interrupt_training(train_restorer, parted, at=12)
    train_restorer(parted)
    whole = experiment.run_directory / "restorer"
    assert_same_training(whole, parted.run_directory / "restorer")
    codec, restorer = load_codec(parted), load_restorer(parted)
    state = StateArchive.open(parted.data.archive).read([0, 1])
    latents = codec.encode(state)
    added = restore(codec, restorer, latents, steps=2, generators=_generators(0, 1))
    assert not torch.equal(added.temperature, codec.decode(latents).temperature)
    assert not added.temperature[:, ~codec.statistics.wet[:5]].any()
    torch.nn.init.zeros_(restorer.basis.synthesis.weight)
    same = restore(codec, restorer, latents, steps=2, generators=_generators(0, 1))
    torch.testing.assert_close(same.to_channels(), codec.decode(latents).to_channels())


def test_what_cannot_be_restored_is_said(tiny_experiment, restorer_overrides):
    with pytest.raises(UserError, match="no section 'restorer'"):
        train_restorer(tiny_experiment())
    identity = tiny_experiment("--autoencoder.kind", "identity", *restorer_overrides)
    train_codec(identity)
    with pytest.raises(UserError, match="nothing to restore"):
        train_restorer(identity)
    with pytest.raises(UserError, match="holds no restorer"):
        load_restorer(tiny_experiment(*restorer_overrides))
