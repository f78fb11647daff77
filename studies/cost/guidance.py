"""Time to sample one state, unguided and with each guidance method.

    halocline study cost guidance configs/dino_quarter.yaml --grid 36x800x256 --threads 1

Runs complete chains with untrained networks of the experiment on an all-wet grid. `--noise` is the
standard deviation of the decoded temperature around a stratified profile. It determines the share
of unstable columns, on which the cost of exact adjustment depends and which is part of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from autoencoder.codec import Codec
from configs import Experiment
from configs.run import Run
from data.archive.protocol import Archive
from data.errors import UserError
from data.state import State
from evaluation.metrics.stability import overturning_columns_percent
from evaluation.provenance import provenance
from guidance.build import build_guide
from guidance.climatology import Climatology, climatology
from guidance.guide import Guide
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.stratification import adjust
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import ocean_of
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.train import build_network
from studies.cost.meter import Meter, use_threads
from studies.cost.synthetic import NOISE, SyntheticArchive, parse_shape, synthetic_grid
from training.log import print_json

VARIANTS: dict[str, dict[str, Any]] = {  # changes to the section guidance of the experiment
    "as configured": {},
    "every third step": {"every": 3},
    "from 0.25 of the time on": {"start": 0.25},
    "all of the chain": {"start": 0.0},
    "nearest stable state": {"terms": ["nearest_stable_state"]},
    "hinge": {"terms": ["unstable_pairs"]},
}


def guidance_cost(
    experiment: Experiment,
    archive: Archive,
    *,
    variants: dict[str, dict[str, Any]] = VARIANTS,
    meter: Meter,
) -> dict[str, Any]:
    """Median time of chains on the archive's grid, their guided steps, and ratios to unguided.

    Includes the time of exact adjustment, which is not part of the chains, and the share of
    unstable columns in an unguided sample [%].
    """
    pipeline = untrained_pipeline(experiment, archive).to(meter.device)
    eos = equation_of_state(archive.equation_of_state)
    climatology = cache(partial(synthetic_climatology, archive))
    ocean = ocean_of(pipeline.codec, climatology=climatology)
    steps = experiment.sampling.steps

    def draw(guide: Guide | None) -> State:
        return pipeline.draw(generators=[member_generator(0, 0)], steps=steps, guide=guide).state

    unguided = draw(None)
    seconds = {"unguided": meter.median_seconds(lambda: draw(None))}
    guided_steps = {}
    for name, changes in variants.items():
        settings = GuidanceSettings.model_validate(experiment.guidance.model_dump() | changes)
        guide = build_guide(settings, ocean)
        guided_steps[name] = sum(guide.acts_at(pipeline.place(k)) for k in range(steps))
        draw(guide)  # warm-up: compiles the constraint
        seconds[name] = meter.median_seconds(partial(draw, guide))
    seconds["exact adjustment at the end"] = meter.median_seconds(
        lambda: adjust(unguided, eos=eos, grid=archive.grid)
    )
    return {
        "overturning_columns_percent": overturning_columns_percent(unguided, archive.grid, eos),
        "chains": _chain_rows(seconds, guided_steps),
    }


def _chain_rows(
    seconds: dict[str, float], guided_steps: dict[str, int]
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "seconds": taken,
            "guided_steps": float(guided_steps.get(name, 0)),
            "ratio_to_unguided": taken / seconds["unguided"],
        }
        for name, taken in seconds.items()
    }


def synthetic_climatology(archive: Archive) -> Climatology:
    """Climatology from two of the archive's states."""
    eos = equation_of_state(archive.equation_of_state)
    return climatology([archive.read([0, 1])], grid=archive.grid, eos=eos)


def untrained_pipeline(experiment: Experiment, archive: Archive) -> StatePipeline:
    """The untrained networks and the scheduler of the experiment on the archive's grid."""
    return pipeline_around(Run(experiment).untrained_codec(archive), experiment)


def pipeline_around(codec: Codec, experiment: Experiment) -> StatePipeline:
    """The experiment's sampler for a codec, with an untrained denoiser."""
    unet = build_network(experiment.diffusion, codec)
    codec, unet = (network.eval().requires_grad_(False) for network in (codec, unet))
    pipeline = Run(experiment).pipeline_around(unet, codec)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(
    experiment: Experiment,
    *,
    grid: str,
    repeats: int = 3,
    noise: float = NOISE,
    device: str = "cpu",
    only: Sequence[str] = (),
    threads: int | None = None,
    output: Path | None = None,
) -> None:
    """Measure the chains of an experiment on a grid and print the result as JSON.

    Raises `UserError` for a method that is not in `VARIANTS`.
    """
    unknown = sorted(set(only) - set(VARIANTS))
    if unknown:
        raise UserError(
            f"there is no method {', '.join(unknown)}; the methods are {', '.join(VARIANTS)}"
        )
    use_threads(threads)
    ocean = synthetic_grid(*parse_shape(grid), periodic_x=True)
    result: dict[str, object] = {
        "grid": grid,
        "threads": torch.get_num_threads(),
        **guidance_cost(
            experiment,
            SyntheticArchive(ocean, has_sea_level=False, noise=noise),
            variants={name: VARIANTS[name] for name in only or VARIANTS},
            meter=Meter(repeats, device),
        ),
        "kind": "guidance_cost",
        "provenance": provenance(seeds={"sampling": 0}),
    }
    print_json(result, output)
