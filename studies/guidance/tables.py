"""Markdown tables of studies of guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.columns import Column, format_spread, format_value, table_head
from studies.markdown import Result, Table, chosen, readable

DENSITY_ERROR = Column("density_error_percent", "density error", "%")
MIXED_LAYER = Column("mixed_layer_depth_mean_m", "mixed layer, mean", "m")
NEAR_NEUTRAL = Column("near_neutral_pairs_percent", "near-neutral pairs", "%")
GROUPS = {
    "methods": (
        DENSITY_ERROR,
        MIXED_LAYER,
        Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m"),
        NEAR_NEUTRAL,
        Column("variance_of_unguided_surface_temperature", "variance / unguided, surface T"),
        Column(
            "variance_of_unguided_thermocline_temperature", "variance / unguided, thermocline T"
        ),
        Column("adjustment_moves_std", "change by adjustment", "std"),
    ),
    "accuracy": (
        DENSITY_ERROR,
        MIXED_LAYER,
        NEAR_NEUTRAL,
        Column("variance_ratio_surface_temperature", "variance, surface T"),
        Column("w1_temperature_K", "W₁ of T", "K"),
        Column("spectra_ratio_small_scales", "small-scale power"),
        Column("seconds_per_member", "processor time", "s"),
    ),
    "adjusted": (
        MIXED_LAYER,
        Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m"),
        NEAR_NEUTRAL,
        Column("spectra_ratio_small_scales", "small-scale power"),
        Column("power_ratio_thermocline_third_2", "power, thermocline, medium waves"),
        Column("w1_temperature_K", "W₁ of T", "K"),
        Column("seconds_per_member", "processor time", "s"),
    ),
}
TRUTH, DRAWN, ADJUSTED = "truth", "as drawn", "adjusted"


def guidance_table(study: Result, group: str | None) -> str:
    """The truth, the yardsticks, and each method in each space: mean and spread over seeds.

    States are those before exact adjustment, but in the group "adjusted". A swept method is shown
    at the value chosen by the study. group: "methods" (default) to compare methods, "accuracy" for
    the distance to the truth.
    """
    kind = ADJUSTED if group == ADJUSTED else DRAWN
    columns = chosen(GROUPS, group) or GROUPS["methods"]
    spaces = list(study["truth"])
    truth = study["truth"][spaces[0]]
    plain = {TRUTH: truth, **study.get("yardsticks", {}).get(spaces[0], {})}
    rows = {
        name: [format_value(values.get(column.key)) for column in columns]
        for name, values in plain.items()
    }
    for point in study["points"].values():
        if _is_shown(point, study["shown"]):
            space = f"{readable(point['space'])}: " if len(spaces) > 1 else ""
            values = {"seconds_per_member": point["seconds_per_member"]} | point[kind]
            rows[space + _label(point)] = [_cell(values.get(column.key)) for column in columns]
    lines = [f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items()]
    return "\n".join([*table_head(columns), *lines]) + "\n"


def _is_shown(point: Mapping[str, Any], shown: Mapping[str, Mapping[str, str]]) -> bool:
    return shown.get(point["space"], {}).get(point["method"], point["label"]) == point["label"]


def _label(point: Mapping[str, Any]) -> str:
    parts = (point["method"], point["label"].replace("=", " "))
    return readable(", ".join(part for part in parts if part))


def _cell(value: Sequence[float | None] | None) -> str:
    return format_spread(*(value or (None, None)))


TABLES: dict[str, Table] = {"guidance": guidance_table}
