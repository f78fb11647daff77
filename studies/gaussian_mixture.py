"""Guidance with a known solution: an ocean of two cells with a Gaussian-mixture distribution.

    halocline study gaussian_mixture --output docs/figures/gaussian_mixture.png

A point (T1, T2) [K] is the temperature of a level with two cells. The ideal denoiser has a closed
form, so no training is needed. A DDPM samples the mixture, and the constraint
`guidance.profiles.MeanProfile` guides the mean of the two cells to a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import DDPMScheduler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from data.grid import OceanGrid
from data.settings import Per
from data.state import State
from evaluation.canvas import ROW_COLOURS, new_figure, save_figure, styled
from guidance.energy import WeightedTerm, WholeDecoder
from guidance.guide import EstimateGuide, Guide
from guidance.profiles import MeanProfile
from guidance.settings import Steering
from guidance.steps import Step
from guidance.terms import Scales
from latent_diffusion.denoiser import NoiseLevel, noise_level

FIGURE = Path("docs/figures/gaussian_mixture.png")
TARGET = 0.23  # K; target mean of the two cells; the mean of the mixture is -0.07
STEPS = 250
START = 0.9  # fraction of the chain; by then each point belongs to one component
MEAN_AND_DIFFERENCE = torch.tensor([[0.5, 0.5], [1.0, -1.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians with common covariance: weights `k`, means `k d`, spread `d d`."""

    weights: Tensor
    means: Tensor
    spread: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture, `d`."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """Covariance `d d`: that of the components plus that of their means."""
        apart = self.means - self.mean
        return self.spread + (self.weights * apart.T) @ apart

    def log_density(self, points: Tensor) -> Tensor:
        """Logarithm of the density `...` at points `... d`."""
        return self._log_shares(points).logsumexp(-1)

    def noisy(self, level: NoiseLevel) -> Mixture:
        """The distribution of signal * z + noise * n, for z from the mixture and white noise n."""
        noise = level.noise**2 * torch.eye(len(self.spread), dtype=self.spread.dtype)
        spread = level.signal**2 * self.spread + noise
        return Mixture(self.weights, level.signal * self.means, spread)

    def clean_estimate(self, points: Tensor, level: NoiseLevel) -> Tensor:
        """E[z | signal * z + noise * n = point], `... d`: the ideal denoiser.

        The mean of m + K (point - signal m) over components with mean m, weighted by their
        posterior probability; K = signal * spread * (spread of the noisy mixture)^-1.
        """
        noisy = self.noisy(level)
        gain = level.signal * torch.linalg.solve(noisy.spread, self.spread)
        estimates = self.means + (points[..., None, :] - noisy.means) @ gain
        return (noisy._log_shares(points).softmax(-1)[..., None] * estimates).sum(-2)

    def mapped(self, matrix: Tensor) -> Mixture:
        """The distribution of matrix @ z; matrix `e d`."""
        return Mixture(self.weights, self.means @ matrix.T, matrix @ self.spread @ matrix.T)

    def given_first(self, value: float) -> Mixture:
        """The distribution of the other coordinates, conditioned on the value of the first."""
        first = Mixture(self.weights, self.means[:, :1], self.spread[:1, :1])
        weights = first._log_shares(torch.full((1,), value, dtype=self.means.dtype)).softmax(-1)
        slope = self.spread[1:, :1] / self.spread[0, 0]
        means = self.means[:, 1:] + (value - self.means[:, :1]) * slope.T
        return Mixture(weights, means, self.spread[1:, 1:] - slope @ self.spread[:1, 1:])

    def _log_shares(self, points: Tensor) -> Tensor:
        """Logarithm of the weighted density of each component, `... k`, at points `... d`."""
        normal = torch.distributions.MultivariateNormal(self.means, self.spread)
        return self.weights.log() + normal.log_prob(points[..., None, :])


MIXTURE = Mixture(
    weights=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    means=torch.tensor([[-1.2, -0.4], [0.4, 1.4], [1.4, -0.8]], dtype=torch.float64),
    spread=torch.tensor([[0.10, 0.04], [0.04, 0.10]], dtype=torch.float64),
)


class Moments(NamedTuple):
    """Moments of the mean and difference of the two cells: mean `2` [K], covariance `2 2` [K2]."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Moments:
        """Moments of points `n 2`."""
        pairs = points.double() @ MEAN_AND_DIFFERENCE.T
        return cls(pairs.mean(0), pairs.T.cov())


