"""Conditions that a user asks for: `name=value`, or a CSV with a column for each name."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from data.errors import UserError, meant

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


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    """Raise `UserError` for a name that is not one of the `known` conditions of a model."""
    for name in names:
        if name not in known:
            raise UserError(
                f"the model does not know {name}: its conditions are {', '.join(known)}"
                f"{meant(name, known)}"
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
