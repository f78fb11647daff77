"""What a state costs in latent and in data space: `halocline benchmark CONFIG...`.

For the grid of each experiment these systems, each unguided and guided: the experiment's own; those
that its section `benchmark` names as variants; the same sampler in data space; and the recipe of
the seed paper (Meunier et al. 2025) in data space, 1000 steps of DDPM with the mean profile as
constraint on the noisy sample. Networks are untrained and the ocean is synthetic, around a
stratified profile: cost does not depend on the values, but for the columns that overturn, which the
result counts.

A chain is timed in its pieces: one step of each kind (unguided, and guided by each set of terms
that acts together), and the decoding with the final adjustment, times how often it has them. All
pieces of all systems are timed in turn, `repeats` times over, so that a disturbance of the machine
meets them alike. `accelerate launch -m studies.cost.benchmark CONFIG...` is the same.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from autoencoder.settings import AutoencoderSettings
from configs import Experiment, load_experiment
from configs.loading import checked, merged
from configs.schema import GuidanceSettings
from data.archive.reader import StateArchive
from data.errors import UserError, user_errors_in_one_sentence
from data.grid import OceanGrid
from data.state import State
from evaluation.figures import save_figure
from evaluation.metrics import overturning_columns_percent
from evaluation.provenance import provenance
from guidance.energy import WeightedTerm
from guidance.guide import Guide, SampleGuide
from guidance.seawater import equation_of_state
from guidance.stratification import adjust_in_place
from latent_diffusion.guides import build_guide
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.sample import member_generator
from studies.cost.codec import (
    DATA_SPACE_BLOCKS,
    DATA_SPACE_CHANNELS,
    Meter,
    SyntheticArchive,
    synthetic_grid,
)
from studies.cost.figures import cost_by_resolution
from studies.cost.guidance import NOISE, synthetic_climatology, untrained_pipeline
from studies.cost.training import training_cost
from training.log import write_json

LATENT, DATA_SPACE, SEED_PAPER = "latent", "data space", "data space, 1000 steps"
UNGUIDED, GUIDED = "unguided", "guided"
SEED_PAPER_BLOCKS = 2  # residual blocks in a stage of its network
SEED_PAPER_STEPS = 1000
SEED_PAPER_GUIDANCE: dict[str, Any] = {
    "nearest_stable_state": 0,
    "unstable_pairs": 0,
    "mean_profile": 1,
    "acts_on": "noisy_sample",
    "start": 0,
    "strength": "rising",
    "step_cap": 10,
    "adjust": False,
}
OUTPUT = Path("runs/benchmark.json")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
MEMORY_CALLS = 3
WORTHWHILE = 1.05  # a larger batch must be that much faster for the search to go on


@dataclass(frozen=True)
class Piece:
    """A part of a chain that can be called on its own, and how often a chain has it."""

    call: Callable[[], object]
    count: int


@dataclass(frozen=True)
class Chain:
    """A way to draw states, `batch` at a time, in pieces."""

    pipeline: StatePipeline
    guide: Guide | SampleGuide | None
    steps: int
    adjusts: bool
    batch: int = 1

    def pieces(self) -> Iterator[Piece]:
        """One step of each kind, and the decoding with the adjustment."""
        generators = [member_generator(0, member) for member in range(self.batch)]
        shape = (self.batch, *self.pipeline.codec.latent_shape)
        sample = torch.randn(shape, generator=generators[0]).to(self.pipeline.device)
        for index, count in self.steps_alike().items():
            yield Piece(partial(self._advance, sample, index, generators), count)
        yield Piece(partial(self._finish, sample, self.pipeline.codec.grid), 1)

    def steps_alike(self) -> dict[int, int]:
        """One step of each kind by its number, with how many steps of the chain are like it."""
        kinds = [tuple(map(id, terms)) for terms in self._terms_by_step()]
        return {kinds.index(kind): count for kind, count in Counter(kinds).items()}

    def _advance(
        self, sample: torch.Tensor, index: int, generators: list[torch.Generator]
    ) -> torch.Tensor:
        self.pipeline.set_steps(self.steps)
        if hasattr(self.pipeline.scheduler, "set_begin_index"):
            self.pipeline.scheduler.set_begin_index(index)
        return self.pipeline.advance(sample, index, generators=generators, guide=self.guide)

    @torch.no_grad()
    def _finish(self, sample: torch.Tensor, grid: OceanGrid) -> None:
        codec = self.pipeline.codec
        state = codec.decode(sample)
        if self.adjusts:
            eos = equation_of_state(codec.config.ocean["equation_of_state"])
            adjust_in_place(state, eos=eos, grid=grid)

    @property
    def guided_steps(self) -> int:
        """How many of the chain's steps are guided."""
        return sum(bool(terms) for terms in self._terms_by_step())

    def _terms_by_step(self) -> list[list[WeightedTerm]]:
        if self.guide is None:
            return [[]] * self.steps
        self.pipeline.set_steps(self.steps)
        return [self.guide.terms_at(self.pipeline.place(index)) for index in range(self.steps)]


