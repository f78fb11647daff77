"""Whether the sampling chain keeps the variance of the training states.

    halocline study chain configs/quickstart.yaml

Samples are compared with the training states themselves, along the principal components of the
latents and at each level, for growing numbers of steps: what changes with the steps is the solver's
error, what remains is the denoiser's. The error of the denoiser is that of its closed form alone
and with the network, at some noise levels, for training and for validation states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from autoencoder.codec import Codec
from autoencoder.passing import encoded_distributions, reconstructed
from configs.run import Run
from data.archive.mapped import joined
from data.archive.splits import spread_out
from data.conditions import Conditions
from data.state import State
from evaluation.columns import Column
from evaluation.metrics.variance import variance_profiles
from evaluation.metrics.weights import mean_over_levels
from evaluation.provenance import provenance
from latent_diffusion.denoiser import velocity_target
from latent_diffusion.gaussian import principal_components
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.schedulers import build_schedule
from studies.markdown import Result, Rows, Table, chosen, rows_markdown
from training.log import print_json

TIMESTEPS = (980, 940, 900, 800, 600, 300)  # of 1000
COMPONENTS = {"pc_1_4": (0, 4), "pc_5_16": (4, 16), "pc_17_64": (16, 64)}
MOST_STATES = 256  # whose denoising errors are averaged
VARIANCE = (
    *(Column(key, f"components {first + 1}-{last}") for key, (first, last) in COMPONENTS.items()),
    Column("outside_percent", "outside", "%"),
    Column("surface_temperature", "surface T"),
    Column("mean_temperature", "T, mean over levels"),
    Column("mean_salinity", "S, mean over levels"),
)
ERRORS = (
    Column("training_closed", "training, closed form"),
    Column("training_both", "training, with network"),
    Column("validation_closed", "validation, closed form"),
    Column("validation_both", "validation, with network"),
)
GROUPS = {"variance": ("rows", VARIANCE), "errors": ("errors", ERRORS)}


def run(
    run: Run,
    *,
    members: int = 256,
    steps: Sequence[int] = (30, 60, 120),
    output: Path | None = None,
) -> dict[str, Any]:
    """Study the chain of a trained model; prints the result and writes it to `output`.

    members: number of samples of each chain; steps: its numbers of steps, in increasing order

    A model with conditions is drawn at those of the first test state, about their expected mean.
    Its samples have no training states to be compared with, so that only the change with the steps
    counts.
    """
    pipeline, conditions = run.pipeline(), run.test_conditions
    training = _states(run, "train", len(run.archive))
    chains = _Chains(run, pipeline, training, conditions and conditions.at([0]))
    rows = {f"{count} steps": chain for count, chain in chains.of(members, steps).items()}
    result: dict[str, Any] = {
        "kind": "chain",
        "patterns": len(pipeline.gaussian.variances),
        "rows": rows if conditions else chains.references() | rows,
        "largest_change_percent": _changes([*rows.values()]),
        "errors": {} if conditions else _errors(run, pipeline),
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }
    print_json(result, output)
    return result


@dataclass(frozen=True)
class _Chains:
    """Chains of a run's model, and what their samples are compared with.

    conditions: of one state, which all samples share; None for a model without
    """

    run: Run
    pipeline: StatePipeline
    training: State
    conditions: Conditions | None

    def of(self, members: int, steps: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Variances of the samples of each chain, by its number of steps."""
        found = {}
        for count in tqdm(steps, desc="sampling", unit="chain"):
            latents, states = self._draw(members, count)
            along = {} if self.conditions else self._basis.variances(latents)
            found[count] = along | _levels(states, self.training, self.run)
        return found

    def references(self) -> dict[str, dict[str, Any]]:
        """Variances of the training states: themselves, with posterior noise, and autoencoded."""
        latents, deviation = self._latents
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        again = joined(reconstructed(self.pipeline.codec, self.training), count=len(self.training))
        return {
            "training states": self._basis.variances(latents)
            | _levels(self.training, self.training, self.run),
            "with posterior noise": self._basis.variances(latents + deviation * noise),
            "autoencoded": _levels(again, self.training, self.run),
        }

    @cached_property
    def _latents(self) -> tuple[Tensor, Tensor]:
        return _encoded(self.pipeline.codec, self.training)

    @cached_property
    def _basis(self) -> LatentBasis:
        return LatentBasis.of(self._latents[0])

    def _draw(self, members: int, steps: int, *, batch: int = 16) -> tuple[Tensor, State]:
        """Latents and states of unguided samples."""
        seed, parts = self.run.settings.sampling.seed, []
        for first in range(0, members, batch):
            numbers = range(first, min(first + batch, members))
            part = self.pipeline.draw(
                generators=[member_generator(seed, number) for number in numbers],
                steps=steps,
                conditions=self.conditions and self.conditions.at([0] * len(numbers)),
            )
            parts.append(part)
        latents, states = ([getattr(part, key) for part in parts] for key in ("latents", "state"))
        return torch.cat(latents), State.cat(states)


