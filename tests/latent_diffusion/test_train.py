"""The diffusion stage, in latent and in data space."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler

from autoencoder.codec import IdentityCodec
from configs.stages import train_codec, train_denoiser
from data.checksums import CHECKSUMS
from data.errors import UserError
from latent_diffusion.denoiser import Denoiser, build_unet
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.noise import member_generator
from latent_diffusion.objective import DenoisingObjective
from training.loop import Trainer


def _with_codec_of(trained, experiment, name: str):
    """`experiment` in a separate run directory with the trained codec."""
    moved = experiment.with_settings(run_directory=experiment.directory / name)
    shutil.copytree(trained.codec_folder, moved.codec_folder)
    return moved


@pytest.mark.parametrize("dropout", ["0.0", "0.2"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    trained, tiny_run, interrupt_training, assert_same_training, dropout
):
    experiment = tiny_run("--diffusion.training.samples", "24", "--diffusion.dropout", dropout)
    whole = _with_codec_of(trained, experiment, "whole")
    parted = _with_codec_of(trained, experiment, "parted")
    train_denoiser(whole)
    interrupt_training(train_denoiser, parted, at=12)
    assert not parted.model_folder.exists()
    train_denoiser(parted)
    assert_same_training(whole.directory / "diffusion", parted.directory / "diffusion")
    weights = [
        (run.model_folder / "unet" / "diffusion_pytorch_model.safetensors")
        for run in (whole, parted)
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_gradient_checkpointing_changes_no_number_and_may_begin_at_a_checkpoint(
    trained, tiny_run, interrupt_training, assert_same_training, checkpointed
):
    words = ("--diffusion.training.samples", "24", "--diffusion.dropout", "0.2")
    plain = _with_codec_of(trained, tiny_run(*words), "whole")
    parted = _with_codec_of(trained, tiny_run(*words), "parted")
    train_denoiser(plain)
    interrupt_training(train_denoiser, parted, at=12)
    again = tiny_run(*words, "--diffusion.training.gradient_checkpointing", "true")
    train_denoiser(again.with_settings(run_directory=parted.directory))
    assert len(checkpointed) == 1
    assert_same_training(plain.directory / "diffusion", parted.directory / "diffusion")
    assert parted.denoiser_stage.is_done  # also without the setting


def test_checkpointing_computes_blocks_again_and_changes_no_gradient():
    torch.manual_seed(0)
    options = {"static_maps": 1, "channels": (8, 32), "blocks": 2, "attention": True}
    unet = build_unet((2, 8, 8), **options, dropout=0.3)
    torch.nn.init.normal_(unet.conv_out.weight)
    objective = DenoisingObjective(
        Denoiser(unet, MemberGaussians((2, 8, 8)), torch.randn(1, 8, 8)),
        schedule=DDPMScheduler(num_train_timesteps=10, prediction_type="v_prediction"),
        weight=torch.ones(2, 8, 8),
    ).train()
    moments, calls = torch.rand(3, 2, 2, 8, 8), []
    unet.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: calls.append("block"))

    def loss_and_gradients() -> list[torch.Tensor]:
        calls.clear()
        objective.zero_grad()
        torch.manual_seed(1)  # of the dropout
        loss = objective(moments, torch.Generator().manual_seed(2))["loss"]
        loss.backward()
        return [loss.detach(), *(p.grad.clone() for p in unet.parameters())]

    kept = loss_and_gradients()
    assert len(calls) == 1
    unet.enable_gradient_checkpointing()
    again = loss_and_gradients()
    assert len(calls) == 2
    for ours, theirs in zip(again, kept, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("--diffusion.training.batch_size", "8"), "batch_size"),
        (("--diffusion.train_timesteps", "500"), "timesteps"),
        (("--diffusion.dropout", "0.3"), "dropout"),
        (("--diffusion.training.precision", "bf16"), "precision"),
    ],
)
def test_a_checkpoint_of_other_settings_is_not_resumed(
    trained, tiny_run, interrupt_training, overrides, named
):
    run = _with_codec_of(trained, tiny_run(), "run")
    interrupt_training(train_denoiser, run, at=8)
    changed = tiny_run(*overrides).with_settings(run_directory=run.directory)
    with pytest.raises(UserError, match=f"other settings.*{named}"):
        train_denoiser(changed)


def test_a_checkpoint_of_another_autoencoder_is_not_resumed(trained, tiny_run, interrupt_training):
    run = _with_codec_of(trained, tiny_run(), "run")
    interrupt_training(train_denoiser, run, at=8)
    codec = run.codec()
    with torch.no_grad():
        codec.latent_unit.mul_(2)
    codec.save_pretrained(run.codec_folder)
    (run.codec_folder / CHECKSUMS).unlink()
    (run.directory / "diffusion" / "latents.safetensors").unlink()
    with pytest.raises(UserError, match=r"other settings \(codec differ"):
        train_denoiser(run)


def test_the_stage_asks_for_a_codec_of_this_configuration(trained, tiny_run):
    with pytest.raises(UserError, match="holds no codec"):
        train_denoiser(tiny_run())
    run = _with_codec_of(trained, tiny_run("--autoencoder.losses.kl", "0.5"), "other")
    with pytest.raises(UserError, match="made with this configuration"):
        train_denoiser(run)


def test_a_wrong_scheduler_is_refused_before_the_training(trained, tiny_run, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained first"))
    run = _with_codec_of(trained, tiny_run("--sampling.scheduler", "Nonsense"), "run")
    with pytest.raises(UserError, match="'Nonsense' cannot sample"):
        train_denoiser(run)


def test_a_finished_stage_is_not_repeated(trained, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    train_denoiser(trained)


@pytest.mark.slow
def test_the_data_space_model_is_the_same_stage_with_the_identity_codec(tiny_run):
    experiment = tiny_run("--autoencoder.kind", "identity")
    train_codec(experiment)
    train_denoiser(experiment)
    pipeline = experiment.pipeline()
    assert isinstance(pipeline.codec, IdentityCodec)
    state = pipeline.draw(generators=[member_generator(0, 0)], steps=3).state
    grid = experiment.archive.grid
    assert state.temperature.shape == (1, *grid.shape)
    assert state.temperature.isfinite().all()
    assert not (experiment.directory / "diffusion" / "latents.safetensors").exists()


@pytest.mark.slow
def test_each_stage_has_its_own_precision_in_one_process(tiny_run):
    experiment = tiny_run(
        *("--autoencoder.training.precision", "bf16"),
        *("--diffusion.training.precision", "fp32"),
    )
    train_codec(experiment)
    train_denoiser(experiment)
    assert (experiment.model_folder / "model_index.json").is_file()


def test_a_released_model_is_a_folder_with_a_model_card(trained):
    folder = trained.model_folder
    assert {path.name for path in folder.iterdir()} >= {"README.md", "experiment.yaml", "codec"}
    card = (folder / "README.md").read_text()
    assert "5 levels, 12 rows and" in card
    assert "`veros-vallis`" in card


def test_a_run_directory_holds_nothing_pickled(trained):
    kinds = {".safetensors", ".json", ".jsonl", ".yaml", ".md"}
    files = [path for path in Path(trained.directory).rglob("*") if path.is_file()]
    other = [path for path in files if path.suffix not in kinds and "tfevents" not in path.name]
    assert files
    assert [path.name for path in other] == ["pipeline.py"], "one import, for diffusers' loader"


def test_only_weighted_latents_count_in_the_loss():
    unet = build_unet((2, 4, 4), static_maps=0, channels=(8,), blocks=1, attention=False, dropout=0)
    schedule = DDPMScheduler(num_train_timesteps=10, prediction_type="v_prediction")
    weight = torch.ones(2, 4, 4)
    weight[:, :2] = 0

    def loss(mean: torch.Tensor) -> torch.Tensor:
        objective = DenoisingObjective(
            Denoiser(_Zero(), MemberGaussians((2, 4, 4)), torch.zeros(0, 4, 4)),
            schedule=schedule,
            weight=weight,
        )
        batch = torch.stack([mean, torch.zeros_like(mean)], dim=1)
        return objective(batch, torch.Generator().manual_seed(0))["loss"]

    mean = torch.randn(3, 2, 4, 4)
    land, ocean = mean.clone(), mean.clone()
    land[:, :, 0], ocean[:, :, 3] = 100.0, 100.0
    assert torch.equal(loss(land), loss(mean))
    assert loss(ocean) > 10 * loss(mean)
    assert unet.config.in_channels == 4  # with the estimate of the closed form


class _Zero(torch.nn.Module):
    """A network that predicts 0."""

    def forward(self, x, timestep):
        return type("Output", (), {"sample": torch.zeros_like(x[:, :2])})


@pytest.mark.parametrize("product", ["codec", "model"])
def test_a_flipped_bit_in_a_codec_or_a_model_is_found(trained, tiny_run, flip_bits, product):
    run = _with_codec_of(trained, tiny_run(), "run")
    shutil.copytree(trained.model_folder, run.model_folder)
    folder, load = {
        "codec": (run.codec_folder, run.codec),
        "model": (run.model_folder, run.pipeline),
    }[product]
    for file in flip_bits(folder, times=30):
        if file.suffix != ".md":
            with pytest.raises(UserError, match=str(run.directory)):
                load()
