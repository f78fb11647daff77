"""Networks of observations of a true state: profiles, a section, a map of the surface.

Positions are random, and so are the errors of measurement; both follow from the seed of the truth
and the network alone, so that all methods are given the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import UserError
from data.grid import OceanGrid
from data.observations import Observations, Quantity
from data.state import State
from guidance.observation_errors import RepresentationError, error_covariance
from guidance.observations import ObservationOperator, misplaced, placed
from latent_diffusion.posterior import Evidence
from studies.observations.settings import DEEPEST, ERRORS, PROFILES, SECTION

FloatArray = NDArray[np.float64]
CANDIDATES = 8  # positions tried for each profile


@dataclass(frozen=True)
class Twin:
    """Observations of a true state.

    truth: one state; observations: of it, with errors of measurement; operator: from states to
    their values; covariance: `n n`, of errors of measurement and representation
    """

    truth: State
    observations: Observations
    operator: ObservationOperator
    covariance: FloatArray

    @classmethod
    def of(
        cls,
        truth: State,
        network: str,
        grid: OceanGrid,
        *,
        representation: RepresentationError,
        seed: int,
    ) -> Twin:
        """Observe a state; raises `UserError` for an ocean without such places."""
        random = np.random.default_rng(seed)
        places = places_of(network, grid, random)
        operator = ObservationOperator(places, grid, sea_level=False)
        exact = operator(truth)[0].numpy()
        noise = places.error * random.standard_normal(len(places))
        covariance = error_covariance(places, representation=representation)
        return cls(truth, replace(places, value=exact + noise), operator, covariance)

    @property
    def evidence(self) -> Evidence:
        """The observations, as chains of our model are given them."""
        values, covariance = map(torch.from_numpy, (self.observations.value, self.covariance))
        return Evidence(self.operator, values, covariance)

    def seen_cells(self) -> dict[str, torch.Tensor]:
        """Whether an observation of T or S depends on a cell, `z y x`, by field."""
        fields = [torch.zeros_like(self.truth.temperature, requires_grad=True) for _ in range(2)]
        # Weights are positive, so that a cell that is seen has a gradient of the sum.
        gradients = torch.autograd.grad(self.operator(State(*fields)).sum(), fields)
        names = ("temperature", "salinity")
        return {name: g[0] > 0 for name, g in zip(names, gradients, strict=True)}


def places_of(network: str, grid: OceanGrid, random: np.random.Generator) -> Observations:
    """Observations of a network, with values of 0."""
    if network in PROFILES:
        longitude, latitude = _random_positions(grid, PROFILES[network], random)
        depth = grid.depth[grid.depth <= DEEPEST]
        return _casts(grid, longitude, latitude, depth if depth.size else grid.depth[:1])
    x, y = grid.positions
    if network == SECTION:
        column = random.choice(np.flatnonzero(grid.wet[0].any(axis=0)))
        rows = np.flatnonzero(grid.wet[0][:, column])
        return _casts(grid, x[rows, column], y[rows, column], grid.depth)
    wet = grid.wet[0]
    return _points("temperature", x[wet], y[wet], np.full(wet.sum(), 0.0), np.zeros(wet.sum()))


def _random_positions(
    grid: OceanGrid, count: int, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Longitude and latitude of places that lie in the ocean, spread evenly over its area."""
    wet = grid.wet[0]
    chance = (grid.area * wet).ravel() / (grid.area * wet).sum()
    cells = random.choice(wet.size, CANDIDATES * count, p=chance)
    longitude, latitude = (
        z.ravel()[cells] + random.uniform(-0.5, 0.5, len(cells)) * _width(z, axis).ravel()[cells]
        for z, axis in zip(grid.positions, (1, 0), strict=True)
    )
    surface = _points(
        "temperature", longitude, latitude, np.zeros(len(cells)), np.arange(len(cells))
    )
    wrong = np.any(list(misplaced(surface, grid, sea_level=False).values()), axis=0)
    kept = np.flatnonzero(~wrong)[:count]
    if len(kept) < count:
        raise UserError(
            f"{len(cells)} random places hold fewer than {count} in the ocean: observe fewer "
            "profiles"
        )
    return longitude[kept], latitude[kept]


def _width(position: FloatArray, axis: int) -> FloatArray:
    """Extent of cells along an axis of their positions `y x`."""
    if position.shape[axis] == 1:
        return np.zeros_like(position)
    return np.abs(np.gradient(position, axis=axis))


def _casts(
    grid: OceanGrid, longitude: FloatArray, latitude: FloatArray, depth: FloatArray
) -> Observations:
    """T and S at all depths above the sea floor, at places `p`."""
    places, levels = len(longitude), len(depth)
    parts = [
        _points(
            quantity,
            longitude.repeat(levels),
            latitude.repeat(levels),
            np.tile(depth, places),
            np.arange(places).repeat(levels),
        )
        for quantity in ERRORS
    ]
    return placed(Observations.joined(parts), grid, sea_level=False)


def _points(
    quantity: Quantity,
    longitude: FloatArray,
    latitude: FloatArray,
    depth: FloatArray,
    profile: NDArray[np.number],
) -> Observations:
    return Observations.of_points(
        quantity,
        np.zeros(len(longitude)),
        error=ERRORS[quantity],
        longitude=longitude,
        latitude=latitude,
        depth=depth,
        profile=profile.astype(np.int64),
    )