def expected_moments(mixture: Mixture, *, target: float, batch: float) -> Moments:
    """Moments of the mixture shifted along (1, 1) so that the mean of each batch is the target.

    The points of a batch are shifted together, so the mean of the cells loses 1 / batch of its
    variance, the variance of the batch mean: all for batches of one, almost none for large ones.
    """
    pairs = mixture.mapped(MEAN_AND_DIFFERENCE)
    covariance = pairs.covariance
    covariance[0] *= 1 - 1 / batch
    covariance[1, 0] = covariance[0, 1]
    return Moments(torch.stack([torch.tensor(target).double(), pairs.mean[1]]), covariance)


def mean_guide(target: float, *, per: Per, start: float = START) -> Guide:
    """The guide with a constraint on the mean profile of one level with two cells.

    The step cap is too large to have an effect, so each guided step reaches the target.
    """
    cells = (1, 1, 2)
    grid = OceanGrid(
        depth=np.array([5.0]),
        thickness=np.full(cells, 10.0),
        area=np.ones(cells[1:]),
        wet=np.ones(cells, dtype=bool),
        longitude=np.arange(2.0),
        latitude=np.zeros(1),
    )
    scales = Scales(torch.ones(1), torch.zeros(1))  # no constraint on salinity
    term = MeanProfile(grid, torch.tensor([target]), torch.zeros(1), scales, per=per)
    return EstimateGuide([WeightedTerm(term)], Steering(start=start, step_cap=10.0))


def sample(
    mixture: Mixture,
    *,
    count: int,
    guide: Guide | None = None,
    batch: int | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> Tensor:
    """Points `n 2` [K] of a DDPM with the ideal denoiser.

    batch: number of points guided together; default: all
    """
    random = torch.Generator().manual_seed(seed)
    scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False
    )
    scheduler.set_timesteps(steps)
    points = torch.randn(count, 1, 1, 2, generator=random)
    for index, timestep in enumerate(scheduler.timesteps):
        clean = mixture.clean_estimate(points.double(), noise_level(scheduler, index)).float()
        if guide is not None:
            at = Step.even(index, steps)
            clean = torch.cat(
                [
                    guide.correct_estimate(part, WholeDecoder(_two_cells), at=at)
                    for part in clean.split(batch or count)
                ]
            )
        points = scheduler.step(clean, timestep, points, generator=random).prev_sample
    return points[:, 0, 0]


def _two_cells(points: Tensor) -> State:
    """The decoder: a point `b 1 1 2` is the temperature of a level; salinity is 0."""
    return State(points, torch.zeros_like(points))


class Experiment(NamedTuple):
    """A sampling method: scope of the constraint, start of guidance and batch size."""

    title: str
    per: Per | None = None
    start: float = START
    batch: int | None = None

    def run(self, count: int) -> Tensor:
        """Sample `count` points, `n 2` [K]."""
        guide = None if self.per is None else mean_guide(TARGET, per=self.per, start=self.start)
        return sample(MIXTURE, count=count, guide=guide, batch=self.batch)

    def expected(self, count: int) -> Moments:
        """The analytic moments for `count` points."""
        if self.per is None:
            pairs = MIXTURE.mapped(MEAN_AND_DIFFERENCE)
            return Moments(pairs.mean, pairs.covariance)
        batch = 1 if self.per == "sample" else self.batch or count
        return expected_moments(MIXTURE, target=TARGET, batch=batch)


EXPERIMENTS = (
    Experiment("unguided"),
    Experiment("per sample", "sample"),
    Experiment("per ensemble", "ensemble"),
    Experiment("per ensemble of 4", "ensemble", batch=4),
    Experiment("per sample, from 0.6 on", "sample", start=0.6),
    Experiment("per ensemble, from 0.6 on", "ensemble", start=0.6),
)