def benchmark_grid(
    experiment: Experiment, *, repeats: int, training_steps: int, device: str
) -> dict[str, Any]:
    """Costs of the experiment's systems on its grid, by system and by `unguided` and `guided`.

    seconds of a state drawn alone: median, lowest and highest of the repeats; memory_MB: growth
    beyond the networks while the dearest piece runs; states_per_second at the batch size that is
    best; training of each space, with `training_steps` 0 not measured.
    """
    archive = synthetic_archive(experiment)
    systems = systems_of(experiment)
    chains = {
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


def systems_of(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment itself, its variants, in data space, and as the seed paper draws states.

    Raises `UserError` for a variant that is no experiment.
    """
    plain = experiment.diffusion.model_copy(
        update={
            "channels": DATA_SPACE_CHANNELS,
            "blocks": DATA_SPACE_BLOCKS,
            "attention": False,
            "dropout": 0.0,
        }
    )
    identity = AutoencoderSettings(kind="identity", training=experiment.autoencoder.training)
    data_space = experiment.model_copy(update={"autoencoder": identity, "diffusion": plain})
    sampling = experiment.sampling.model_copy(
        update={"steps": SEED_PAPER_STEPS, "scheduler": "DDPMScheduler", "scheduler_options": {}}
    )
    seed_paper = data_space.model_copy(
        update={
            "diffusion": plain.model_copy(update={"blocks": SEED_PAPER_BLOCKS}),
            "sampling": sampling,
            "guidance": GuidanceSettings.model_validate(SEED_PAPER_GUIDANCE),
        }
    )
    return {
        LATENT: experiment,
        **variants_of(experiment),
        DATA_SPACE: data_space,
        SEED_PAPER: seed_paper,
    }


def variants_of(experiment: Experiment) -> dict[str, Experiment]:
    """What the section `benchmark` adds to be measured beside the experiment, by name."""
    told = experiment.benchmark
    own = experiment.model_dump(mode="json")
    return {
        f"{LATENT}, {name}": checked(
            merged(own, changes), Experiment, source=f"benchmark.variants.{name}"
        )
        for name, changes in (told.variants if told else {}).items()
    }


def synthetic_archive(experiment: Experiment) -> SyntheticArchive:
    """States without land on the grid of the experiment's archive, or of its section `benchmark`.

    Raises `UserError` if it has neither.
    """
    told, path = experiment.benchmark, experiment.data.archive
    if told is not None:
        shape, periodic_x, sea_level = told.grid, told.periodic_x, told.sea_level
    elif path.exists():
        archive = StateArchive.open(path)
        levels, rows, columns = archive.grid.shape
        shape, periodic_x = (levels, rows, columns), archive.grid.periodic_x
        sea_level = archive.has_sea_level
    else:
        raise UserError(
            f"{path}, whose grid {experiment.name} is measured on, does not exist; make it, or "
            "name a grid in the section benchmark, as in configs/dino_quarter.yaml"
        )
    grid = synthetic_grid(*shape, periodic_x=periodic_x)
    return SyntheticArchive(grid, sea_level=sea_level, noise=NOISE)


def timed_in_turn(
    chains: dict[tuple[str, str], Chain], meter: Meter
) -> dict[tuple[str, str], dict[str, float]]:
    """Cost of a state of each chain, their pieces timed in turn after a warm-up."""
    pieces = {name: list(chain.pieces()) for name, chain in chains.items()}
    costs: dict[tuple[str, str], dict[str, float]] = {
        name: _fixed_cost(chain, pieces[name], meter) for name, chain in chains.items()
    }
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in chains}
    for _ in tqdm(range(meter.repeats), desc="timing", unit="round"):
        for name, parts in pieces.items():
            seconds[name].append(sum(part.count * meter.seconds(part.call) for part in parts))
    for name, taken in seconds.items():
        costs[name] |= {
            "seconds": median(taken),
            "seconds_lowest": min(taken),
            "seconds_highest": max(taken),
        }
    return costs


def best_batch(chain: Chain, meter: Meter) -> dict[str, float]:
    """States per second at the best batch size; larger ones are tried until they do not pay."""
    best = {"states_per_second": 0.0}
    for batch in BATCHES:
        parts = list(Chain(chain.pipeline, chain.guide, chain.steps, chain.adjusts, batch).pieces())
        rate = batch / sum(part.count * meter.seconds(part.call) for part in parts)
        if rate < WORTHWHILE * best["states_per_second"]:
            break
        best = {"states_per_second": rate, "batch": float(batch)}
    return best


def chains_of(experiment: Experiment, archive: SyntheticArchive, device: str) -> dict[str, Chain]:
    """The experiment's chain without and with its guidance, on one pair of networks."""
    pipeline = untrained_pipeline(experiment, archive).to(device)
    data = partial(synthetic_climatology, archive)
    guide = build_guide(experiment.guidance, pipeline.codec, data=data)
    steps = experiment.sampling.steps
    return {
        UNGUIDED: Chain(pipeline, None, steps, adjusts=False),
        GUIDED: Chain(pipeline, guide, steps, adjusts=experiment.guidance.adjust),
    }


def _fixed_cost(chain: Chain, pieces: Sequence[Piece], meter: Meter) -> dict[str, float]:
    """What does not vary from run to run; the calls warm the chain up too."""
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


def _memory_MB(piece: Piece, meter: Meter) -> float:
    """The lowest of some calls: memory that the allocator holds back counts as growth."""
    return min(meter.peak_memory_growth(piece.call) for _ in range(MEMORY_CALLS))


def _trainings(
    systems: dict[str, Experiment], archive: StateArchive, steps: int
) -> dict[str, dict[str, dict[str, float | str]]]:
    """Cost of training steps of the two spaces, one state at a time."""
    return {
        name: training_cost(one_at_a_time(systems[name]), archive, steps=steps)
        for name in tqdm((LATENT, DATA_SPACE), desc="training", unit="space")
    }


def one_at_a_time(experiment: Experiment) -> Experiment:
    """The experiment with batches of one state, which fit into memory on any grid."""
    single = {"batch_size": 1}
    return experiment.model_copy(
        update={
            name: stage.model_copy(update={"training": stage.training.model_copy(update=single)})
            for name, stage in (
                ("autoencoder", experiment.autoencoder),
                ("diffusion", experiment.diffusion),
            )
        }
    )


@torch.no_grad()
def _overturning(chain: Chain, archive: SyntheticArchive) -> float:
    """Share of columns that overturn in what the untrained codec decodes of noise [%]."""
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
    """Measure every experiment and add it to the JSON file `output`, beside what that holds.

    A figure of all that it holds is drawn beside it.
    """
    held = json.loads(output.read_text()) if output.is_file() else {"benchmarks": {}}
    for experiment in experiments:
        grid = "x".join(map(str, synthetic_archive(experiment).grid.shape))
        result = benchmark_grid(
            experiment, repeats=repeats, training_steps=training_steps, device=device
        )
        held["benchmarks"][f"{experiment.name} {grid}"] = result | {
            "title": experiment.title,
            "grid": grid,
            "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU",
            "threads": torch.get_num_threads(),
            "repeats": repeats,
        }
        held["provenance"] = provenance(seeds={})
        write_json(output, held)
        save_figure(cost_by_resolution(held["benchmarks"]), output.with_suffix(".png"))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a benchmark's command line."""
    add = parser.add_argument
    add("config", type=Path, nargs="+", metavar="CONFIG", help="YAML of each experiment")
    add("--repeats", type=int, default=3, help="timed rounds (3)")
    add("--training-steps", type=int, default=3, help="timed training steps, 0 for none (3)")
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--threads", type=int, help="threads of torch; without it, its own choice")
    add("--output", type=Path, default=OUTPUT, help=f"JSON file to add to ({OUTPUT})")


def measure(experiments: Sequence[Experiment], options: argparse.Namespace) -> None:
    """What the command line asks for."""
    _check(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    benchmark(
        experiments,
        repeats=options.repeats,
        training_steps=options.training_steps,
        device=options.device,
        output=options.output,
    )
    print(f"wrote {options.output}")


def _check(options: argparse.Namespace) -> None:
    """Raises `UserError` for what cannot be measured."""
    if options.repeats < 1 or options.training_steps < 0:
        raise UserError(
            f"found --repeats {options.repeats} and --training-steps {options.training_steps}; "
            "give at least 1 round, and 0 or more training steps"
        )
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda was asked for and there is no GPU here; leave it out")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure experiments and write the result as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    options, overrides = parser.parse_known_args(arguments)
    with user_errors_in_one_sentence():
        measure([load_experiment(path, overrides) for path in options.config], options)


if __name__ == "__main__":
    main()
