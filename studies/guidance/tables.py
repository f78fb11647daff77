"""The Markdown table of a study of guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from evaluation.report import Column, format_value, table_head

GUIDANCE_COLUMNS = (
    Column("density_error_percent", "density error", "%"),
    Column("mixed_layer_depth_mean_m", "mixed layer, mean", "m"),
    Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m"),
    Column("near_neutral_pairs_percent", "near-neutral pairs", "%"),
    Column("variance_ratio_surface_temperature", "variance, surface T"),
    Column("variance_ratio_surface_salinity", "variance, surface S"),
    Column("variance_ratio_thermocline_temperature", "variance, thermocline T"),
    Column("variance_ratio_thermocline_salinity", "variance, thermocline S"),
    Column("variance_of_unguided_surface_temperature", "variance / unguided, surface T"),
    Column("variance_of_unguided_surface_salinity", "variance / unguided, surface S"),
    Column("variance_of_unguided_thermocline_temperature", "variance / unguided, thermocline T"),
    Column("variance_of_unguided_thermocline_salinity", "variance / unguided, thermocline S"),
    Column("w1_temperature_K", "W₁ of T", "K"),
    Column("w1_salinity", "W₁ of S", "10⁻³"),
    Column("mean_profile_error_temperature_K", "mean-profile error of T", "K"),
    Column("mean_profile_error_salinity", "mean-profile error of S", "10⁻³"),
    Column("temperature_salinity_distance", "T-S diagram distance", "std"),
    Column("spectra_ratio_small_scales", "small-scale power"),
    Column("overturning_columns_percent", "columns that overturn", "%"),
    Column("adjustment_moves_std", "adjustment moves", "std"),
    Column("heat_moved_K_m", "heat moved", "K m"),
    Column("salt_moved_m", "salt moved", "10⁻³ m"),
)
COST = Column("seconds_per_member", "time of a processor", "s")
DRAWN, ADJUSTED = "as drawn", "adjusted"
STRATIFICATION = (
    "density_error_percent",
    "mixed_layer_depth_mean_m",
    "mixed_layer_depth_p90_m",
    "near_neutral_pairs_percent",
)
# What decides between methods, for the page; the rest is for whoever asks.
DECISIVE = (
    *STRATIFICATION,
    "variance_of_unguided_surface_temperature",
    "variance_of_unguided_surface_salinity",
    "variance_of_unguided_thermocline_temperature",
    "variance_of_unguided_thermocline_salinity",
    "w1_temperature_K",
    "adjustment_moves_std",
)
Columns = tuple[tuple[str, Column], ...]  # of states as drawn or adjusted
SHORT: Columns = (
    *((DRAWN, column) for column in GUIDANCE_COLUMNS if column.key in DECISIVE),
    (ADJUSTED, Column("mixed_layer_depth_mean_m", "adjusted: mixed layer, mean", "m")),
    (ADJUSTED, Column("near_neutral_pairs_percent", "adjusted: near-neutral pairs", "%")),
)
BESIDE_TRUTH = (
    *STRATIFICATION,
    "variance_ratio_surface_temperature",
    "variance_ratio_surface_salinity",
    "variance_ratio_thermocline_temperature",
    "variance_ratio_thermocline_salinity",
    "w1_temperature_K",
    "w1_salinity",
    "temperature_salinity_distance",
    "spectra_ratio_small_scales",
)
GROUPS: dict[str, Columns] = {
    "short": SHORT,
    "accuracy": tuple((DRAWN, column) for column in GUIDANCE_COLUMNS if column.key in BESIDE_TRUTH),
    "drawn": tuple((DRAWN, column) for column in GUIDANCE_COLUMNS),
    "adjusted": tuple((ADJUSTED, column) for column in GUIDANCE_COLUMNS),
}


def guidance_markdown(study: Mapping[str, Any], group: str | None) -> str:
    """A table for each space: the truth, then means over seeds with their standard deviation.

    group: "drawn" for states as the sampler leaves them (also if None), "adjusted" for those after
    exact adjustment, "short" for the columns that decide between methods, "accuracy" for those that
    compare with the truth; these two, of each method, for the one point that the study says is to
    be shown. Raises `UserError` for another.
    """
    if group not in (None, *GROUPS):
        raise UserError(
            f"there is no group '{group}' in a study of guidance; the groups are "
            f"{', '.join(GROUPS)}"
        )
    shown = study.get("shown", {}) if group in ("short", "accuracy") else {}
    tables = []
    for space, truth in study["truth"].items():
        points = [point for point in study["points"].values() if point["space"] == space]
        points = [point for point in points if _is_shown(point, shown.get(space, {}))]
        heading = [f"In {space.replace('_', ' ')}:\n"] if len(study["truth"]) > 1 else []
        lines = _table(truth, points, study["methods"], GROUPS[group or "drawn"])
        tables.append("\n".join([*heading, *lines]) + "\n")
    return "\n".join(tables)


def _table(
    truth: Mapping[str, float],
    points: Sequence[Mapping[str, Any]],
    methods: Mapping[str, str],
    columns: Columns,
) -> list[str]:
    lines = table_head([*(column for _, column in columns), COST])
    values = [format_value(truth.get(column.key)) for _, column in columns]
    lines.append(f"| truth | {' | '.join(values)} | |")
    for point in points:
        cells = [_cell(point[kind].get(column.key)) for kind, column in columns]
        title = _title(point, methods)
        lines.append(f"| {title} | {' | '.join(cells)} | {_cell(point[COST.key])} |")
    return lines


def _is_shown(point: Mapping[str, Any], shown: Mapping[str, str]) -> bool:
    return shown.get(point["method"], point["label"]) == point["label"]


def _title(point: Mapping[str, Any], methods: Mapping[str, str]) -> str:
    label = f", {point['label'].replace('=', ' ')}" if point["label"] else ""
    return (methods[point["method"]] + label).replace("_", " ")


def _cell(value: Sequence[float | None] | None) -> str:
    if value is None or value[0] is None:
        return format_value(None)
    mean, spread = value
    return (
        format_value(mean)
        if spread is None
        else f"{format_value(mean)} ± {float(f'{spread:.1g}'):g}"
    )
