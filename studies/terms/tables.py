"""Markdown tables of studies of training terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data.salinity import SALINITY_UNIT
from evaluation.columns import Column, format_value, table_head
from evaluation.yardsticks import FLOOR, ROW_NAMES
from studies.markdown import Result, Table, chosen, readable
from studies.terms.study import AUTOENCODED

SHOWN_ROWS = ("truth", FLOOR, "eof_gaussian")
DENSITY_ERROR = Column("density_error_percent", "density error", "%")
SMALL_SCALES = Column("spectra_ratio_small_scales", "small-scale power")
NEAR_BOUND = (
    Column("below_bound_percent", "cells below the bound", "%"),
    Column("near_bound_percent", "cells within 0.5 K", "%"),
    Column("w1_near_bound_K", "W₁ of T within 0.5 K", "K"),
    SMALL_SCALES,
)
GROUPS = {
    "stability": (
        DENSITY_ERROR,
        Column("mixed_layer_depth_mean_m", "mixed layer, mean", "m"),
        Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m"),
        Column("near_neutral_pairs_percent", "near-neutral pairs", "%"),
    ),
    "distribution": (
        Column("variance_ratio_mean_temperature_training", "variance ratio, T, training"),
        Column("variance_ratio_mean_salinity_training", "variance ratio, S, training"),
        Column("w1_temperature_K", "W₁ of T", "K"),
        Column("w1_salinity", "W₁ of S", SALINITY_UNIT),
        SMALL_SCALES,
    ),
    "bound": NEAR_BOUND,
    "autoencoded": tuple(
        Column(AUTOENCODED + column.key, column.name, column.unit)
        for column in (*NEAR_BOUND, DENSITY_ERROR)
    ),
    "cost": (
        Column("autoencoder samples", "autoencoder, samples"),
        Column("autoencoder wall_seconds", "autoencoder, time", "s"),
        Column("diffusion samples", "denoiser, samples"),
        Column("diffusion wall_seconds", "denoiser, time", "s"),
        Column("diffusion processor_seconds", "denoiser, processor time", "s"),
    ),
}


def terms_table(study: Result, group: str | None) -> str:
    """The truth, floor and EOF-Gaussian, and each variant with a value for every seed.

    group: one of `GROUPS`; default: "stability".
    """
    columns = chosen(GROUPS, group) or GROUPS["stability"]
    rows = {ROW_NAMES[name]: _single(study["rows"].get(name, {})) for name in SHOWN_ROWS}
    rows |= {readable(name): _values(variant) for name, variant in study["variants"].items()}
    lines = [
        f"| {name} | {' | '.join(_cell(values.get(column.key)) for column in columns)} |"
        for name, values in rows.items()
        if any(column.key in values for column in columns)
    ]
    return "\n".join([*table_head(columns), *lines]) + "\n"


def _single(metrics: dict[str, float]) -> dict[str, list[Any]]:
    return {key: [value] for key, value in metrics.items()}


def _values(variant: dict[str, Any]) -> dict[str, list[Any]]:
    """Metrics and costs of a variant, lists over the seeds."""
    costs = {
        f"{stage} {key}": values
        for stage, training in variant["training"].items()
        for key, values in training.items()
    }
    return variant["metrics"] | costs


def _cell(values: Sequence[float | None] | None) -> str:
    """The values of all seeds."""
    return ", ".join(map(format_value, values)) if values else format_value(None)


TABLES: dict[str, Table] = {"terms": terms_table}
