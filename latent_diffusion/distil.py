"""The distillation stage: a denoiser that needs few steps, learnt from a trained one.

The trained denoiser, the teacher, draws chains of many steps. The student, at first a copy of it,
learns to go with one step where the teacher goes with many (Salimans & Ho 2022, in one go instead
of halving after halving, and on chains that begin with noise instead of data). A chain has no noise
of its own, so where it leads is settled by where it starts, and no noise has to be averaged over.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import SchedulerMixin, UNet2DModel

from data.errors import UserError
from latent_diffusion.chains import Chains, draw_chains_into, levels_of
from latent_diffusion.denoiser import first_order_step
from latent_diffusion.objective import DistillationObjective
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.release import Release, save_model
from latent_diffusion.settings import DistillationSettings, SamplingSettings
from training.launch import build_accelerator
from training.loop import Trainer
from training.plan import TrainingPlan
from training.stage import Stage

HELD_OUT = 16  # one chain in so many judges the training on the others
STEP_TOLERANCE = 1e-4  # of samples of variance 1


def distil(
    stage: Stage,
    settings: DistillationSettings,
    *,
    teacher: StatePipeline,
    scheduler: SchedulerMixin,
    steps: int,
    batch_size: int,
    identity: dict[str, object],
    release: Release,
) -> None:
    """Draw the teacher's chains, train the student and publish the model; resumes by itself.

    scheduler, steps: of the student's chains; batch_size: of the teacher's; identity: what the
    chains depend on; release: what the model's folder says of it
    """
    accelerator = build_accelerator(stage.directory, precision=settings.training.precision)
    teacher = teacher.to(accelerator.device)
    student = student_of(teacher, scheduler=scheduler, steps=steps)
    folder = _chains_folder(stage.directory, identity)
    files = draw_chains_into(
        folder,
        teacher=teacher,
        student=student.scheduler,
        count=settings.chains,
        batch_size=batch_size,
        # Seeds of ensembles are not below 0: none that is judged starts from these chains' noise.
        seed=-1 - settings.training.seed,
    )
    trainer = build_trainer(
        settings.training,
        student,
        chains=Chains.of(files),
        accelerator=accelerator,
        directory=stage.directory,
        identity=identity,
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    student.to("cpu").unet.eval()
    stage.publish(partial(save_model, student, release), accelerator=accelerator)
    if accelerator.is_main_process:
        shutil.rmtree(folder)  # of a large ocean they are tens of gigabytes
    accelerator.wait_for_everyone()


def student_of(teacher: StatePipeline, *, scheduler: SchedulerMixin, steps: int) -> StatePipeline:
    """A copy of the teacher, without dropout, and with a sampler of its own.

    Raises `UserError` for a sampler with steps of another kind than `first_order_step`.
    """
    unet = UNet2DModel.from_config(teacher.unet.config, dropout=0.0)
    student = StatePipeline(unet, scheduler, teacher.codec, steps=steps)
    student.unet.load_state_dict(teacher.unet.state_dict())
    student.set_steps(steps)
    _check_steps(student.scheduler)
    student.set_steps(steps)
    return student


def _check_steps(scheduler: SchedulerMixin) -> None:
    """Take the steps of a chain of noise, and compare them with what the student will learn for."""
    generator = torch.Generator().manual_seed(0)
    sample, *velocities = torch.randn(1 + len(scheduler.timesteps), 1, 1, 4, 4, generator=generator)
    for timestep, v, (level, following) in zip(
        scheduler.timesteps, velocities, pairwise(levels_of(scheduler)), strict=True
    ):
        expected = first_order_step(v, sample, level, following)
        sample = scheduler.step(v, timestep, sample).prev_sample
        if not torch.allclose(sample, expected, atol=STEP_TOLERANCE):
            raise UserError(
                f"the steps of {type(scheduler).__name__} with these options depend on more than "
                "where they begin; a student needs sampling.scheduler "
                "DPMSolverMultistepScheduler with scheduler_options {solver_order: 1, "
                "timestep_spacing: trailing}"
            )


def build_trainer(
    plan: TrainingPlan,
    student: StatePipeline,
    *,
    chains: Chains,
    accelerator: Accelerator,
    directory: Path,
    identity: dict[str, object],
) -> Trainer:
    """Everything that the student's training needs, assembled."""
    held_out, learnt = chains.split(held_out=HELD_OUT)
    objective = DistillationObjective(
        student.unet,
        timesteps=student.scheduler.timesteps,
        levels=levels_of(student.scheduler),
        weight=student.codec.latent_weight,
        static_maps=student.codec.static_maps,
    )
    return Trainer(
        objective,
        plan=plan,
        training=learnt,
        validation=held_out,
        accelerator=accelerator,
        directory=directory,
        label="distillation",
        identity=identity,
    )


def chains_settings(
    settings: DistillationSettings, sampling: SamplingSettings
) -> dict[str, object]:
    """What the teacher's chains depend on, beside its weights."""
    sampler = {"steps", "scheduler", "scheduler_options"}
    return {
        "sampler": sampling.model_dump(mode="json", include=sampler),
        "teacher_steps": settings.teacher_steps,
        "chains": settings.chains,
        "chains_seed": settings.training.seed,
    }


def _chains_folder(directory: Path, identity: dict[str, object]) -> Path:
    """Where these chains are kept, apart from any others."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return directory / f"chains-{digest}"