def run(*, output: Path = FIGURE, points: int = 4000) -> None:
    """Sample `points` points in each experiment, save the figure and print the table."""
    samples = {experiment: experiment.run(points) for experiment in EXPERIMENTS}
    print("\n".join(table(samples)))
    save_figure(draw(samples), output)


def table(samples: dict[Experiment, Tensor]) -> Iterator[str]:
    """Lines of a Markdown table: sampled moments, with the analytic values in brackets."""
    names = ("mean", "deviation of the mean", "difference", "deviation of the difference")
    yield f"| | {' | '.join(f'{name} [K]' for name in names)} | correlation |"
    yield "|---" * 6 + "|"
    for experiment, points in samples.items():
        sampled, expected = Moments.of(points), experiment.expected(len(points))
        values = zip(_cells(sampled), _cells(expected), strict=True)
        cells = " | ".join(f"{ours:.3f} ({exact:.3f})" for ours, exact in values)
        yield f"| {experiment.title} | {cells} |".replace("-", "−").replace("nan (nan)", "")


def _cells(moments: Moments) -> list[float]:
    """Mean and standard deviation of both variables, and their correlation (NaN if constant)."""
    deviation = moments.covariance.diagonal().clamp(min=0).sqrt()
    correlation = moments.covariance[0, 1] / deviation.prod()
    known = correlation if (deviation > 1e-5).all() else torch.tensor(torch.nan)
    return [*torch.stack([moments.mean, deviation], dim=1).flatten().tolist(), float(known)]


@styled
def draw(samples: dict[Experiment, Tensor]) -> Figure:
    """Points of the first three experiments over the density, and the density along the line."""
    figure, axes = new_figure(1, 4, panel=(2.7, 2.8))
    shown = list(samples.items())[:3]
    moved = (0.0, None, TARGET - float(MIXTURE.mean.mean()))
    for ax, (experiment, points), shift, colour in zip(
        axes[0], shown, moved, ROW_COLOURS, strict=False
    ):
        _plane(ax, points, colour, shift=shift or 0.0)
        if experiment.per is not None:
            ax.axline((TARGET, TARGET), slope=-1, color="black", linewidth=0.8, linestyle="--")
        ax.set_title(experiment.title)
    axes[0, 0].set_ylabel("T₂ [K]")
    _along_the_line(axes[0, 3], shown[1][1], ROW_COLOURS[1])
    return figure


def _plane(ax: Axes, points: Tensor, colour: str, *, shift: float) -> None:
    """Points over the contours of the mixture, shifted by `shift` [K] in both cells."""
    x, y = points[:1500].T.tolist()
    ax.scatter(x, y, s=2, color=colour, alpha=0.4, linewidths=0)
    line = torch.linspace(-3, 3, 121, dtype=torch.float64)
    density = MIXTURE.log_density(torch.cartesian_prod(line, line) - shift).exp()
    ax.contour(line, line, density.reshape(121, 121).T, levels=5, colors="0.35", linewidths=0.7)
    for found, marker in ((points.mean(0), "+"), (MIXTURE.mean + shift, "x")):
        ax.plot(*found.tolist(), marker, color="black", markersize=9)
    ax.set(xlim=(-2.6, 2.9), ylim=(-2.3, 3.0), xlabel="T₁ [K]", aspect="equal")


def _along_the_line(ax: Axes, points: Tensor, colour: str) -> None:
    """Density of the difference of the cells, and two analytic solutions."""
    pairs = MIXTURE.mapped(MEAN_AND_DIFFERENCE)
    difference = torch.linspace(-3.5, 4.5, 401, dtype=torch.float64)
    ax.hist((points[:, 0] - points[:, 1]).tolist(), bins=60, density=True, color=colour, alpha=0.4)
    for mixture, style, label in (
        (MIXTURE.mapped(MEAN_AND_DIFFERENCE[1:]), "-", "projected"),
        (pairs.given_first(TARGET), ":", "conditioned"),
    ):
        ax.plot(
            difference, mixture.log_density(difference[:, None]).exp(), f"k{style}", label=label
        )
    ax.legend(loc="upper left")
    ax.set(xlabel="T₁ − T₂ [K]", ylabel="density [1/K]", title="per sample, along the line")
