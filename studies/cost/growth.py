"""Scaling of operations and memory with the grid: `halocline study cost growth CONFIG`.

The networks of the experiment and of the data-space sampler run on torch's meta device, where
tensors have shapes but no values, so that grids larger than any memory can be counted. All cells
are wet.

FLOPs are those of matrix products, convolutions and attention, with 2 per multiply-add. Memory is
the peak of live float32 tensors beyond networks, grid and statistics. It is a lower bound, because
allocators and convolutions need additional work space. Attention is counted as flash attention.
Guidance terms, loss terms of the autoencoder and the final adjustment have no such products and
scale linearly with the cells; they are excluded, except from training on windows, whose memory has
those of the loss terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoencoder.codec import Codec, VolumeCodec
from autoencoder.train import design_codec
from configs import Experiment
from configs.run import Run
from data.state import State
from evaluation.provenance import provenance
from guidance.energy import Decoder, Features, WeightedTerm, energy_of
from guidance.guide import EstimateGuide
from latent_diffusion.objective import DenoisingObjective
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.schedulers import build_schedule
from studies.cost.codec import AMPLITUDES, SUM, TIMESTEP, decode_gradient
from studies.cost.counting import counted
from studies.cost.guidance import pipeline_around
from studies.cost.synthetic import parse_shape
from studies.cost.systems import DATA_SPACE, LATENT, in_data_space, variants_of
from studies.cost.windows import window_cost
from training.log import print_json

Shape = tuple[int, int, int]

GRIDS = ("36x199x62", "36x797x242", "36x3059x4322")  # DINO at 1 and 1/4 degree; 1/12 degree, global
WITHOUT_ATTENTION = f"{LATENT} without attention"
FLOAT_BYTES = 4
STRIPS = 4  # an edge and inner ones: the first, the one before, and the one that is decoded
COPIES_IN_TRAINING = 5  # per parameter: value, gradient, two moments, running average
GROWING = (
    "gflop_unguided",
    "gflop_guided",
    "memory_guided_MB",
    "gflop_denoiser",
    "memory_denoiser_MB",
    "diffusion_gflop",
    "diffusion_memory_MB",
)


def growth(experiment: Experiment, shapes: Sequence[Shape]) -> dict[str, dict[str, Any]]:
    """Costs of `counted_systems` on each grid `z y x`, by grid and system.

    From the second grid on, includes the exponents of the `GROWING` quantities with the number of
    cells, relative to the previous grid and to the first.
    """
    systems = counted_systems(experiment)
    result: dict[str, dict[str, Any]] = {
        "x".join(map(str, shape)): {
            "cells": prod(shape),
            "state_MB": _megabytes(_channels(experiment, shape) * prod(shape[1:])),
            "systems": {name: costs_on(system, shape) for name, system in systems.items()},
        }
        for shape in shapes
    }
    grids = list(result.values())
    for before, after in pairwise(grids):
        _add_exponents(before, after, "exponent")
        _add_exponents(grids[0], after, "exponent_from_first")
    return result


def counted_systems(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment, its variants, without attention if it has any, and in data space."""
    plain = experiment.diffusion.model_copy(update={"attention": False})
    without = {WITHOUT_ATTENTION: experiment.model_copy(update={"diffusion": plain})}
    return (
        {LATENT: experiment}
        | (without if experiment.diffusion.attention else {})
        | variants_of(experiment)
        | {DATA_SPACE: in_data_space(experiment)}
    )


def costs_on(experiment: Experiment, shape: Shape) -> dict[str, float]:
    """Operations and memory of sampling and training with one state, and of networks and grid."""
    pipeline = meta_pipeline(experiment, shape)
    with torch.device("meta"):
        return (
            _persistent(pipeline)
            | _sampling(experiment, pipeline)
            | _training(experiment, pipeline)
        )


