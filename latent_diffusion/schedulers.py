"""Noise schedules for training and diffusers schedulers for sampling."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDPMScheduler, SchedulerMixin

from data.documents import read_object, reason
from data.errors import UserError, shown

SchedulerOptions = dict[str, bool | int | float | str]

# Fixed by the training; not options of a sampler.
TRAINED_WITH = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "prediction_type",
    "use_flow_sigmas",
}

TRAIN_TIMESTEPS = 1000
MOST_TIMESTEPS = 100_000  # of a training; a table of them is made
LARGEST_NOISE = -5.1  # log signal-to-noise, recommended by diffusers for cosine schedules


def build_schedule(train_timesteps: int) -> DDPMScheduler:
    """The noise schedule for training: squared cosine, v-prediction, no clipping."""
    return DDPMScheduler(
        num_train_timesteps=train_timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
    )


def build_scheduler(
    name: str, options: SchedulerOptions, *, schedule: DDPMScheduler
) -> SchedulerMixin:
    """The diffusers scheduler `name` on the noise schedule of the training.

    Raises `UserError` for a scheduler for other kinds of models, and for options that it does not
    have or that the training has fixed.
    """
    usable = usable_schedulers()
    if name not in usable:
        raise UserError(
            f"the scheduler {shown(name)} cannot sample this model; use one of "
            f"{', '.join(sorted(usable))}"
        )
    accepted = [option for option in _options(usable[name]) if option not in TRAINED_WITH]
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise UserError(f"{name} has no option {shown(unknown[0])}; it has {', '.join(accepted)}")
    try:
        return usable[name].from_config(schedule.config, **{**_recommended(accepted), **options})
    except (NotImplementedError, ValueError, TypeError, ImportError) as error:
        raise UserError(
            f"{name} does not work with the options {shown(options)}: {reason(error)}"
        ) from error


def usable_schedulers() -> dict[str, type[SchedulerMixin]]:
    """The diffusers schedulers for models with a noise schedule like ours, by name."""
    compatible = build_schedule(TRAIN_TIMESTEPS).compatibles
    return {c.__name__: c for c in compatible if "beta_schedule" in _options(c)}


def set_timesteps(scheduler: SchedulerMixin, steps: int, *, device: torch.device) -> None:
    """Set a chain of `steps` steps. Raises `UserError` if the scheduler cannot."""
    most = scheduler.config.num_train_timesteps
    if steps > most:
        raise UserError(
            f"{type(scheduler).__name__} does not support {steps} steps: the model was "
            f"trained with {most} levels of noise; use at most {most} steps"
        )
    try:
        scheduler.set_timesteps(steps, device=device)
    except ValueError as error:
        raise too_few(scheduler, steps) from error
    if not scheduler.timesteps.isfinite().all():
        raise too_few(scheduler, steps)


def begin_at(scheduler: SchedulerMixin, step: int) -> None:
    """Let the chain begin at a step."""
    if hasattr(scheduler, "set_begin_index"):
        # Otherwise it looks up its position by timestep, and rounded timesteps can repeat.
        scheduler.set_begin_index(step)


def too_few(scheduler: SchedulerMixin, steps: int) -> UserError:
    """Ancestral schedulers yield NaN when rounding removes the noise between distant levels."""
    return UserError(
        f"{type(scheduler).__name__} does not yield finite samples with {steps} steps; use more "
        "steps or another scheduler (or no guidance, if it samples well without)"
    )


def unit_at(scheduler: SchedulerMixin, step: int) -> float:
    """Factor that scales the sample before a step to variance 1; after the last step it is 1."""
    if step == len(scheduler.timesteps):
        return 1.0
    return float(scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[step]))


def noise_source(
    scheduler: SchedulerMixin, generators: Sequence[torch.Generator]
) -> dict[str, list[torch.Generator]]:
    """The generators as an argument of stochastic schedulers' steps; otherwise nothing."""
    accepts = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if accepts else {}


def check_stored_schedule(folder: Path) -> None:
    """Raise `UserError` unless the scheduler stored in `folder` has a schedule of our training."""
    path = folder / "scheduler_config.json"
    config = read_object(path, advice="copy or make the folder again")
    steps = config.get("num_train_timesteps")
    if not isinstance(steps, int) or not 1 < steps <= MOST_TIMESTEPS:
        raise UserError(
            f"{path} has num_train_timesteps {shown(steps)}: expected 2 to {MOST_TIMESTEPS}."
        )
    trained = build_schedule(steps).config
    for name in sorted(TRAINED_WITH & trained.keys() & config.keys()):
        if config[name] != trained[name]:
            raise UserError(
                f"{path} has {name} {shown(config[name])}, which no training of Halocline has: "
                f"expected {shown(trained[name])}."
            )


def _recommended(accepted: Sequence[str]) -> dict[str, float]:
    """Keeps the first step of multistep solvers away from the pure noise of a cosine schedule."""
    return {"lambda_min_clipped": LARGEST_NOISE} if "lambda_min_clipped" in accepted else {}


def _options(scheduler_class: type[SchedulerMixin]) -> list[str]:
    return list(inspect.signature(scheduler_class).parameters)
