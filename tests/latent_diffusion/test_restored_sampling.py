"""Sampling with a restorer of small scales at its end."""

from __future__ import annotations

import json

import pytest
import torch

from autoencoder.train import train_codec
from autoencoder.train_restorer import train_restorer
from data.errors import UserError
from latent_diffusion.pipeline import StatePipeline, model_directory
from latent_diffusion.sample import load_pipeline, member_generator, sampling_record
from latent_diffusion.train import train_denoiser


@pytest.fixture
def restoring(tiny_experiment, restorer_overrides):
    """A tiny experiment with a restorer, trained."""
    experiment = tiny_experiment(*restorer_overrides)
    for stage in (train_codec, train_restorer, train_denoiser):
        stage(experiment)
    return experiment


def _drawn(pipeline, members):
    return pipeline(generators=[member_generator(0, member) for member in members], steps=3)


def test_samples_have_small_scales_added_and_belong_to_their_member(restoring):
    pipeline = load_pipeline(restoring)
    together = _drawn(pipeline, [0, 1, 2])
    alone = _drawn(pipeline, [2])
    torch.testing.assert_close(
        together.state.temperature[2:], alone.state.temperature, atol=1e-4, rtol=0
    )
    plain = pipeline.codec.decode(together.latents)
    assert not torch.equal(plain.temperature, together.state.temperature)
    released = StatePipeline.from_pretrained(model_directory(restoring.run_directory))
    assert released.restorer is not None


def test_a_configuration_without_a_restorer_samples_without_it(restoring, tiny_experiment):
    plain = tiny_experiment()
    pipeline = load_pipeline(plain)
    assert pipeline.restorer is None
    drawn = _drawn(pipeline, [0])
    assert torch.equal(drawn.state.temperature, pipeline.codec.decode(drawn.latents).temperature)
    assert "restorer" not in json.loads(sampling_record(plain, guided=False))
    assert "restorer" in json.loads(sampling_record(restoring, guided=False))


def test_a_model_from_before_there_were_restorers_loads(restoring):
    folder = model_directory(restoring.run_directory)
    index = json.loads((folder / "model_index.json").read_text())
    del index["restorer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert StatePipeline.from_pretrained(folder).restorer is None


def test_the_restorer_has_to_be_trained_before_the_denoiser(tiny_experiment, restorer_overrides):
    experiment = tiny_experiment(*restorer_overrides)
    train_codec(experiment)
    with pytest.raises(UserError, match="no restorer made with this configuration"):
        train_denoiser(experiment)