def meta_pipeline(experiment: Experiment, shape: Shape) -> StatePipeline:
    """The experiment's networks on a grid `z y x` on the meta device."""
    levels, rows, columns = shape
    benchmark = experiment.benchmark
    ocean = {
        "levels": levels,
        "rows": rows,
        "columns": columns,
        "sea_level": benchmark is not None and benchmark.sea_level,
        "equation_of_state": "nemo-seos",
        "salinity_units": "1e-3",
        "periodic_x": benchmark is None or benchmark.periodic_x,
        "horizontal_units": "degrees",
        "curvilinear": False,
        "grid_digest": "",
    }
    with torch.device("meta"):
        stages = Run(experiment).stages_on(rows, columns)
        codec = design_codec(experiment.autoencoder, ocean, diffusion_stages=stages)
    return pipeline_around(codec, experiment).to("meta")


def guided_steps(experiment: Experiment, pipeline: StatePipeline) -> int:
    """Number of guided steps of a chain."""
    settings, steps = experiment.guidance, experiment.sampling.steps
    terms = [WeightedTerm(_nothing, term.weight, term) for term in settings.terms]
    guide = EstimateGuide(terms, settings)
    pipeline.scheduler.set_timesteps(steps)
    return sum(guide.acts_at(pipeline.place(index)) for index in range(steps))


def in_strips(codec: Codec, call: Callable[[Decoder], object]) -> tuple[float, float]:
    """`counted` of a call that decodes strip by strip.

    Inner strips have equal cost, so the cost of all follows from those of one and of two strips.
    """
    one, two = (counted(partial(call, SomeStrips(codec, count))) for count in (1, 2))
    strip = codec.strips(1)[0]
    remaining = codec.latent_shape[1] / (strip.last - strip.first) - 1
    return one[0] + remaining * (two[0] - one[0]), two[1]


def decode_some(codec: Codec, latents: Tensor) -> State:
    """As `codec.decode` without gradient, of the first strips: in memory no less than all of them.

    The state has all rows; only those of the strips are written, one strip after the other.
    """
    features = codec.features(latents)
    parts = (
        codec.decode_strip(codec.cut(features, strip), strip)
        for strip in codec.strips(len(latents))[:STRIPS]
    )
    return State.collect_rows(parts, rows=codec.padding.rows)


@dataclass(frozen=True)
class SomeStrips:
    """A decoder restricted to `count` strips from the middle of a codec."""

    codec: Codec
    count: int

    def strips(self, batch: int) -> Sequence[Any]:
        """The strips in the middle."""
        strips = self.codec.strips(batch)
        middle = (len(strips) - 1) // 2
        return strips[middle : middle + self.count]

    def features(self, latents: Tensor) -> Features:
        """As the codec's."""
        return self.codec.features(latents)

    def cut(self, features: Features, strip: Any) -> Features:
        """As the codec's."""
        return self.codec.cut(features, strip)

    def decode_strip(self, cut: Features, strip: Any) -> State:
        """As the codec's."""
        return self.codec.decode_strip(cut, strip)


