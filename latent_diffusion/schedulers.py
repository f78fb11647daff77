"""Noise schedules for training and diffusers schedulers for sampling."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from diffusers import DDPMScheduler, SchedulerMixin

from data.errors import UserError

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
    usable = {c.__name__: c for c in schedule.compatibles if "beta_schedule" in _options(c)}
    if name not in usable:
        raise UserError(
            f"the scheduler '{name}' cannot sample this model; use one of "
            f"{', '.join(sorted(usable))}"
        )
    accepted = [option for option in _options(usable[name]) if option not in TRAINED_WITH]
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise UserError(f"{name} has no option '{unknown[0]}'; it has {', '.join(accepted)}")
    try:
        return usable[name].from_config(schedule.config, **{**_recommended(accepted), **options})
    except (NotImplementedError, ValueError, ImportError) as error:
        raise UserError(f"{name} does not work with the options {options}: {error}") from error


def _recommended(accepted: Sequence[str]) -> dict[str, float]:
    """Keeps the first step of multistep solvers away from the pure noise of a cosine schedule."""
    return {"lambda_min_clipped": LARGEST_NOISE} if "lambda_min_clipped" in accepted else {}


def _options(scheduler_class: type[SchedulerMixin]) -> list[str]:
    return list(inspect.signature(scheduler_class).parameters)
