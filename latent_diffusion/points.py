"""Conditions that a user asks for: `name=value`, or a CSV with a column for each name."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.conditions import AGE, Conditions, FloatArray
from data.errors import UserError
from latent_diffusion.expectation import Expectation
from latent_diffusion.noise import member_generator

Point = dict[str, float]


def read_points(texts: Sequence[str]) -> list[Point]:
    """The points that are asked for: one of `name=value` texts, or the rows of a CSV file.

    Raises `UserError` for a text of another form and for a file that is not such a table.
    """
    pairs = [text for text in texts if "=" in text]
    files = [Path(text).expanduser() for text in texts if "=" not in text]
    if len(files) > 1 or (files and pairs):
        raise UserError(
            f"--at has {len(files)} files and {len(pairs)} values: give one CSV file, or name=value"
        )
    return _read_table(files[0]) if files else [_point(pairs)]


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
        _check_names(point, expectation)
    unknown = expectation.unknown(open_generators(seed, members))
    parts = [unknown.with_values(**point) for point in points]
    joined = {name: np.concatenate([p.values[name] for p in parts]) for name in unknown.values}
    conditions = Conditions(joined, certain=certain)
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
    _check_names(values, expectation)
    unknown = expectation.unknown(generators)
    conditions = replace(unknown.with_values(**values), certain=certain)
    expectation.space.check(conditions, extrapolate=extrapolate)
    return conditions


def open_generators(seed: int, members: int) -> list[torch.Generator]:
    """What draws the conditions that are left open, of each state of an ensemble."""
    # Below 0, unlike the members of an ensemble: what is left open does not depend on their noise.
    return [member_generator(seed, -1 - member) for member in range(members)]


def _check_names(names: Iterable[str], expectation: Expectation) -> None:
    known = expectation.space.names
    for name in names:
        if name not in known:
            raise UserError(
                f"the model does not know {name}: its conditions are {', '.join(known)}"
            )


def _point(texts: Sequence[str]) -> Point:
    point: Point = {}
    for name, value in map(_pair, texts):
        if name in point:
            raise UserError(
                f"--at gives {name} twice: give several points in a CSV file, a row for each"
            )
        point[name] = value
    return point


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name.strip(), _number(value, f"--at {text}")


def _read_table(path: Path) -> list[Point]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except FileNotFoundError:
        raise UserError(
            f"--at {path} is neither NAME=VALUE nor a CSV file: there is no file of this name"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV file ({error})") from error
    if not rows:
        raise UserError(f"{path} has no points: give a row of names and a row for each point")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise UserError(f"line {line} of {path} has not as many values as there are names")
    return [
        {
            name.strip(): _number(value, f"{path}, line {line}, {name}")
            for name, value in row.items()
        }
        for line, row in enumerate(rows, start=2)
    ]


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where}: {text!r} is not a number") from None
