"""Distillation: one step of the student for many of the teacher's."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from data.errors import UserError
from latent_diffusion.chains import Chains, draw_chains, levels_of
from latent_diffusion.denoiser import NoiseLevel
from latent_diffusion.distil import distil, student_of, teacher_of
from latent_diffusion.objective import DistillationObjective
from latent_diffusion.pipeline import StatePipeline, model_directory
from latent_diffusion.sample import load_pipeline, member_generator
from training.loop import Trainer

OPTIONS = "{solver_order: 1, timestep_spacing: trailing}"


@pytest.fixture
def experiment(trained, tiny_experiment):
    """Loads the tiny experiment, to be distilled from the trained one to 2 steps."""

    def load(*overrides: str):
        training = "{samples: 24, batch_size: 4, warmup_samples: 4, checkpoint_samples: 12, "
        training += "validation_samples: 8, precision: fp32}"
        return tiny_experiment(
            *("--sampling.steps", "2", "--sampling.scheduler_options", OPTIONS),
            *("--distillation.teacher", str(trained.run_directory)),
            *("--distillation.teacher_steps", "8", "--distillation.chains", "80"),
            *("--distillation.training", training),
            *overrides,
        )

    return load


class Constant(nn.Module):
    """A network whose v is one number everywhere, and which remembers what it was asked."""

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
        Constant(v),
        timesteps=torch.tensor([900, 400]),
        levels=levels,
        weight=torch.ones(1, 4, 4),
        static_maps=torch.zeros(1, 4, 4),
    )
    generator = torch.Generator().manual_seed(1)
    assert objective(batch, generator)["loss"] < 1e-10
    assert set(objective.unet.asked.tolist()) <= {900, 400}
    shifted = batch.clone()
    shifted[:, -1] += 0.1
    assert max(objective(shifted, generator)["loss"].item() for _ in range(8)) > 1e-3


def test_chains_end_where_the_teacher_does(trained, experiment):
    distilled = experiment()
    teacher = load_pipeline(teacher_of(distilled, distilled.distillation))
    chains = draw_chains(teacher, [member_generator(-1, m) for m in (0, 1)], every=4)
    assert chains.shape[:2] == (2, 3)
    drawn = teacher(generators=[member_generator(-1, m) for m in (0, 1)]).latents
    torch.testing.assert_close(chains[:, -1], drawn)
    levels = levels_of(student_of(teacher, distilled).scheduler)
    assert len(levels) == 3
    assert levels[-1] == NoiseLevel(1.0, 0.0)


def test_the_student_comes_nearer_to_the_teacher_than_the_teacher_itself_in_as_few_steps(
    experiment,
):
    longer = "{samples: 3200, batch_size: 16, learning_rate: 3e-3, warmup_samples: 16, "
    longer += "checkpoint_samples: 3200, validation_samples: 3200, precision: fp32}"
    distilled = experiment("--distillation.chains", "512", "--distillation.training", longer)
    distil(distilled)
    student = load_pipeline(distilled)
    assert student.steps == 2
    teacher_run = teacher_of(distilled, distilled.distillation)
    teacher = load_pipeline(teacher_run)
    members = range(16)
    truth, hasty, learnt = (
        pipeline(generators=[member_generator(5, m) for m in members], steps=steps).latents
        for pipeline, steps in ((teacher, 8), (student_of(teacher, distilled), 2), (student, 2))
    )
    assert (learnt - truth).square().mean() < 0.75 * (hasty - truth).square().mean()


def test_a_released_student_draws_in_its_own_number_of_steps(experiment):
    distilled = experiment()
    distil(distilled)
    student = StatePipeline.from_pretrained(model_directory(distilled.run_directory))
    assert student.steps == 2
    assert student(generators=[member_generator(0, 0)]).state.temperature.isfinite().all()


def test_a_resumed_distillation_equals_an_uninterrupted_one(
    experiment, interrupt_training, assert_same_training, tmp_path
):
    whole, parted = (
        experiment().model_copy(update={"run_directory": tmp_path / name})
        for name in ("whole", "parted")
    )
    distil(whole)
    interrupt_training(distil, parted, at=12)
    assert not model_directory(parted.run_directory).exists()
    distil(parted)
    assert_same_training(
        whole.run_directory / "distillation", parted.run_directory / "distillation"
    )


def test_a_finished_distillation_is_not_repeated(experiment, monkeypatch):
    distilled = experiment()
    distil(distilled)
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    distil(distilled)


def test_a_distilled_model_is_no_model_of_the_undistilled_experiment(experiment, tiny_experiment):
    distilled = experiment()
    distil(distilled)
    with pytest.raises(UserError, match=r"other settings \(distillation"):
        load_pipeline(experiment("--sampling.steps", "4"))
    with pytest.raises(UserError, match=r"other settings \(distillation"):
        load_pipeline(tiny_experiment())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("--sampling.scheduler_options.solver_order", "2"), "steps that remember none before"),
        (("--distillation.teacher_steps", "7"), "7 is no multiple of sampling.steps 2"),
        (("--run_directory", "same", "--distillation.teacher", "same"), "needs its own"),
    ],
)
def test_what_cannot_be_distilled_is_refused(experiment, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        experiment(*overrides)


def test_steps_that_miss_the_students_noise_levels_are_refused(experiment):
    with pytest.raises(UserError, match="timestep_spacing"):
        distil(experiment("--sampling.scheduler_options.use_karras_sigmas", "true"))


def test_an_experiment_without_distillation_is_refused(trained):
    with pytest.raises(UserError, match="no section distillation"):
        distil(trained)


def test_chains_are_read_one_by_one(experiment, tmp_path):
    distilled = experiment()
    distil(distilled)
    files = sorted((distilled.run_directory / "distillation").glob("chains-*/*.safetensors"))
    chains = Chains(files)
    assert len(files) == 2
    assert len(chains) == 80
    chain, item = chains[70]
    assert item == 70
    assert chain.shape[0] == 3
