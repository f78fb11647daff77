"""Markdown tables of the evidence on the ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.salinity import SALINITY_UNIT
from evaluation.columns import Column, format_value
from studies.ensemble.approach import TIMES
from studies.markdown import Result, Rows, Table, chosen, rows_markdown

PARAMETERS = (
    Column("wind_stress_scale", "wind stress", "factor"),
    Column("gm_diffusivity", "GM and Redi diffusivity", "m²/s"),
    Column("vertical_diffusivity", "vertical diffusivity", "10⁻⁵ m²/s"),
    Column("warming", "warming", "K"),
)
SCALES = {"vertical_diffusivity": 1e5}  # from SI units to those of `PARAMETERS`
MEMBERS = (
    Column("part", "part"),
    Column("parent", "parent"),
    *PARAMETERS,
    Column("tracer_step_days", "tracer step", "days"),
)
STEPS = (
    Column("part", "part"),
    Column("tracer_step_days", "tracer step", "days"),
    Column("oscillation_K", "grid-scale oscillation", "K"),
)
TRENDS = (
    Column("part", "part"),
    Column("rms_temperature_K_per_century", "T, rms", "K/century"),
    Column("largest_temperature_K_per_century", "T, largest", "K/century"),
    Column("largest_temperature_depth_m", "at", "m"),
    Column("rms_salinity_per_century", "S, rms", f"{SALINITY_UNIT} per century"),
    Column("largest_salinity_per_century", "S, largest", f"{SALINITY_UNIT} per century"),
    Column("largest_salinity_depth_m", "at", "m"),
)
APPROACH = (
    Column("e_folding_years", "e-folding time", "years"),
    Column("resampled_years", "5–95 %, members resampled", "years"),
    Column("singly_years", "10–90 % of members singly", "years"),
    Column("remaining", "left at the end", f"K or {SALINITY_UNIT}"),
    Column("continued_before_years", "members to be continued, without", "years"),
    Column("continued_years", "with their continuations", "years"),
)
ROUNDING = (
    Column("density_error_percent", "density error", "%"),
    Column("any_inversion_percent", "any inversion", "%"),
    Column("near_neutral_pairs_percent", "near-neutral pairs", "%"),
)
DISTANCES = (
    Column("between_median_K", "between members, median", "K"),
    Column("nearest_median_K", "held out to nearest training member, median", "K"),
    Column("nearest_largest_K", "the same, largest", "K"),
    Column("drift_median_K", "own drift, median", "K"),
    Column("drift_largest_K", "own drift, largest", "K"),
    Column("replicate_median_K", "replicate to original", "K"),
)
DISTANCES_OF_MEMBERS = (
    Column("part", "part"),
    Column("nearest", "nearest training member"),
    Column("nearest_K", "distance to it", "K"),
    Column("others_median_K", "median distance to the others", "K"),
    Column("drift_K", "own drift", "K"),
    Column("original_K", "distance to the original", "K"),
)
SIZES = (
    Column("members", "members"),
    Column("planned_members", "planned"),
    Column("records", "records"),
    Column("states", "states of the archive"),
    Column("planned_states", "planned"),
    Column("files_MB", "members' files", "MB"),
    Column("archive_MB", "archive", "MB"),
)
ROWS = {  # group: key of its rows, columns
    "members": ("members", MEMBERS),
    "steps": ("members", STEPS),
    "trends": ("trends", TRENDS),
    "rounding": ("rounding", ROUNDING),
    "distances": ("distances", DISTANCES),
    "nearest": ("distances_of_members", DISTANCES_OF_MEMBERS),
    "sizes": ("sizes", SIZES),
}
OTHERS = ("approach", "worth_temperature", "worth_salinity")


def ensemble_table(result: Result, group: str | None) -> str:
    """One table of the ensemble.

    group: members (default), steps, trends, worth_temperature, worth_salinity, approach, rounding,
    distances, nearest or sizes
    """
    chosen(dict.fromkeys([*ROWS, *OTHERS]), group)
    group = group or "members"
    if group == "approach":
        return rows_markdown(_with_ranges(result["approach"]), APPROACH)
    if group in OTHERS:
        return _worth_table(result, group.removeprefix("worth_"))
    key, columns = ROWS[group]
    table = rows_markdown(_of_members(result[key], result["members"]), columns)
    return table + _left_out(result["missing"]) if group == "members" else table


def _worth_table(result: Result, field: str) -> str:
    unit = {"temperature": "K", "salinity": SALINITY_UNIT}[field]
    per_century = f"{unit}{'/' if unit == 'K' else ' per '}century"
    columns = (
        Column("change", "change of the mean state", unit),
        Column("noise", "of which noise", unit),
        Column("level_change", "change of the level means", unit),
        Column("trend_per_century", "trend before", per_century),
        Column("last_trend_per_century", "trend at the end", per_century),
    )
    table = rows_markdown(result["worth"][field], columns)
    return table + _left_out(result["missing_continuations"])


def _with_ranges(rows: Rows) -> dict[str, dict[str, Any]]:
    """Rows with "low to high" in place of pairs, and a bound in place of the longest time."""
    return {name: {key: _years(value) for key, value in row.items()} for name, row in rows.items()}


def _years(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(dict.fromkeys(map(_bounded, value)))
    return _bounded(value) if value == TIMES[-1] else value


def _bounded(years: float) -> str:
    return f"over {format_value(float(years))}" if years == TIMES[-1] else format_value(years)


def _of_members(rows: Rows, members: Rows) -> dict[str, Mapping[str, Any]]:
    """Rows with the part of each member, and parameters in the units of the table."""
    return {
        name: {**_scaled(row), "part": members[name]["part"]} if name in members else row
        for name, row in rows.items()
    }


def _scaled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: SCALES[key] * value if key in SCALES else value for key, value in row.items()}


def _left_out(names: Sequence[str]) -> str:
    return f"\nNot finished and left out: {', '.join(names)}.\n" if names else ""


TABLES: dict[str, Table] = {"ensemble": ensemble_table}