def _persistent(pipeline: StatePipeline) -> dict[str, float]:
    """The denoiser's stages, and persistent memory: parameters, fields, cached latents."""
    codec = pipeline.codec
    networks = (pipeline.unet, codec)
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    cached = 2 * prod(codec.latent_shape) if isinstance(codec, VolumeCodec) else 0
    widths = pipeline.unet.config.block_out_channels
    return {
        "stages": float(len(widths)),
        "coarsest_cells": float(prod(codec.latent_shape[1:]) // 4 ** (len(widths) - 1)),
        "million_parameters": parameters / 1e6,
        "training_state_MB": _megabytes(COPIES_IN_TRAINING * parameters),
        "fields_MB": sum(field.nbytes for field in codec.buffers()) / 1e6,
        "cached_latents_MB": _megabytes(cached),  # mean and standard deviation
    }


def _sampling(experiment: Experiment, pipeline: StatePipeline) -> dict[str, float]:
    """Cost of sampling a state without and with guidance.

    Each step calls the denoiser, and the last estimate is decoded. Guided steps also decode and
    backpropagate through the decoder.
    """
    codec, steps = pipeline.codec, experiment.sampling.steps
    latents = torch.zeros(1, *codec.latent_shape)
    with torch.no_grad():
        step = counted(lambda: pipeline.denoiser(latents, TIMESTEP, **AMPLITUDES))
        decode_gflop, _ = in_strips(codec, lambda decoder: energy_of([SUM], latents, decoder))
        _, decode_memory = counted(lambda: decode_some(codec, latents))
    gradient = in_strips(codec, lambda decoder: decode_gradient(decoder, latents))
    guided = guided_steps(experiment, pipeline)
    unguided_gflop = steps * step[0] + decode_gflop
    unguided_memory = max(step[1], decode_memory)
    return {
        "steps": float(steps),
        "guided_steps": float(guided),
        "gflop_denoiser": steps * step[0],
        "memory_denoiser_MB": step[1],
        "memory_decoding_MB": decode_memory,
        "gflop_unguided": unguided_gflop,
        "gflop_guided": unguided_gflop + guided * experiment.guidance.inner_steps * gradient[0],
        "memory_unguided_MB": unguided_memory,
        "memory_guided_MB": max(unguided_memory, gradient[1]),
    }


def _training(experiment: Experiment, pipeline: StatePipeline) -> dict[str, float]:
    """Cost of a forward and backward pass per sample; memory includes the gradients.

    That of the denoiser without and with gradient checkpointing.
    """
    codec = pipeline.codec
    result = _named("diffusion", counted(lambda: _denoise_and_learn(experiment, pipeline)))
    pipeline.unet.enable_gradient_checkpointing()
    again = counted(lambda: _denoise_and_learn(experiment, pipeline))
    result |= _named("diffusion_checkpointed", again)
    if isinstance(codec, VolumeCodec):
        losses = experiment.autoencoder.losses
        decodings = 1 + (losses.latent_jitter > 0) + (losses.between_states > 0)
        learnt = counted(lambda: _reconstruct_and_learn(codec, decodings=decodings))
        result |= _named("autoencoder", learnt) | window_cost(experiment.autoencoder, codec)
    return result


def _denoise_and_learn(experiment: Experiment, pipeline: StatePipeline) -> None:
    codec = pipeline.codec
    objective = DenoisingObjective(
        pipeline.denoiser,
        schedule=build_schedule(experiment.diffusion.train_timesteps),
        weight=codec.latent_weight,
    )
    objective.to("meta").train().requires_grad_().zero_grad()
    moments = torch.zeros(1, 2, *codec.latent_shape)
    objective(moments, torch.Generator(device="cpu"))["loss"].backward()


def _reconstruct_and_learn(codec: VolumeCodec, *, decodings: int) -> None:
    """Encode a state, decode it `decodings` times as in the loss, and backpropagate."""
    codec.train().requires_grad_()
    channels, rows, columns = codec.statistics.mean.shape
    state = State.from_channels(
        torch.zeros(1, channels, rows, columns), levels=codec.statistics.levels
    )
    mean, log_variance = codec.vae.encode(codec.network_input(state))
    latents = mean + torch.exp(0.5 * log_variance)
    decoded = [codec.reconstruct(codec.vae.decode(latents)) for _ in range(decodings)]
    torch.stack([state.to_channels().sum() for state in decoded]).sum().backward()


def _add_exponents(before: dict[str, Any], after: dict[str, Any], suffix: str) -> None:
    """Add to the systems of a grid the exponents of what grows, relative to another grid."""
    cells = log(after["cells"] / before["cells"])
    for name, costs in after["systems"].items():
        smaller = before["systems"][name]
        costs |= {f"{key}_{suffix}": log(costs[key] / smaller[key]) / cells for key in GROWING}


def _named(stage: str, cost: tuple[float, float]) -> dict[str, float]:
    return {f"{stage}_gflop": cost[0], f"{stage}_memory_MB": cost[1]}


def _channels(experiment: Experiment, shape: Shape) -> int:
    benchmark = experiment.benchmark
    return 2 * shape[0] + (benchmark is not None and benchmark.sea_level)


def _megabytes(numbers: float) -> float:
    return FLOAT_BYTES * numbers / 1e6


def _nothing(state: State) -> Tensor:
    raise AssertionError("this term only defines when guidance acts")


def run(experiment: Experiment, *, grid: Sequence[str] = GRIDS, output: Path | None = None) -> None:
    """Count the costs of an experiment on grids and print them as JSON."""
    result = {
        "growth": growth(experiment, [parse_shape(text) for text in grid]),
        "kind": "growth",
        "provenance": provenance(seeds={}),
    }
    print_json(result, output)
