"""A pipeline in a few lines, for people: text for terminals, a table for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

from autoencoder.codec import Codec
from data.archive.format import field_attributes
from data.conditions import ConditionSpace
from data.dataset import horizontal_dimensions
from data.errors import UserError
from data.grid import OceanGrid
from data.parameters import unit_suffix
from latent_diffusion.origin import Origin

HEADING = "Halocline StatePipeline"


class Row(NamedTuple):
    """A line of the card."""

    name: str
    text: str


def card(
    codec: Codec,
    *,
    space: ConditionSpace | None,
    origin: Callable[[], Origin],
    sampler: str,
    precision: str,
) -> list[Row]:
    """What is drawn, the grid, levels, parameters with their range, sampler, guidance, precision.

    origin: may raise `UserError` where the model's folder does not say how it guides
    """
    name, guidance = _origin(origin)
    return [
        Row("model", name),
        Row("draws", _drawn(codec)),
        Row("grid", _grid(codec.grid)),
        Row("levels", _levels(codec.grid)),
        Row("parameters", "; ".join(_parameters(space)) or "none"),
        Row("sampler", sampler),
        Row("guidance", guidance),
        Row("precision", precision),
    ]


def as_text(rows: list[Row]) -> str:
    """The card as lines of text."""
    width = max(len(row.name) for row in rows)
    return "\n".join([HEADING, *(f"  {row.name:{width}}  {row.text}" for row in rows)])


def as_html(rows: list[Row]) -> str:
    """The card as a table; names from files are escaped."""
    lines = [
        f'<tr><th style="text-align: left">{escape(row.name)}</th>'
        f'<td style="text-align: left">{escape(row.text)}</td></tr>'
        for row in rows
    ]
    return f"<div><strong>{HEADING}</strong><table>{''.join(lines)}</table></div>"


def _origin(origin: Callable[[], Origin]) -> tuple[str, str]:
    """The name, and how states are guided."""
    try:
        found = origin()
    except UserError:
        return "without a name", "not stated by the model's folder"
    settings = found.guidance
    terms = ", ".join(term.name for term in settings.terms)
    guided = f"{terms}, from {settings.start:g} of the chain on" if settings.enabled else "none"
    return found.name, f"{guided}; {'adjusted' if settings.adjust else 'not adjusted'}"


def _drawn(codec: Codec) -> str:
    equation = codec.config.ocean["equation_of_state"]
    known = field_attributes(equation)
    names = ["thetao", "so", *(["zos"] if codec.config.ocean["sea_level"] else [])]
    fields = ", ".join(f"{name} ({known[name]['long_name']})" for name in names)
    return f"{fields}; equation of state {equation}"


def _grid(grid: OceanGrid) -> str:
    _, rows, columns = grid.shape
    x_name, y_name = horizontal_dimensions(grid)
    unit = "°" if grid.horizontal_units == "degrees" else " km"
    ranges = " by ".join(
        f"{values.min():g} to {values.max():g}{unit}" for values in (grid.latitude, grid.longitude)
    )
    periodic = ", periodic in x" if grid.periodic_x else ""
    return f"{rows} {y_name} x {columns} {x_name}, {ranges}{periodic}"


def _levels(grid: OceanGrid) -> str:
    return f"{len(grid.depth)}, from {grid.depth[0]:.4g} to {grid.depth[-1]:.4g} m"


def _parameters(space: ConditionSpace | None) -> Iterator[str]:
    """The conditions, with the range of the training members."""
    if space is None:
        return
    for name, (low, high) in space.ranges.items():
        yield f"{name} {low:.4g} to {high:.4g}{unit_suffix(name, space.units)}"
    if space.season:
        yield "season 0 to 1"
    if space.age:
        yield "age in years, infinite in equilibrium"
