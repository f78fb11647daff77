"""Observations with a known answer: an ocean whose states are normally distributed.

    halocline study gaussian_posterior --output docs/figures/gaussian_posterior.png

For a normal prior, the posterior given linear observations is known exactly (Kalman 1960): its
mean is C H' (H C H' + R)^-1 y and its covariance is C - C H' (H C H' + R)^-1 H C. The ideal
denoiser has a closed form, so no training is needed. The states of a chain with the update of
`latent_diffusion.posterior` are compared with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from autoencoder.codec import IdentityCodec
from data.geometry import cell_area, layer_thickness
from data.grid import OceanGrid
from data.normalisation import Statistics, channel_mask
from data.observations import Observations, Quantity
from evaluation.canvas import Scale, draw_map, new_figure, save_figure, styled
from guidance.observation_errors import error_covariance
from guidance.observations import ObservationOperator
from latent_diffusion.denoiser import build_unet
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import Evidence, LatentPosterior, jacobian
from latent_diffusion.schedulers import build_schedule, build_scheduler

DEPTH = np.array([10.0, 35.0, 75.0, 150.0, 300.0, 600.0, 1100.0, 1900.0])  # m
SHAPE = (16, 24)  # rows and columns
PATTERNS = 60
ERRORS: dict[Quantity, float] = {"temperature": 0.3, "salinity": 0.05}  # K and g/kg
SCALE = {"temperature": 1.0, "salinity": 0.2}  # K and g/kg, of the prior
FIGURE = Path("docs/figures/gaussian_posterior.png")
STEPS = (10, 25, 60, 100)
MEMBERS = 128
REST = 1e-4  # variance of the standardised latents in all other directions


class Normal(NamedTuple):
    """A normal distribution of latents `d`: mean `d` and covariance `d d`."""

    mean: Tensor
    covariance: Tensor


class Case(NamedTuple):
    """What is observed: the quantities, at the levels of the profiles."""

    profiles: int
    levels: int
    quantities: tuple[Quantity, ...] = tuple(ERRORS)


CASES = (  # 1, 2, 192 and 2000 observations
    Case(1, 1, ("temperature",)),
    Case(1, 1),
    Case(12, 8),
    Case(100, 10),
)


class Comparison(NamedTuple):
    """States of a chain against the exact posterior.

    offset: rms difference of the means, over the rms standard deviation of the prior; spread: rms
    standard deviation over the exact one
    """

    offset: float
    spread: float


@dataclass(frozen=True)
class GaussianOcean:
    """An ocean with normally distributed states, and the pipeline that samples them exactly."""

    pipeline: StatePipeline

    @classmethod
    def build(cls, shape: tuple[int, int] = SHAPE, *, seed: int = 0) -> GaussianOcean:
        """Smooth random patterns, the variances of which fall off as those of real states.

        shape: rows and columns, multiples of 4
        """
        grid = _grid(*shape)
        codec = _codec(grid)
        latent_shape = codec.latent_shape
        gaussian = MemberGaussians(latent_shape, members=1, rank=PATTERNS)
        patterns, variances = _smooth_patterns(latent_shape, seed=seed)
        gaussian.patterns.copy_(patterns)
        gaussian.variances.copy_(variances)
        gaussian.remainder.fill_(REST)
        unet = build_unet(
            latent_shape, static_maps=5, channels=(8, 8), blocks=1, attention=False, dropout=0.0
        )  # starts at 0, so that the denoiser is the ideal one
        scheduler = build_scheduler(
            "DPMSolverMultistepScheduler",
            {"use_karras_sigmas": True},
            schedule=build_schedule(1000),
        )
        pipeline = PairedPipeline(unet, gaussian, scheduler, codec)
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline)

    @property
    def prior(self) -> Normal:
        """The distribution of the latents."""
        gaussian = self.pipeline.gaussian
        patterns = gaussian.patterns.flatten(1).double()
        along = gaussian.variances.double() - gaussian.remainder.double()
        rest = gaussian.remainder.double() * torch.eye(patterns.shape[1]).double()
        return Normal(gaussian.means[0].flatten().double(), patterns.T * along @ patterns + rest)

    def truth(self, *, seed: int) -> Tensor:
        """Latents `c h w` of a state drawn from the prior."""
        gaussian = self.pipeline.gaussian
        generator = torch.Generator().manual_seed(seed)
        amplitude = torch.randn(PATTERNS, generator=generator) * gaussian.variances.sqrt()
        drawn: Tensor = (amplitude[:, None, None, None] * gaussian.patterns).sum(0)
        return drawn

    def observe(
        self,
        truth: Tensor,
        *,
        profiles: int,
        levels: int,
        seed: int,
        quantities: Sequence[Quantity] = tuple(ERRORS),
    ) -> Evidence:
        """Profiles of a state, with noise.

        levels: of each profile, all quantities at each
        """
        grid = self.pipeline.codec.grid
        case = Case(profiles, levels, tuple(quantities))
        observations = _profiles(grid, case, seed=seed)
        operator = ObservationOperator(observations, grid, sea_level=False)
        covariance = torch.from_numpy(error_covariance(observations))
        noise = torch.randn(
            len(observations), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        exact = operator(self.pipeline.codec.decode(truth[None]))[0]
        return Evidence(operator, exact + covariance.diag().sqrt() * noise, covariance)

    def posterior(self, evidence: Evidence) -> Normal:
        """The exact distribution of the latents given the observations."""
        mean, covariance = self.prior
        rows = jacobian(evidence.operator, self.pipeline.codec).double()
        gain = torch.linalg.solve(
            rows @ covariance @ rows.T + evidence.covariance, rows @ covariance
        ).T
        codec = self.pipeline.codec
        innovation = evidence.innovation(codec.decode(mean.float().view(1, *codec.latent_shape)))
        return Normal(mean + gain @ innovation[0], covariance - gain @ (rows @ covariance))

    def draw(self, evidence: Evidence, *, members: int, steps: int) -> Tensor:
        """Latents `b d` of states given the observations, in pairs of opposite noise."""
        posterior = LatentPosterior(self.pipeline.codec, self.pipeline.gaussian, evidence)
        generators = [member_generator(1, member) for member in range(members)]
        output = self.pipeline.draw(generators=generators, steps=steps, posterior=posterior)
        return output.latents.flatten(1).double()


def compare(drawn: Tensor, exact: Normal, *, prior: Normal) -> Comparison:
    """Mean and spread of `drawn` latents `b d`, in pairs of opposite noise, against the exact."""
    mean = drawn.mean(0)  # exact: that of a pair is the state without noise
    offset = (mean - exact.mean).square().sum() / prior.covariance.trace()
    spread = (drawn - mean).square().mean(0).sum() / exact.covariance.trace()
    return Comparison(float(offset.sqrt()), float(spread.sqrt()))


class PairedPipeline(StatePipeline):
    """Starts the second half of a batch from the opposite of the noise of the first half.

    The chain of a normal prior is affine in its noise, so that the mean of a pair has no sampling
    error.
    """

    def initial_noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """White noise `b c h w` of variance 1; b is even."""
        half = super().initial_noise(generators[: len(generators) // 2])
        return torch.cat([half, -half])


def _grid(rows: int, columns: int) -> OceanGrid:
    longitude = np.linspace(0.0, 2.5 * (columns - 1), columns)
    latitude = np.linspace(10.0, 10.0 + 2.5 * (rows - 1), rows)
    thickness = layer_thickness(DEPTH)
    wet = np.ones((len(DEPTH), rows, columns), dtype=bool)
    return OceanGrid(
        depth=DEPTH,
        thickness=thickness[:, None, None] * wet,
        area=cell_area(longitude, latitude),
        wet=wet,
        longitude=longitude,
        latitude=latitude,
    )


def _codec(grid: OceanGrid) -> IdentityCodec:
    """Data space, with standard deviations that fall off with depth."""
    levels, rows, columns = grid.shape
    ocean = {
        "levels": levels,
        "rows": rows,
        "columns": columns,
        "sea_level": False,
        "equation_of_state": "veros-vallis",
        "salinity_units": "g/kg",
        "periodic_x": False,
        "horizontal_units": "degrees",
        "curvilinear": False,
        "grid_digest": grid.digest,
    }
    codec = IdentityCodec(ocean=ocean, multiple=4)
    decay = torch.from_numpy(np.exp(-DEPTH / 800)).float()
    warm = torch.from_numpy(4 + 16 * np.exp(-DEPTH / 500)).float()
    std = torch.cat([decay * SCALE["temperature"], decay * SCALE["salinity"]])
    mean = torch.cat([warm, torch.full_like(warm, 35.0)])[:, None, None].expand(-1, rows, columns)
    wet = channel_mask(grid, sea_level=False)
    statistics = Statistics(mean.clone(), std, wet, levels=levels, grid_digest=grid.digest)
    codec.adopt(grid, statistics)
    return codec


def _smooth_patterns(shape: tuple[int, int, int], *, seed: int) -> tuple[Tensor, Tensor]:
    """Orthonormal patterns `k c h w` and variances `k`, with a total variance of 1 per value."""
    channels, rows, columns = shape
    random = np.random.default_rng(seed)
    z, y, x = np.ogrid[0 : 1 : channels * 1j, 0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    waves = []
    for _ in range(PATTERNS):
        k, m, n = random.integers(0, 5, 3)
        phase = random.uniform(0, np.pi, 3)
        waves.append(
            np.cos(np.pi * k * z + phase[0])
            * np.cos(np.pi * m * y + phase[1])
            * np.cos(np.pi * n * x + phase[2])
        )
    basis = np.linalg.qr(np.stack(waves).reshape(PATTERNS, -1).T)[0].T
    variances = 1.0 / np.arange(1, PATTERNS + 1) ** 1.2
    variances *= np.prod(shape) / variances.sum()
    patterns = torch.from_numpy(basis.reshape(PATTERNS, *shape)).float()
    return patterns, torch.from_numpy(variances).float()


def _profiles(grid: OceanGrid, case: Case, *, seed: int) -> Observations:
    """Profiles at random places, from the surface to the deepest centre."""
    profiles, levels, quantities = case
    random = np.random.default_rng(seed)
    longitude = random.uniform(grid.longitude[0], grid.longitude[-1], profiles).repeat(levels)
    latitude = random.uniform(grid.latitude[0], grid.latitude[-1], profiles).repeat(levels)
    depth = np.tile(np.geomspace(grid.depth[0], grid.depth[-1], levels), profiles)
    parts = [
        Observations.of_points(
            quantity,
            np.zeros(len(depth)),
            error=ERRORS[quantity],
            longitude=longitude,
            latitude=latitude,
            depth=depth,
            profile=np.arange(profiles).repeat(levels),
        )
        for quantity in quantities
    ]
    return Observations.joined(parts)


def run(output: Path = FIGURE) -> None:
    """Compare chains with the exact posterior; print the table and write the figure."""
    ocean = GaussianOcean.build()
    print("\n".join(table(ocean)))
    print(f"wrote {save_figure(draw_figure(ocean), output)}")


def table(ocean: GaussianOcean) -> Iterator[str]:
    """Lines of a Markdown table: offset and spread of chains, by observations and steps."""
    yield f"| observations | {' | '.join(f'{steps} steps' for steps in STEPS)} |"
    yield "|---" * (len(STEPS) + 1) + "|"
    for case in CASES:
        evidence = ocean.observe(ocean.truth(seed=0), **case._asdict(), seed=0)
        exact = ocean.posterior(evidence)
        found = [
            compare(ocean.draw(evidence, members=MEMBERS, steps=n), exact, prior=ocean.prior)
            for n in STEPS
        ]
        cells = " | ".join(f"{100 * one.offset:.1f} %, {one.spread:.2f}" for one in found)
        yield f"| {evidence.operator.count} | {cells} |"


@styled
def draw_figure(ocean: GaussianOcean) -> Figure:
    """Surface temperature of a truth, mean of the exact posterior, drawn mean, and spreads."""
    codec, profiles = ocean.pipeline.codec, 12
    evidence = ocean.observe(ocean.truth(seed=0), profiles=profiles, levels=8, seed=0)
    exact, drawn = ocean.posterior(evidence), ocean.draw(evidence, members=MEMBERS, steps=60)

    def surface(latents: Tensor) -> NDArray[np.float64]:
        state = codec.decode(latents.float().view(1, *codec.latent_shape))
        return state.temperature[0, 0].double().numpy()

    warm = float(codec.statistics.mean[0, 0, 0])
    scale = float(codec.statistics.std[0])
    fields = [surface(ocean.truth(seed=0)) - warm, surface(exact.mean) - warm]
    fields += [surface(drawn.mean(0)) - warm]
    first = slice(0, fields[0].size)  # of the latents, which are the cells in data space
    deviations = [
        scale * variance[first].sqrt().reshape(fields[0].shape).numpy()
        for variance in (exact.covariance.diagonal(), drawn.var(dim=0))
    ]
    titles = ("truth", "exact mean", "mean of chains", "exact spread", "spread of chains")
    anomaly, spread = Scale.symmetric(fields), Scale.from_zero(deviations, "variance")
    figure, axes = new_figure(1, 5, panel=(2.6, 2.0), layout="compressed")
    for ax, title, field in zip(axes[0], titles, [*fields, *deviations], strict=True):
        mesh = draw_map(ax, codec.grid, field, spread if "spread" in title else anomaly)
        ax.set_title(title)
        if title in ("mean of chains", "spread of chains"):
            figure.colorbar(mesh, ax=ax, label="K")
    grid = codec.grid
    where = _profiles(grid, Case(profiles, levels=1), seed=0)
    axes[0, 0].plot(where.longitude, where.latitude, "k.", markersize=4)
    return figure
