"""The noise schedule of the training, and the schedulers that sample on it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from diffusers import DDPMScheduler, SchedulerMixin

from configs import Experiment
from data.errors import UserError

# What the training has settled: no option of a sampler.
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
LARGEST_NOISE = -5.1  # log signal-to-noise, the value that diffusers advises for cosine schedules


def build_schedule(experiment: Experiment) -> DDPMScheduler:
    """The noise schedule of the training: squared cosine, v-prediction, no clipping."""
    return DDPMScheduler(
        num_train_timesteps=experiment.diffusion.train_timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
    )


def sampling_scheduler(experiment: Experiment) -> SchedulerMixin:
    """The scheduler that the section `sampling` describes, on the schedule of the training."""
    sampling = experiment.sampling
    return build_scheduler(
        sampling.scheduler, sampling.scheduler_options, schedule=build_schedule(experiment)
    )


def build_scheduler(
    name: str, options: dict[str, bool | int | float | str], *, schedule: DDPMScheduler
) -> SchedulerMixin:
    """The diffusers scheduler `name` on the noise schedule that the model was trained with.

    Raises `UserError` for a scheduler of another kind of model, and for options that it does not
    take or that would contradict the training.
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
        raise UserError(f"{name} takes no option '{unknown[0]}'; it takes {', '.join(accepted)}")
    try:
        return usable[name].from_config(schedule.config, **{**_advised(accepted), **options})
    except (NotImplementedError, ValueError, ImportError) as error:
        raise UserError(f"{name} does not work with the options {options}: {error}") from error


def _advised(accepted: Sequence[str]) -> dict[str, float]:
    """Multistep solvers need their first step kept off the pure noise of a cosine schedule."""
    return {"lambda_min_clipped": LARGEST_NOISE} if "lambda_min_clipped" in accepted else {}


def _options(scheduler_class: type[SchedulerMixin]) -> list[str]:
    return list(inspect.signature(scheduler_class).parameters)
