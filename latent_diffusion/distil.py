"""The distillation stage: a denoiser that needs few steps, learnt from a trained one.

Run it with `accelerate launch -m latent_diffusion.distil CONFIG [--section.key value ...]`.

The trained denoiser, the teacher, draws chains of many steps. The student, at first a copy of it,
learns to go with one step where the teacher goes with many (Salimans & Ho 2022, in one go instead
of halving after halving, and on chains that begin with noise instead of data). A chain has no noise
of its own, so where it leads is settled by where it starts, and no noise has to be averaged over.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import SchedulerMixin, UNet2DModel

from configs import Experiment, parse_command_line
from configs.schema import DistillationSettings
from data.errors import UserError, user_errors_in_one_sentence
from latent_diffusion.chains import Chains, draw_chains_into, levels_of
from latent_diffusion.denoiser import first_order_step
from latent_diffusion.objective import DistillationObjective
from latent_diffusion.pipeline import StatePipeline, build_pipeline, model_directory
from latent_diffusion.sample import known_climatology, load_pipeline, weights_digest
from latent_diffusion.train import model_settings, save_model
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import differing_settings, is_done, put_in_place

EXAMPLE = "configs/few_steps/quickstart.yaml"
HELD_OUT = 16  # one chain in so many judges the training on the others
STEP_TOLERANCE = 1e-4  # of samples of variance 1


def main() -> None:
    """Distil the experiment's teacher."""
    with user_errors_in_one_sentence():
        distil(parse_command_line(__doc__ or ""))


def distil(experiment: Experiment) -> None:
    """Draw the teacher's chains, train the student and save the model folder; resumes by itself."""
    settings = _settings(experiment)
    teacher_run = teacher_of(experiment, settings)
    product = model_directory(experiment.run_directory)
    weights = weights_digest(model_directory(settings.teacher))
    record = model_settings(experiment) | {"teacher": weights}
    if is_done(product, record) or (weights is None and _stands(product, experiment)):
        return
    if weights is None:
        raise UserError(
            f"{settings.teacher}, the teacher of {experiment.name}, holds no model; train it first"
        )
    directory = stage_directory(experiment)
    accelerator = build_accelerator(directory, precision=settings.training.precision)
    teacher = load_pipeline(teacher_run).to(accelerator.device)
    student = student_of(teacher, experiment)
    identity = {"teacher": weights, **chains_settings(experiment, settings)}
    folder = _chains_folder(directory, identity)
    files = draw_chains_into(
        folder,
        teacher=teacher,
        student=student.scheduler,
        count=settings.chains,
        batch_size=experiment.sampling.batch_size,
        # Seeds of ensembles are not below 0: none that is judged starts from these chains' noise.
        seed=-1 - settings.training.seed,
    )
    trainer = build_trainer(
        settings,
        student,
        chains=Chains.of(files),
        accelerator=accelerator,
        directory=directory,
        identity=identity,
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    if accelerator.is_main_process:
        known = known_climatology(teacher_run)
        student.to("cpu").unet.eval()
        put_in_place(product, record, lambda folder: save_model(student, experiment, known, folder))
        shutil.rmtree(folder)  # of a large ocean they are tens of gigabytes
    accelerator.wait_for_everyone()


def teacher_of(experiment: Experiment, settings: DistillationSettings) -> Experiment:
    """The experiment that the student learns from, with the sampler of its chains.

    It is the student's with more steps, and of second order where the student's has an order.
    """
    sampling = experiment.sampling
    options = sampling.scheduler_options
    order = {"solver_order": 2} if "solver_order" in options else {}
    sampler = {"steps": settings.teacher_steps, "scheduler_options": options | order}
    return experiment.model_copy(
        update={
            "run_directory": settings.teacher,
            "distillation": None,
            "sampling": sampling.model_copy(update=sampler),
        }
    )


def student_of(teacher: StatePipeline, experiment: Experiment) -> StatePipeline:
    """A copy of the teacher, without dropout, and with the experiment's sampler.

    Raises `UserError` for a sampler with steps of another kind than `first_order_step`.
    """
    unet = UNet2DModel.from_config(teacher.unet.config, dropout=0.0)
    student = build_pipeline(experiment, unet=unet, codec=teacher.codec)
    student.unet.load_state_dict(teacher.unet.state_dict())
    student.set_steps(student.steps)
    _check_steps(student.scheduler)
    student.set_steps(student.steps)
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
    settings: DistillationSettings,
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
    return Trainer.of_samples(
        objective,
        training=learnt,
        validation=held_out,
        plan=settings.training.plan(),
        workers=settings.training.workers,
        accelerator=accelerator,
        directory=directory,
        label="distillation",
        identity=identity,
    )


def chains_settings(experiment: Experiment, settings: DistillationSettings) -> dict[str, object]:
    """What the teacher's chains depend on, beside its weights."""
    sampler = {"steps", "scheduler", "scheduler_options"}
    return {
        "sampler": experiment.sampling.model_dump(mode="json", include=sampler),
        "teacher_steps": settings.teacher_steps,
        "chains": settings.chains,
        "chains_seed": settings.training.seed,
    }


def stage_directory(experiment: Experiment) -> Path:
    """Where the stage keeps the teacher's chains, checkpoints and logs."""
    return experiment.run_directory / "distillation"


def _chains_folder(directory: Path, identity: dict[str, object]) -> Path:
    """Where these chains are kept, apart from any others."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return directory / f"chains-{digest}"


def _stands(product: Path, experiment: Experiment) -> bool:
    """Whether the model was made with these settings, by whatever teacher."""
    return product.is_dir() and not differing_settings(product, model_settings(experiment))


def _settings(experiment: Experiment) -> DistillationSettings:
    if experiment.distillation is None:
        raise UserError(f"the configuration has no section distillation; see {EXAMPLE}")
    return experiment.distillation


if __name__ == "__main__":
    main()
