"""The codec's settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from autoencoder.settings import AutoencoderSettings, CodecDesign, CodecTraining
from training.plan import TrainingPlan

TRAINING = CodecTraining(samples=1)


def test_the_design_is_that_of_the_settings_without_loss_and_training():
    options = {
        "latent_channels": 5,
        "patch": 3,
        "channels": (8, 16, 24),
        "blocks": 1,
        "mixing": False,
        "vertical_modes": 7,
        "linear_path": True,
    }
    settings = AutoencoderSettings(**options, training=TRAINING)
    assert type(settings.design) is CodecDesign
    assert settings.design.model_dump() == options


@pytest.mark.parametrize(("patch", "channels", "factor"), [(1, (8,), 1), (3, (8, 8, 8), 12)])
def test_a_latent_cell_covers_the_patch_once_for_each_halving(patch, channels, factor):
    assert CodecDesign(patch=patch, channels=channels).factor == factor


def test_widths_that_do_not_divide_into_groups_are_refused():
    with pytest.raises(ValidationError, match="multiple of 8"):
        CodecDesign(channels=(8, 12))


def test_windows_change_a_model_and_checkpointing_does_not():
    assert TRAINING.identity == TrainingPlan(samples=1).identity
    assert CodecTraining(samples=1, gradient_checkpointing=True).record == TRAINING.record
    windows = CodecTraining(samples=1, window=(64, 32))
    assert windows.identity == TRAINING.identity | {"window": (64, 32)}
    assert (windows.states_at_once, TRAINING.states_at_once) == (1, 16)


@pytest.mark.parametrize("window", [(0, 8), (8,), (8.5, 8)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValidationError, match="window"):
        CodecTraining(samples=1, window=window)
