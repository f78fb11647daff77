"""The distillation stage: training a denoiser that needs few steps from one that needs many.

The trained denoiser, the teacher, draws chains of many steps. The student, initially a copy of it,
learns to cover several of these steps in one (Salimans & Ho 2022, but in a single stage instead of
repeated halving, and on chains that start from noise instead of data). Chains are deterministic, so
the initial noise determines the target, and no average over noise is needed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from copy import deepcopy
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
from training.launch import build_accelerator, on_main
from training.loop import Trainer
from training.plan import TrainingPlan
from training.stage import Stage

HELD_OUT = 16  # one in 16 chains is for validation
STEP_TOLERANCE = 1e-4  # for samples of variance 1


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
    """Draw the teacher's chains, train the student and publish it; an interrupted run resumes.

    scheduler, steps: for the student's chains; batch_size: for the teacher's; identity: settings on
    which the chains depend; release: metadata of the model's folder
    """
    accelerator = build_accelerator(stage.directory)
    teacher = teacher.to(accelerator.device)
    student = student_of(teacher, scheduler=scheduler, steps=steps)
    folder = _chains_folder(stage.directory, identity)
    files = draw_chains_into(
        folder,
        teacher=teacher,
        student=student.scheduler,
        count=settings.chains,
        batch_size=batch_size,
        seed=_chains_seed(settings),
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
    stage.publish(partial(save_model, student, release))
    on_main(lambda: shutil.rmtree(folder))  # tens of gigabytes for a large ocean


def student_of(teacher: StatePipeline, *, scheduler: SchedulerMixin, steps: int) -> StatePipeline:
    """A copy of the teacher without dropout and with its own sampler.

    Raises `UserError` for a sampler whose step is not `first_order_step`.
    """
    unet = UNet2DModel.from_config(teacher.unet.config, dropout=0.0)
    student = StatePipeline(
        unet,
        teacher.gaussian,
        scheduler,
        teacher.codec,
        steps=steps,
        expectation=teacher.expectation,
        embedding=deepcopy(teacher.embedding),
    )
    student.unet.load_state_dict(teacher.unet.state_dict())
    student.set_steps(steps)
    _check_steps(student.scheduler)
    student.set_steps(steps)
    return student


def _check_steps(scheduler: SchedulerMixin) -> None:
    """Compare the scheduler's steps for random predictions with `first_order_step`."""
    generator = torch.Generator().manual_seed(0)
    sample, *velocities = torch.randn(1 + len(scheduler.timesteps), 1, 1, 4, 4, generator=generator)
    for timestep, v, (level, following) in zip(
        scheduler.timesteps, velocities, pairwise(levels_of(scheduler)), strict=True
    ):
        expected = first_order_step(v, sample, level, following)
        sample = scheduler.step(v, timestep, sample).prev_sample
        if not torch.allclose(sample, expected, atol=STEP_TOLERANCE):
            raise UserError(
                f"a step of {type(scheduler).__name__} with these options depends on more than the "
                "current sample; distillation needs sampling.scheduler "
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
    """The trainer of the student."""
    validation, training = chains.split(held_out=HELD_OUT)
    if plan.gradient_checkpointing:
        student.unet.enable_gradient_checkpointing()
    objective = DistillationObjective(
        student.denoiser,
        timesteps=student.scheduler.timesteps,
        levels=levels_of(student.scheduler),
        weight=student.codec.latent_weight,
    )
    return Trainer(
        objective,
        plan=plan,
        training=training,
        validation=validation,
        accelerator=accelerator,
        directory=directory,
        label="distillation",
        identity=identity,
    )


def chains_settings(
    settings: DistillationSettings, sampling: SamplingSettings
) -> dict[str, object]:
    """The settings on which the teacher's chains depend, apart from its weights."""
    sampler = {"steps", "scheduler", "scheduler_options"}
    return {
        "sampler": sampling.model_dump(mode="json", include=sampler),
        "teacher_steps": settings.teacher_steps,
        "chains": settings.chains,
        "chains_seed": settings.training.seed,
    }


def _chains_seed(settings: DistillationSettings) -> int:
    """Below 0, unlike seeds of ensembles: no evaluated sample starts from the noise of a chain."""
    return -1 - settings.training.seed


def _chains_folder(directory: Path, identity: dict[str, object]) -> Path:
    """The folder of chains with this identity."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return directory / f"chains-{digest}"
