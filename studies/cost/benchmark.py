"""Cost of a state in latent and in data space: `halocline study cost benchmark CONFIG...`.

Measures the systems of `studies.cost.systems` on the grid of each experiment, unguided and guided.
Networks are untrained and the ocean is synthetic with a stratified profile. Cost does not depend on
the values, except through the share of unstable columns, which is part of the result.

The time of a chain is the sum over its pieces (each kind of step, and the decoding with the final
adjustment) times the number of their occurrences. The pieces of all systems are timed in turn,
`repeats` times, so that other load on the machine affects all systems equally.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from configs import Experiment
from data.errors import UserError
from data.state import State
from evaluation.canvas import save_figure
from evaluation.metrics.stability import overturning_columns_percent
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from latent_diffusion.noise import member_generator
from studies.cost.chains import UNGUIDED, Chain, Piece, chains_of
from studies.cost.figures import cost_by_resolution
from studies.cost.meter import Meter, use_threads
from studies.cost.synthetic import SyntheticArchive
from studies.cost.systems import (
    DATA_SPACE,
    LATENT,
    one_at_a_time,
    synthetic_archive,
    systems_of,
)
from studies.cost.training import training_cost
from training.log import write_json

Name = tuple[str, str]  # name of a chain: system, and "unguided" or "guided"
OUTPUT = Path("runs/benchmark.json")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
MEMORY_CALLS = 3
WORTHWHILE = 1.05  # minimum speed-up for the search to continue with larger batches


def benchmark_grid(
    experiment: Experiment, *, repeats: int, training_steps: int, device: str
) -> dict[str, Any]:
    """Costs of the experiment's systems on its grid, by system and by `unguided` and `guided`.

    seconds: time of a single state, median, lowest and highest of the repeats; memory_MB: maximum
    growth of memory beyond the networks; states_per_second: at the best batch size; training: cost
    of both trainings, omitted if `training_steps` is 0
    """
    archive, systems = synthetic_archive(experiment), systems_of(experiment)
    chains: dict[Name, Chain] = {
        (name, how): chain
        for name, settings in systems.items()
        for how, chain in chains_of(settings, archive, device).items()
    }
    meter = Meter(repeats, device)
    costs: dict[str, dict[str, Any]] = {name: {} for name in systems}
    for (name, how), cost in timed_in_turn(chains, meter).items():
        costs[name][how] = cost | best_batch(chains[name, how], meter)
    if training_steps:
        for name, training in _trainings(systems, archive, training_steps).items():
            costs[name]["training"] = training
    return {
        "cells": archive.grid.wet.size,
        "overturning_columns_percent": _overturning(chains[LATENT, UNGUIDED], archive),
        "systems": costs,
    }


def timed_in_turn(chains: dict[Name, Chain], meter: Meter) -> dict[Name, dict[str, float]]:
    """Cost of a state for each chain; all pieces are timed in turn after a warm-up."""
    pieces = {name: list(chain.pieces()) for name, chain in chains.items()}
    fixed = {name: fixed_cost(chain, pieces[name], meter) for name, chain in chains.items()}
    rounds = [
        {name: _seconds(parts, meter) for name, parts in pieces.items()}
        for _ in tqdm(range(meter.repeats), desc="timing", unit="round")
    ]
    return {
        name: cost | _median_and_range([seconds[name] for seconds in rounds])
        for name, cost in fixed.items()
    }


def fixed_cost(chain: Chain, pieces: Sequence[Piece], meter: Meter) -> dict[str, float]:
    """Operations, memory and sizes, which do not vary between repeats; warms up the chain."""
    gflop = 0.0
    for piece in pieces:
        with FlopCounterMode(display=False) as counter:
            piece.call()
        gflop += piece.count * counter.get_total_flops() / 1e9
    networks = (chain.pipeline.unet, chain.pipeline.codec)
    return {
        "gflop": gflop,
        "memory_MB": max(_memory_MB(piece, meter) for piece in pieces),
        "million_parameters": sum(p.numel() for net in networks for p in net.parameters()) / 1e6,
        "steps": float(chain.steps),
        "guided_steps": float(chain.guided_steps),
    }


def best_batch(chain: Chain, meter: Meter) -> dict[str, float]:
    """States per second at the best batch size; the search stops when larger ones do not help."""
    best = {"states_per_second": 0.0}
    for batch in BATCHES:
        parts = list(Chain(chain.pipeline, chain.guide, chain.steps, chain.adjusts, batch).pieces())
        rate = batch / _seconds(parts, meter)
        if rate < WORTHWHILE * best["states_per_second"]:
            break
        best = {"states_per_second": rate, "batch": float(batch)}
    return best


def _seconds(pieces: Sequence[Piece], meter: Meter) -> float:
    """Wall time of a chain [s] from one call of each piece."""
    return sum(piece.count * meter.seconds(piece.call) for piece in pieces)


def _median_and_range(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "seconds": median(seconds),
        "seconds_lowest": min(seconds),
        "seconds_highest": max(seconds),
    }


def _memory_MB(piece: Piece, meter: Meter) -> float:
    """Minimum over several calls, because memory retained by the allocator counts as growth."""
    return min(meter.peak_memory_growth(piece.call) for _ in range(MEMORY_CALLS))


def _trainings(
    systems: dict[str, Experiment], archive: SyntheticArchive, steps: int
) -> dict[str, dict[str, dict[str, float | str]]]:
    """Cost of training steps in both spaces with batches of one state."""
    return {
        name: training_cost(one_at_a_time(systems[name]), archive, steps=steps)
        for name in tqdm((LATENT, DATA_SPACE), desc="training", unit="space")
    }


@torch.no_grad()
def _overturning(chain: Chain, archive: SyntheticArchive) -> float:
    """Share of unstable columns in a state decoded from noise by the untrained codec [%]."""
    shape = (1, *chain.pipeline.codec.latent_shape)
    noise = torch.randn(shape, generator=member_generator(0, 0)).to(chain.pipeline.device)
    state: State = chain.pipeline.codec.decode(noise)
    eos = equation_of_state(archive.equation_of_state)
    return overturning_columns_percent(state.map(lambda field: field.cpu()), archive.grid, eos)


def benchmark(
    experiments: Sequence[Experiment],
    *,
    repeats: int,
    training_steps: int,
    device: str,
    output: Path,
) -> None:
    """Measure every experiment, add it to the JSON file `output`, and save a figure of all."""
    content = json.loads(output.read_text()) if output.is_file() else {"benchmarks": {}}
    for experiment in experiments:
        grid = "x".join(map(str, synthetic_archive(experiment).grid.shape))
        result = benchmark_grid(
            experiment, repeats=repeats, training_steps=training_steps, device=device
        )
        content["benchmarks"][f"{experiment.name} {grid}"] = result | {
            "title": experiment.title,
            "grid": grid,
            "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU",
            "threads": torch.get_num_threads(),
            "repeats": repeats,
        }
        content |= {"kind": "benchmark", "provenance": provenance(seeds={})}
        write_json(output, content)
        save_figure(cost_by_resolution(content["benchmarks"]), output.with_suffix(".png"))


def run(
    experiments: Sequence[Experiment],
    *,
    repeats: int = 3,
    training_steps: int = 3,
    device: str = "cpu",
    threads: int | None = None,
    output: Path = OUTPUT,
) -> None:
    """Measure the experiments and add them to the JSON file `output`.

    Raises `UserError` for invalid options.
    """
    if repeats < 1 or training_steps < 0:
        raise UserError(
            f"--repeats is {repeats} and must be at least 1; --training-steps is "
            f"{training_steps} and must be at least 0"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda needs a GPU, and none is available")
    use_threads(threads)
    benchmark(
        experiments, repeats=repeats, training_steps=training_steps, device=device, output=output
    )
    print(f"wrote {output}")
