"""The distillation stage: a denoiser that needs few steps, learnt from a trained one.

Run it with `accelerate launch -m latent_diffusion.distil CONFIG [--section.key value ...]`.

The trained denoiser, the teacher, draws chains of many steps. The student, at first a copy of it,
learns to go with one step where the teacher goes with many (Salimans & Ho 2022, in one go instead
of halving after halving, and on chains that begin with noise instead of data). A chain has no noise
of its own, so what it leads to is settled by where it starts: nothing is averaged over, and the
student's states are as different from each other as the teacher's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator
from diffusers import UNet2DModel

from configs import Experiment, parse_command_line
from configs.schema import DistillationSettings
from data.batches import Samples
from data.errors import UserError, user_errors_in_one_sentence
from latent_diffusion.chains import Chains, chains_folder, draw_chains_into, levels_of
from latent_diffusion.objective import DistillationObjective
from latent_diffusion.pipeline import StatePipeline, build_scheduler, model_directory
from latent_diffusion.sample import known_climatology, load_pipeline, weights_digest
from latent_diffusion.train import build_schedule, model_settings, save_model
from training.batches import batches_from_counter, batches_once
from training.launch import build_accelerator
from training.loop import Trainer
from training.stage import is_done, put_in_place

EXAMPLE = "configs/few_steps/quickstart.yaml"
HELD_OUT = 16  # one file of chains in so many judges the training on the others


def main() -> None:
    """Distil the experiment's teacher."""
    with user_errors_in_one_sentence():
        distil(parse_command_line(__doc__ or ""))


def distil(experiment: Experiment) -> None:
    """Draw the teacher's chains, train the student and save the model folder; resumes by itself."""
    settings = _settings(experiment)
    teacher_run = teacher_of(experiment, settings)
    teacher = load_pipeline(teacher_run)
    product = model_directory(experiment.run_directory)
    record = stage_record(experiment, teacher_run)
    if is_done(product, record):
        return
    directory = stage_directory(experiment)
    accelerator = build_accelerator(directory, precision=settings.training.precision)
    student = student_of(teacher, experiment)
    files = draw_chains_into(
        chains_folder(directory, record),
        teacher=teacher.to(accelerator.device),
        student=student.scheduler,
        count=settings.chains,
        # Seeds of ensembles are not below 0: none that is judged starts from these chains' noise.
        seed=-1 - settings.training.seed,
    )
    trainer = build_trainer(
        settings, student, datasets=_split(files), accelerator=accelerator, directory=directory
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    if accelerator.is_main_process:
        known = known_climatology(teacher_run)
        student.to("cpu").unet.eval()
        put_in_place(product, record, lambda folder: save_model(student, experiment, known, folder))
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
    """A copy of the teacher, without dropout, and with the experiment's sampler."""
    unet = UNet2DModel.from_config(teacher.unet.config, dropout=0.0)
    sampling = experiment.sampling
    scheduler = build_scheduler(
        sampling.scheduler, sampling.scheduler_options, schedule=build_schedule(experiment)
    )
    student = StatePipeline(unet, scheduler, teacher.codec, steps=sampling.steps)
    student.unet.load_state_dict(teacher.unet.state_dict())
    student.set_steps(sampling.steps)
    return student


def build_trainer(
    settings: DistillationSettings,
    student: StatePipeline,
    *,
    datasets: dict[str, Samples],
    accelerator: Accelerator,
    directory: Path,
) -> Trainer:
    """Everything that the student's training needs, assembled."""
    plan = settings.training.plan()
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
        training_batches=batches_from_counter(
            datasets["train"],
            plan=plan,
            accelerator=accelerator,
            workers=settings.training.workers,
        ),
        validation_batches=batches_once(datasets["validation"], plan=plan, accelerator=accelerator),
        accelerator=accelerator,
        directory=directory,
        label="distillation",
        identity={"chains": len(datasets["train"])},
    )


def stage_directory(experiment: Experiment) -> Path:
    """Where the stage keeps the teacher's chains, checkpoints and logs."""
    return experiment.run_directory / "distillation"


def stage_record(experiment: Experiment, teacher_run: Experiment) -> dict[str, object]:
    """The settings that the model depends on, and the teacher's weights."""
    weights = weights_digest(model_directory(teacher_run.run_directory))
    return model_settings(experiment) | {"teacher": weights}


def _settings(experiment: Experiment) -> DistillationSettings:
    if experiment.distillation is None:
        raise UserError(f"the configuration has no section distillation; see {EXAMPLE}")
    return experiment.distillation


def _split(files: Sequence[Path]) -> dict[str, Samples]:
    """Chains to learn from, and others to judge by."""
    held_out = max(1, len(files) // HELD_OUT)
    return {"train": Chains(files[held_out:]), "validation": Chains(files[:held_out])}


if __name__ == "__main__":
    main()
