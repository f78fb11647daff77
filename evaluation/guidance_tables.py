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
# What decides between methods, for the page; the rest is for whoever asks.
DECISIVE = (
    "density_error_percent",
    "mixed_layer_depth_mean_m",
    "mixed_layer_depth_p90_m",
    "near_neutral_pairs_percent",
    "variance_of_unguided_surface_temperature",
    "variance_of_unguided_surface_salinity",
    "variance_of_unguided_thermocline_temperature",
    "variance_of_unguided_thermocline_salinity",
    "w1_temperature_K",
    "adjustment_moves_std",
)
SHORT_COLUMNS = tuple(column for column in GUIDANCE_COLUMNS if column.key in DECISIVE)
GROUPS = {
    "short": ("as drawn", SHORT_COLUMNS),
    "short_adjusted": ("adjusted", SHORT_COLUMNS),
    "drawn": ("as drawn", GUIDANCE_COLUMNS),
    "adjusted": ("adjusted", GUIDANCE_COLUMNS),
}


def guidance_markdown(study: Mapping[str, Any], group: str | None) -> str:
    """One line for each point, means over seeds with their standard deviation; the truth first.

    group: "drawn" for states as the sampler leaves them (also if None), "adjusted" for those after
    exact adjustment, "short" and "short_adjusted" for the decisive columns of either. Raises
    `UserError` for another.
    """
    if group not in (None, *GROUPS):
        raise UserError(
            f"there is no group '{group}' in a study of guidance; the groups are "
            f"{', '.join(GROUPS)}"
        )
    kind, columns = GROUPS[group or "drawn"]
    lines = table_head((*columns, COST))
    several = len(study["truth"]) > 1
    for space, truth in study["truth"].items():
        values = [format_value(truth.get(column.key)) for column in columns]
        lines.append(f"| {_named('truth', space, several)} | {' | '.join(values)} | |")
        for point in study["points"].values():
            if point["space"] == space:
                name = _named(_title(point, study["methods"]), space, several)
                cells = [_cell(point[kind].get(column.key)) for column in columns]
                lines.append(f"| {name} | {' | '.join(cells)} | {_cell(point[COST.key])} |")
    return "\n".join(lines) + "\n"


def _title(point: Mapping[str, Any], methods: Mapping[str, str]) -> str:
    label = f", {point['label'].replace('=', ' ')}" if point["label"] else ""
    return methods[point["method"]] + label


def _named(name: str, space: str, several: bool) -> str:
    name = name.replace("_", " ")
    return f"{space}: {name}" if several else name


def _cell(value: Sequence[float | None] | None) -> str:
    if value is None or value[0] is None:
        return format_value(None)
    mean, spread = value
    return (
        format_value(mean)
        if spread is None
        else f"{format_value(mean)} ± {float(f'{spread:.1g}'):g}"
    )
