"""The Markdown table of a study of guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from evaluation.report import Column, format_value, table_head

GROUPS = {"drawn": "as drawn", "adjusted": "adjusted"}
GUIDANCE_COLUMNS = (
    Column("density_error_percent", "density error", "%"),
    Column("mixed_layer_depth_mean_m", "mixed layer, mean", "m"),
    Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m"),
    Column("near_neutral_pairs_percent", "near-neutral pairs", "%"),
    Column("variance_ratio_surface_temperature", "variance, surface T"),
    Column("variance_ratio_surface_salinity", "variance, surface S"),
    Column("variance_ratio_thermocline_temperature", "variance, thermocline T"),
    Column("variance_ratio_thermocline_salinity", "variance, thermocline S"),
    Column("variance_of_unguided_surface_temperature", "of unguided, surface T"),
    Column("variance_of_unguided_surface_salinity", "of unguided, surface S"),
    Column("variance_of_unguided_thermocline_temperature", "of unguided, thermocline T"),
    Column("variance_of_unguided_thermocline_salinity", "of unguided, thermocline S"),
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


def guidance_markdown(study: Mapping[str, Any], group: str | None) -> str:
    """One line for each point, means over seeds with their standard deviation; the truth first.

    group: "drawn" for states as the sampler leaves them (also if None), "adjusted" for those after
    exact adjustment. Raises `UserError` for another.
    """
    if group not in (None, *GROUPS):
        raise UserError(
            f"there is no group '{group}' in a study of guidance; the groups are "
            f"{', '.join(GROUPS)}"
        )
    kind = GROUPS[group or "drawn"]
    lines = table_head((*GUIDANCE_COLUMNS, COST))
    several = len(study["truth"]) > 1
    for space, truth in study["truth"].items():
        values = [format_value(truth.get(column.key)) for column in GUIDANCE_COLUMNS]
        lines.append(f"| {_named('truth', space, several)} | {' | '.join(values)} | |")
        for point in study["points"].values():
            if point["space"] == space:
                lines.append(_line(point, kind, study["methods"], several=several))
    return "\n".join(lines) + "\n"


def _line(point: Mapping[str, Any], kind: str, methods: Mapping[str, str], *, several: bool) -> str:
    label = f", {point['label'].replace('=', ' ')}" if point["label"] else ""
    name = methods[point["method"]] + label
    cells = [_cell(point[kind].get(column.key)) for column in GUIDANCE_COLUMNS]
    cells.append(_cell(point[COST.key]))
    return f"| {_named(name, point['space'], several)} | {' | '.join(cells)} |"


def _named(name: str, space: str, several: bool) -> str:
    name = name.replace("_", " ")
    return f"{space}: {name}" if several else name


def _cell(value: Sequence[float | None] | None) -> str:
    if value is None or value[0] is None:
        return format_value(None)
    mean, spread = value
    return format_value(mean) if spread is None else f"{format_value(mean)} ± {spread:.1g}"
