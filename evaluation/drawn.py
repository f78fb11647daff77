"""What reports about drawn ensembles share: stability of the states, and inferred conditions."""

from __future__ import annotations

import numpy as np

from data.grid import OceanGrid
from data.parameters import unit_suffix
from data.state import State
from evaluation.columns import Column, Value
from evaluation.metrics.stability import (
    density_error_percent,
    mixed_layer_depth,
    near_neutral_pairs_percent,
)
from guidance.seawater import equation_of_state
from latent_diffusion.inference import Weighted

PHYSICS = (
    Column("density_error_percent", "density error", "%", "volume that is statically unstable"),
    Column("near_neutral_percent", "near-neutral pairs", "%", "mixed layers and convection"),
    Column("mixed_layer_m", "mixed layer", "m", "mean depth"),
)


def physics(state: State, grid: OceanGrid, *, equation: str) -> dict[str, Value]:
    """Stability and mixed layers of states; equation: name of the equation of state."""
    eos = equation_of_state(equation)
    return {
        "density_error_percent": float(density_error_percent(state, grid, eos).mean()),
        "near_neutral_percent": float(near_neutral_pairs_percent(state, grid, eos).mean()),
        "mixed_layer_m": float(mixed_layer_depth(state, grid, eos).nanmean()),
    }


def estimates(candidates: Weighted | None) -> dict[str, dict[str, float | str]]:
    """Median, 90 % range and, where it is known, unit of each condition that was not given."""
    if candidates is None:
        return {}
    found: dict[str, dict[str, float | str]] = {}
    for name, values in candidates.conditions.values.items():
        if len(np.unique(values)) == 1:
            continue
        order = np.argsort(values)
        share = candidates.probability[order].cumsum()
        low, median, high = (
            float(values[order][np.searchsorted(share, level).clip(max=len(values) - 1)])
            for level in (0.05, 0.5, 0.95)
        )
        found[name] = {"median": median, "p05": low, "p95": high}
        if name in candidates.conditions.units:
            found[name]["units"] = candidates.conditions.units[name]
    return found


def condition_notes(found: dict[str, dict[str, float | str]]) -> list[str]:
    """A sentence on each inferred condition, see `estimates`."""
    units = {name: str(at["units"]) for name, at in found.items() if "units" in at}
    return [
        f"{name}: {at['median']:.3g}, 90 % range {at['p05']:.3g} to {at['p95']:.3g}"
        f"{unit_suffix(name, units)}, inferred."
        for name, at in found.items()
    ]
