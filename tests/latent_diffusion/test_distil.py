"""Distillation: one step of the student replaces several of the teacher."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from configs.run import Run
from configs.stages import distil, train_codec, train_denoiser
from data.checksums import CHECKSUMS
from data.errors import UserError
from latent_diffusion.chains import Chains, draw_chains, levels_of
from latent_diffusion.denoiser import Denoiser, NoiseLevel
from latent_diffusion.distil import student_of
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.noise import member_generator
from latent_diffusion.objective import DistillationObjective
from latent_diffusion.pipeline import StatePipeline
from training.loop import Trainer

pytestmark = pytest.mark.slow

OPTIONS = "{solver_order: 1, timestep_spacing: trailing}"


@pytest.fixture
def experiment(trained, tiny_run):
    """Loads the tiny experiment with distillation of the trained model to 2 steps."""

    def load(*overrides: str):
        training = "{samples: 24, batch_size: 4, warmup_samples: 4, checkpoint_samples: 12, "
        training += "validation_samples: 8, precision: fp32}"
        return tiny_run(
            *("--sampling.steps", "2", "--sampling.scheduler_options", OPTIONS),
            *("--distillation.teacher", str(trained.directory)),
            *("--distillation.teacher_steps", "8", "--distillation.chains", "80"),
            *("--distillation.training", training),
            *overrides,
        )

    return load


def _student(teacher: StatePipeline, run: Run) -> StatePipeline:
    return student_of(teacher, scheduler=run.scheduler(), steps=run.settings.sampling.steps)


class Constant(nn.Module):
    """A network with a constant v that records its inputs."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor):
        self.asked = timestep
        return type("Output", (), {"sample": self.value.expand(sample[:, :1].shape)})


def test_the_error_vanishes_where_one_step_leads_to_the_chains_end():
    levels = [NoiseLevel(math.cos(a), math.sin(a)) for a in (1.4, 0.7)] + [NoiseLevel(1.0, 0.0)]
    v = 0.3
    first = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    chain = [first]
    for here, there in pairwise(levels):
        clean = here.signal * chain[-1] - here.noise * v
        noise = here.noise * chain[-1] + here.signal * v
        chain.append(there.signal * clean + there.noise * noise)
    batch = torch.stack(chain, dim=1)
    objective = DistillationObjective(
        Denoiser(Constant(v), MemberGaussians((1, 4, 4)), torch.zeros(1, 4, 4)),
        timesteps=torch.tensor([900, 400]),
        levels=levels,
        weight=torch.ones(1, 4, 4),
    )
    generator = torch.Generator().manual_seed(1)
    assert objective(batch, generator)["loss"] < 1e-10
    assert set(objective.denoiser.unet.asked.tolist()) <= {900, 400}
    shifted = batch.clone()
    shifted[:, -1] += 0.1
    assert max(objective(shifted, generator)["loss"].item() for _ in range(8)) > 1e-3


def test_chains_end_where_the_teacher_does(trained, experiment):
    distilled = experiment()
    teacher = distilled.teacher.pipeline()
    chains = draw_chains(teacher, [member_generator(-1, m) for m in (0, 1)], every=4)["chains"]
    assert chains.shape[:2] == (2, 3)
    drawn = teacher.draw(generators=[member_generator(-1, m) for m in (0, 1)]).latents
    torch.testing.assert_close(chains[:, -1], drawn)
    levels = levels_of(_student(teacher, distilled).scheduler)
    assert len(levels) == 3
    assert levels[-1] == NoiseLevel(1.0, 0.0)


def test_the_student_comes_nearer_to_the_teacher_than_the_teacher_itself_in_as_few_steps(
    experiment,
):
    longer = "{samples: 3200, batch_size: 16, learning_rate: 3e-3, warmup_samples: 16, "
    longer += "checkpoint_samples: 3200, validation_samples: 3200, precision: fp32}"
    distilled = experiment("--distillation.chains", "512", "--distillation.training", longer)
    distil(distilled)
    student = distilled.pipeline()
    assert student.steps == 2
    teacher = distilled.teacher.pipeline()
    members = range(16)
    truth, hasty, learnt = (
        pipeline.draw(generators=[member_generator(5, m) for m in members], steps=steps).latents
        for pipeline, steps in ((teacher, 8), (_student(teacher, distilled), 2), (student, 2))
    )
    assert (learnt - truth).square().mean() < 0.75 * (hasty - truth).square().mean()


def test_a_released_student_draws_in_its_own_number_of_steps(experiment):
    distilled = experiment()
    distil(distilled)
    student = StatePipeline.from_pretrained(distilled.model_folder)
    assert student.steps == 2
    assert student.draw(generators=[member_generator(0, 0)]).state.temperature.isfinite().all()