class LatentBasis:
    """Mean and principal components of the training latents."""

    def __init__(self, mean: Tensor, components: Tensor, variances: Tensor) -> None:
        self._mean, self._components, self._variances = mean, components, variances

    @classmethod
    def of(cls, latents: Tensor) -> LatentBasis:
        """The basis of latents `n c h w`."""
        flat = latents.flatten(1).double()
        mean = flat.mean(dim=0)
        freedom = len(flat) - 1
        components, variances = principal_components(flat - mean, most=freedom, freedom=freedom)
        return cls(mean, components, variances)

    def variances(self, latents: Tensor) -> dict[str, float]:
        """Variance of latents `n c h w` along the components, relative to the training latents.

        Means over groups of components; and the share of the squared anomalies that lies outside
        all components [%].
        """
        anomaly = latents.flatten(1).double() - self._mean
        along = anomaly @ self._components.T
        ratio = along.var(dim=0) / self._variances
        outside = 1 - along.square().sum() / anomaly.square().sum()
        groups = {name: float(ratio[slice(*ends)].mean()) for name, ends in COMPONENTS.items()}
        return groups | {"outside_percent": 100 * float(outside.clamp(min=0))}


def _levels(states: State, training: State, run: Run) -> dict[str, Any]:
    """Variance relative to the training states: at the surface, mean over levels, and by level."""
    grid = run.archive.grid
    profiles = variance_profiles(states, training, grid)
    means = {
        f"mean_{name}": mean_over_levels(torch.tensor(values, dtype=torch.float64), grid)
        for name, values in profiles.items()
    }
    return {"surface_temperature": profiles["temperature"][0], **means, "profiles": profiles}


def _changes(rows: Sequence[dict[str, Any]]) -> list[float]:
    """Largest change [%] of the variance of T or S at any level from one row to the next."""
    values = [
        np.array([ratio for profile in row["profiles"].values() for ratio in profile])
        for row in rows
    ]
    return [
        float(100 * np.nanmax(np.abs(finer / coarser - 1))) for coarser, finer in pairwise(values)
    ]


@torch.no_grad()
def _errors(run: Run, pipeline: StatePipeline) -> dict[str, dict[str, float]]:
    """Mean squared error of v by noise level, of the closed form and with the network."""
    splits = {"training": "train", "validation": "validation"}
    latents = {
        name: _encoded(pipeline.codec, _states(run, split, MOST_STATES))[0]
        for name, split in splits.items()
    }
    alphas = build_schedule(run.settings.diffusion.train_timesteps).alphas_cumprod
    scale = len(alphas) / 1000
    return {
        f"{float((1 / alphas[int(scale * t)] - 1).sqrt()):.3g}": {
            f"{name}_{part}": value
            for name, clean in latents.items()
            for part, value in _error(pipeline, clean, int(scale * t), alphas).items()
        }
        for t in TIMESTEPS
    }


def _error(
    pipeline: StatePipeline, clean: Tensor, timestep: int, alphas: Tensor
) -> dict[str, float]:
    signal, noise = alphas[timestep].sqrt(), (1 - alphas[timestep]).sqrt()
    white = torch.randn(clean.shape, generator=torch.Generator().manual_seed(timestep))
    scaled, target = signal * clean + noise * white, velocity_target(clean, white, signal, noise)
    predicted = {
        "closed": pipeline.gaussian.velocity(scaled, signal=signal, noise=noise),
        "both": pipeline.denoiser(scaled, torch.tensor(timestep), signal=signal, noise=noise),
    }
    return {name: float((v - target).square().mean()) for name, v in predicted.items()}


def _states(run: Run, split: str, most: int) -> State:
    return run.archive.read(spread_out(run.archive.indices(split), most))


def _encoded(codec: Codec, states: State) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents of states, each `n c h w`."""
    means, deviations = zip(*encoded_distributions(codec, states), strict=True)
    return torch.cat(means), torch.cat(deviations)


def chain_table(result: Result, group: str | None) -> str:
    """Group "variance" (default): variance by number of steps; "errors": by noise level, as n/s."""
    key, columns = chosen(GROUPS, group) or GROUPS["variance"]
    rows: Rows = result[key]
    return rows_markdown(rows, columns)


TABLES: dict[str, Table] = {"chain": chain_table}
