"""The stages in two processes, started by `accelerate launch` and `torchrun`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from configs import load_experiment
from configs.run import Run
from data.archive.reader import StateArchive
from data.tensor_files import open_tensors
from latent_diffusion.latents import latent_datasets
from latent_diffusion.sample import draw
from tests.jobs import ROOT, command

pytestmark = pytest.mark.slow

TIMEOUT = 300  # seconds
PYTHON = (sys.executable, "-m")
TORCHRUN = (*PYTHON, "torch.distributed.run", "--nproc_per_node", "2", "--standalone")

# Trains the denoiser for a while, gathers every process's weights and gradients, then runs the
# stage and draws an ensemble.
CHECK = """
import json, sys
from pathlib import Path

import torch
from accelerate.utils import gather_object

from configs import load_experiment
from configs.run import Run
from configs.stages import train_denoiser
from latent_diffusion import latents, train
from latent_diffusion.latents import latent_datasets
from latent_diffusion.sample import draw
from training.launch import build_accelerator

torch.set_num_threads(1)
run = Run(load_experiment(Path(sys.argv[1])))
stage, settings, codec = run.denoiser_stage, run.settings.diffusion, run.codec()
accelerator = build_accelerator(run.directory / "check")
latents.AT_ONCE = 2
encode, encoded = codec.encode_distribution, []
codec.encode_distribution = lambda state: (encoded.append(len(state)), encode(state))[1]
path = stage.directory / "latents.safetensors"
datasets = latent_datasets(codec, run.archive, path=path)
denoiser = train.untrained_denoiser(settings, codec)
unet = denoiser.unet
trainer = train.build_trainer(
    settings, codec, denoiser=denoiser, datasets=datasets, accelerator=accelerator,
    directory=stage.directory,
)
before = sum(float(p.detach().double().sum()) for p in unet.parameters())
batches = trainer.batches(0)
losses = []
for _ in range(2):
    batch = next(batches)
    losses.append(float(trainer.step(batch)["loss"].detach()))
batch = next(batches)
trainer.accelerator.backward(trainer.objective(batch, trainer._generator(8))["loss"])
report = {
    "rank": accelerator.process_index,
    "world": torch.distributed.get_world_size(),
    "backend": torch.distributed.get_backend(),
    "share": len(batch),
    "encoded": sum(encoded),
    "losses": losses,
    "before": before,
    "weights": sum(float(p.detach().double().sum()) for p in unet.parameters()),
    "averages": sum(float(p.double().sum()) for p in trainer.ema.shadow_params),
    "gradients": sum(float(p.grad.double().abs().sum()) for p in unet.parameters()),
}
reports = gather_object([report])
train_denoiser(run)
draw(run.ensemble(guided=True), output=run.directory / "two.zarr")
if accelerator.is_main_process:
    Path(sys.argv[2]).write_text(json.dumps(reports))
torch.distributed.destroy_process_group()
"""


# Each process has a folder of its own, as where no file system is shared.
APART = """
import os, sys
from pathlib import Path

import torch

from data.errors import UserError
from training import launch

launch.VISIBLE_WITHIN = 0.5
folder = Path(sys.argv[1]) / os.environ["RANK"]
launch.require_shared_folder(folder.parent)
try:
    launch.require_shared_folder(folder)
except UserError as error:
    (folder / "refused").write_text(str(error))
torch.distributed.destroy_process_group()
"""


def _launch(*words: str, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        words,
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            _, errors = launcher.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # not kill: it has to end its processes
            _, errors = launcher.communicate()
    assert launcher.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, write_tiny_config, launch_environment):
    """The experiment run by two processes, and the records of each."""
    directory = tmp_path_factory.mktemp("two")
    config = write_tiny_config(directory)
    train = ("train", "autoencoder", str(config), "--autoencoder.blocks=1")
    _launch(*command(*train, processes=2), environment=launch_environment)
    script, report = directory / "check.py", directory / "report.json"
    script.write_text(CHECK)
    _launch(*TORCHRUN, str(script), str(config), str(report), environment=launch_environment)
    return Run(load_experiment(config)), json.loads(report.read_text())


def test_processes_that_share_no_folder_are_refused(tmp_path, launch_environment):
    script = tmp_path / "apart.py"
    script.write_text(APART)
    _launch(*TORCHRUN, str(script), str(tmp_path), environment=launch_environment)
    for rank in ("0", "1"):
        assert "1 of 2 processes do not see" in (tmp_path / rank / "refused").read_text()


def _checkpoint(run, stage: str) -> Path:
    return max((run.directory / stage).glob("checkpoint-*"))


@pytest.mark.parametrize("stage", ["autoencoder", "diffusion"])
def test_both_stages_ran_in_two_processes(two_processes, stage):
    run, _ = two_processes
    identity = json.loads((_checkpoint(run, stage) / "identity.json").read_text())
    assert identity["processes"] == 2
    assert identity["batch_size"] == 4


def test_there_were_two_ranks_that_shared_each_batch(two_processes):
    _, (first, second) = two_processes
    assert [first["rank"], second["rank"]] == [0, 1]
    for report in (first, second):
        assert (report["world"], report["backend"], report["share"]) == (2, "gloo", 2)


def test_two_processes_share_the_encoding_that_one_does(two_processes, tmp_path, monkeypatch):
    run, reports = two_processes
    states = sum(len(run.archive.indices(split)) for split in ("train", "validation"))
    shares = [report["encoded"] for report in reports]
    assert sum(shares) == states and min(shares) >= 2
    monkeypatch.setattr("latent_diffusion.latents.AT_ONCE", 2)
    latent_datasets(run.codec(), run.archive, path=tmp_path / "one")
    cache = run.denoiser_stage.directory / "latents.safetensors"
    one, two = (open_tensors(path) for path in (tmp_path / "one", cache))
    assert one[1] == two[1]
    for name, tensor in one[0].items():
        for item in range(len(tensor)):
            torch.testing.assert_close(two[0][name][item], tensor[item], atol=1e-6, rtol=0)
    assert [path.name for path in cache.parent.glob("latents*")] == [cache.name]


def test_gradients_and_weights_are_the_same_on_both(two_processes):
    _, (first, second) = two_processes
    assert first["losses"] != second["losses"], "each rank has its own part of the batch"
    for name in ("before", "weights", "averages", "gradients"):
        assert first[name] == second[name], name
    assert first["weights"] != first["before"]
    assert first["gradients"] > 0


def test_two_processes_draw_the_ensemble_that_one_draws(two_processes, tmp_path):
    run, _ = two_processes
    draw(run.ensemble(guided=True), output=tmp_path / "one.zarr")
    one = StateArchive.open(tmp_path / "one.zarr")
    two = StateArchive.open(run.directory / "two.zarr")
    assert two.member.tolist() == one.member.tolist() == [0, 1, 2]
    assert two.attributes["sampling"] == one.attributes["sampling"]
    torch.testing.assert_close(
        two.read(range(3)).to_channels(), one.read(range(3)).to_channels(), atol=1e-5, rtol=0
    )