def test_a_resumed_distillation_equals_an_uninterrupted_one(
    experiment, interrupt_training, assert_same_training, tmp_path
):
    whole, parted = (
        experiment().with_settings(run_directory=tmp_path / name) for name in ("whole", "parted")
    )
    distil(whole)
    interrupt_training(distil, parted, at=12)
    assert not parted.model_folder.exists()
    # A damaged file of chains is drawn again.
    damaged = min(parted.directory.glob("distillation/chains-*/*"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    distil(parted)
    assert_same_training(whole.directory / "distillation", parted.directory / "distillation")


def test_gradient_checkpointing_changes_no_student(
    experiment, assert_same_training, checkpointed, tmp_path
):
    plain = experiment().with_settings(run_directory=tmp_path / "plain")
    again = experiment("--distillation.training.gradient_checkpointing", "true")
    again = again.with_settings(run_directory=tmp_path / "again")
    distil(plain)
    assert checkpointed == []
    distil(again)
    assert len(checkpointed) == 1
    assert_same_training(plain.directory / "distillation", again.directory / "distillation")


def test_a_finished_distillation_is_not_repeated(experiment, monkeypatch):
    distilled = experiment()
    distil(distilled)
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    distil(distilled)


def test_a_distilled_model_is_no_model_of_the_undistilled_experiment(experiment, tiny_run):
    distilled = experiment()
    distil(distilled)
    with pytest.raises(UserError, match=r"other settings \(distillation"):
        experiment("--sampling.steps", "4").pipeline()
    with pytest.raises(UserError, match=r"other settings \(distillation"):
        tiny_run().pipeline()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("--distillation.teacher_steps", "7"), "7 is not a multiple of sampling.steps 2"),
        (("--run_directory", "same", "--distillation.teacher", "same"), "needs its own"),
    ],
)
def test_unsuitable_settings_of_distillation_are_refused(experiment, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        experiment(*overrides)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("UniPCMultistepScheduler", OPTIONS),
        ("DPMSolverMultistepScheduler", "{solver_order: 2, timestep_spacing: trailing}"),
        (
            "DPMSolverMultistepScheduler",
            "{solver_order: 1, timestep_spacing: trailing, algorithm_type: sde-dpmsolver++}",
        ),
        ("DDIMScheduler", "{timestep_spacing: trailing, set_alpha_to_one: false}"),
    ],
)
def test_steps_of_another_kind_than_the_student_learns_for_are_refused(experiment, name, options):
    distilled = experiment("--sampling.steps", "4", "--sampling.scheduler", name)
    sampling = distilled.settings.sampling.model_copy(
        update={"scheduler_options": yaml.safe_load(options)}
    )
    with pytest.raises(UserError, match="depends on more than the current sample"):
        distil(distilled.with_settings(sampling=sampling))


def test_ddim_is_a_sampler_of_students(experiment):
    options = "{timestep_spacing: trailing}"
    sampling = experiment().settings.sampling.model_copy(
        update={"scheduler": "DDIMScheduler", "scheduler_options": yaml.safe_load(options)}
    )
    distilled = experiment().with_settings(sampling=sampling)
    distil(distilled)
    assert distilled.pipeline().steps == 2


def test_steps_that_miss_the_students_noise_levels_are_refused(experiment):
    with pytest.raises(UserError, match="timestep_spacing"):
        distil(experiment("--sampling.scheduler_options.use_karras_sigmas", "true"))


def test_a_teacher_cannot_have_more_steps_than_its_schedule_has_noise_levels(experiment):
    with pytest.raises(UserError, match="does not support 1024 steps"):
        distil(experiment("--distillation.teacher_steps", "1024"))


def test_an_experiment_without_distillation_is_refused(trained):
    with pytest.raises(UserError, match="no section distillation"):
        distil(trained)


@pytest.mark.parametrize("stage", [train_codec, train_denoiser])
def test_the_training_stages_refuse_a_configuration_with_distillation(experiment, stage):
    with pytest.raises(
        UserError, match=r"trains no networks of its own.*halocline train distillation"
    ):
        stage(experiment())


@pytest.mark.parametrize(
    "overrides",
    [
        ("--distillation.teacher_steps", "4"),
        ("--sampling.steps", "4"),
        ("--distillation.chains", "90"),
    ],
)
def test_training_on_other_chains_is_not_resumed(experiment, interrupt_training, overrides):
    interrupt_training(distil, experiment(), at=12)
    with pytest.raises(UserError, match="other settings"):
        distil(experiment(*overrides))


def test_training_with_another_teacher_is_not_resumed(
    trained, experiment, interrupt_training, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(trained.directory, other)
    weights = (other / "model") / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, weights)
    (other / "model" / CHECKSUMS).unlink()
    interrupt_training(distil, experiment(), at=12)
    with pytest.raises(UserError, match=r"other settings \(teacher"):
        distil(experiment("--distillation.teacher", str(other)))


def test_a_missing_teacher_is_named_unless_the_student_is_finished(trained, experiment, tmp_path):
    gone = tmp_path / "gone"
    shutil.copytree(trained.directory, gone)
    distilled = experiment("--distillation.teacher", str(gone))
    distil(distilled)
    shutil.rmtree(gone)
    distil(distilled)
    shutil.rmtree(distilled.model_folder)
    with pytest.raises(UserError, match="gone, the teacher of tiny, holds no model"):
        distil(distilled)


def test_chains_are_read_one_by_one_and_some_held_out(tmp_path):
    stored = torch.arange(6.0)[:, None, None, None, None].expand(6, 3, 1, 2, 2).contiguous()
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file, part in zip(files, stored.split(4), strict=True):
        save_file({"chains": part.contiguous()}, file)
    held_out, learnt = Chains.of(files).split(held_out=3)
    assert (len(held_out), len(learnt)) == (2, 4)
    for chains, first in ((held_out, 0), (learnt, 2)):
        for item in range(len(chains)):
            chain, position = chains[item]
            assert position == item
            assert torch.equal(chain, stored[first + item])
    assert len(Chains.of(files[1:]).split(held_out=16)[0]) == 1
