"""Networks on grids where stages are appended, with a limit that the tiny ocean exceeds."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from autoencoder.periodic import PeriodicConv2d
from configs.stages import train_codec, train_denoiser
from data.errors import UserError
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.train import untrained_denoiser
from studies.cost.synthetic import SyntheticArchive, synthetic_grid
from training.records import RECORD

LIMIT = "latent_diffusion.settings.ATTENDED_CELLS"
ATTENTIVE = ("--diffusion.channels", "[8, 32]", "--diffusion.attention", "true")
GRIDS = [(12, 8, True), (12, 8, False), (13, 11, True), (13, 11, False), (7, 19, True)]


@pytest.fixture
def few_attended(monkeypatch):
    """At most two cells are attended."""
    monkeypatch.setattr(LIMIT, 2)


def _untrained(run, rows, columns, *, periodic_x):
    """A codec and a denoiser that adds to the Gaussian, on a grid without land."""
    grid = synthetic_grid(5, rows, columns, periodic_x=periodic_x)
    archive = SyntheticArchive(grid, has_sea_level=False)
    codec = run.untrained_codec(archive).eval()
    denoiser = untrained_denoiser(run.settings.diffusion, codec).eval()
    nn.init.normal_(denoiser.unet.conv_out.weight)
    return archive, codec, denoiser


@pytest.mark.usefixtures("few_attended")
@pytest.mark.parametrize("kind", ["vae", "identity"])
@pytest.mark.parametrize(("rows", "columns", "periodic_x"), GRIDS)
@torch.no_grad()
def test_a_forward_pass(tiny_run, rows, columns, periodic_x, kind):
    run = tiny_run(*ATTENTIVE, "--autoencoder.kind", kind)
    archive, codec, denoiser = _untrained(run, rows, columns, periodic_x=periodic_x)
    stages = run.stages_on(rows, columns)
    assert stages > 2
    down = denoiser.unet.config.down_block_types
    assert denoiser.unet.config.block_out_channels == (8, *[32] * (stages - 1))
    assert down == ("DownBlock2D",) * (stages - 1) + ("AttnDownBlock2D",)
    assert all(size % 2 ** (stages - 1) == 0 for size in codec.latent_shape[1:])
    seen = []
    attention = denoiser.unet.mid_block.attentions[0]
    attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    state = archive.read([0, 1])
    latents = codec.encode(state)
    v = denoiser(latents, 500, signal=0.6, noise=0.8)
    assert v.shape == latents.shape and v.isfinite().all()
    assert seen[0].numel() <= 2
    assert codec.decode(v).temperature.shape == (2, 5, rows, columns)
    spread = [type(m) for m in denoiser.unet.modules() if isinstance(m, nn.Conv2d) and m.padding[0]]
    assert set(spread) == {PeriodicConv2d if periodic_x else nn.Conv2d}


@pytest.mark.usefixtures("few_attended")
@torch.no_grad()
def test_the_coarsest_stage_carries_what_is_far_away(tiny_run):
    """One cell changes the estimate in all others."""
    _, codec, denoiser = _untrained(tiny_run(*ATTENTIVE), 96, 96, periodic_x=False)
    latents = torch.randn(1, *codec.latent_shape)
    changed = latents.clone()
    changed[..., 0, 0] += 3
    before, after = (denoiser(z, 500, signal=0.6, noise=0.8) for z in (latents, changed))
    assert ((before - after).abs().amax(dim=1) > 0).all()


@pytest.mark.slow
def test_a_trained_model_is_recorded_saved_and_opened_as_it_was_built(tiny_run, monkeypatch):
    run = tiny_run(*ATTENTIVE)
    with monkeypatch.context() as few:
        few.setattr(LIMIT, 2)
        train_codec(run)
        train_denoiser(run)
        assert run.codec_stage.is_done and run.denoiser_stage.is_done
        model = run.pipeline()
        drawn = _draw(model)
    widths = [8, 32, 32]
    for product in (run.codec_folder, run.model_folder):
        record = json.loads((product / RECORD).read_text())
        assert record["network_widths"] == widths
        assert record["diffusion_stages"] == 2  # those of the settings
    assert model.unet.config.block_out_channels == widths
    # Its own files say what it is, whatever the rule may become.
    assert not run.codec_stage.is_done
    again = StatePipeline.from_pretrained(run.model_folder)
    assert again.unet.config.block_out_channels == widths
    again.scheduler = run.scheduler()
    assert torch.equal(_draw(again), drawn)
    again.save_pretrained(run.directory / "copy")
    copy = StatePipeline.from_pretrained(run.directory / "copy")
    copy.scheduler = run.scheduler()
    assert torch.equal(_draw(copy), drawn)


def _draw(pipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.draw(generators=[member_generator(0, 0)], steps=4).state.to_channels()


@pytest.mark.usefixtures("few_attended")
@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny_run, interrupt_training, assert_same_training
):
    run = tiny_run(*ATTENTIVE, "--diffusion.training.samples", "24")
    whole, parted = (run.with_settings(run_directory=run.directory / each) for each in "ab")
    for each in (whole, parted):
        train_codec(each)
    train_denoiser(whole)
    interrupt_training(train_denoiser, parted, at=12)
    train_denoiser(parted)
    assert_same_training(whole.directory / "diffusion", parted.directory / "diffusion")


def test_records_of_networks_without_appended_stages_are_as_before(tiny_run):
    run = tiny_run(*ATTENTIVE)
    for stage in (run.codec_stage, run.denoiser_stage):
        assert "network_widths" not in stage.record
        assert stage.record["diffusion_stages"] == 2


@pytest.mark.slow
def test_a_model_without_the_stages_that_it_would_have_now_is_opened_and_not_replaced(
    tiny_run, monkeypatch
):
    run = tiny_run(*ATTENTIVE)
    train_codec(run)
    train_denoiser(run)
    drawn = _draw(run.pipeline())
    monkeypatch.setattr(LIMIT, 2)
    with pytest.raises(UserError, match=r"other settings .*diffusion_stages"):
        train_codec(run)
    with pytest.raises(UserError, match="holds no codec made with this configuration"):
        train_denoiser(run)
    assert torch.equal(_draw(run.pipeline()), drawn)
