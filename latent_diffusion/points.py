"""Conditions of states at the points that a user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from data.conditions import Conditions, FloatArray
from data.parameters import AGE
from data.points import Point, check_names
from latent_diffusion.expectation import Expectation
from latent_diffusion.noise import member_generator


def left_open(points: Sequence[Point], expectation: Expectation) -> list[str]:
    """Names of the conditions that are drawn, because some of the points do not give them.

    The age is not: by default it is that of equilibrium.
    """
    names = [name for name in expectation.space.names if name != AGE]
    return [name for name in names if not all(name in point for point in points)]


def conditions_at(
    points: Sequence[Point],
    *,
    expectation: Expectation,
    members: int,
    seed: int,
    extrapolate: bool = False,
    certain: bool = False,
) -> Conditions:
    """Conditions of `members` states at each of the points, point by point.

    What a point leaves open is drawn as `Expectation.unknown` says; state k of each point has the
    same. Raises `UserError` for a name that the model does not know, or a value that makes no sense
    or is outside the range of the training members.
    """
    for point in points:
        check_names(point, expectation.space.names)
    unknown = expectation.unknown(open_generators(seed, members))
    parts = [unknown.with_values(**point) for point in points]
    joined = {name: np.concatenate([p.values[name] for p in parts]) for name in unknown.values}
    conditions = replace(unknown, values=joined, certain=certain)
    expectation.space.check(conditions, extrapolate=extrapolate)
    return conditions


def conditions_of(
    values: Mapping[str, FloatArray],
    *,
    expectation: Expectation,
    generators: Sequence[torch.Generator],
    extrapolate: bool = False,
    certain: bool = False,
) -> Conditions:
    """Conditions of states, one per generator, with given values of each state by name.

    What is left open is drawn by the generators. Raises `UserError` as `conditions_at` does.
    """
    check_names(values, expectation.space.names)
    unknown = expectation.unknown(generators)
    conditions = replace(unknown.with_values(**values), certain=certain)
    expectation.space.check(conditions, extrapolate=extrapolate)
    return conditions


def open_generators(seed: int, members: int) -> list[torch.Generator]:
    """What draws the conditions that are left open, of each state of an ensemble."""
    # Below 0, unlike the members of an ensemble: what is left open does not depend on their noise.
    return [member_generator(seed, -1 - member) for member in range(members)]
