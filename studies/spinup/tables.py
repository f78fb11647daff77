"""Markdown tables of the spin-up studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from data.salinity import SALINITY_UNIT
from evaluation.columns import Column, format_value, table_head
from studies.markdown import Result, Rows, Table, readable, rows_markdown, table_of

RUNS = (
    Column("finished", "finished"),
    Column("members", "planned"),
    Column("years", "length", "years"),
    Column("blown_up", "diverged"),
    Column("long_members", "long runs"),
    Column("long_reached", "length of long runs", "years"),
)
CRITERION = (
    Column("temperature_limit", "maximum rate of T", "K/year"),
    Column("salinity_limit", "maximum rate of S", f"{SALINITY_UNIT}/year"),
    Column("runs", "reference runs"),
)
DRIFT = (
    Column("members", "members"),
    Column("drift_temperature_K", "drift of T", "K"),
    Column("drift_salinity", "drift of S", SALINITY_UNIT),
    Column("settled_5_percent", "settled (5 years)", "% of members"),
    Column("distance_second_year_K", "T − truth (rms), year 2", "K"),
    Column("distance_last_year_K", "T − truth (rms), last year", "K"),
    Column("distance_second_year_salinity", "S − truth (rms), year 2", SALINITY_UNIT),
)
FIRST_YEAR = (
    Column("start_overturning_columns_percent", "unstable columns at the start", "%"),
    Column("overturning_columns_percent", "unstable columns, year 1", "%"),
    Column("paired_deep_mixing_percent", "mixed below 500 m − truth", "% of area"),
    Column("mixed_layer_mean", "mixed layer", "m"),
    Column("paired_mixed_layer_mean", "mixed layer − truth", "m"),
)
CIRCULATION = (
    Column("bottom_water_temperature", "bottom water T", "°C"),
    Column("bottom_water_salinity", "bottom water S", SALINITY_UNIT),
    Column("channel_transport_Sv", "channel transport", "Sv"),
    Column("northern_overturning_Sv", "northern overturning", "Sv"),
    Column("kinetic_energy_cm2_s2", "kinetic energy", "cm²/s²"),
)
LONG = (
    Column("years", "years"),
    Column("drift_temperature_K", "drift of T", "K"),
    Column("drift_salinity", "drift of S", SALINITY_UNIT),
    Column("last_rate_K_per_century", "rate of T, last decade", "K/century"),
    Column("trend_K_per_century", "trend of volume-mean T, second half", "K/century"),
    Column("settled_5", "settled (5 years)", "year"),
    Column("settled_10", "settled (10 years)", "year"),
)
ACCOUNT = (
    Column("year_seconds", "simulated year"),
    Column("cold_years", "cold start: years to equilibrium"),
    Column("cold_seconds", "cold start: simulation"),
    Column("sampling_seconds", "generated state: sampling"),
    Column("adjustment_years", "generated state: years to equilibrium"),
    Column("adjustment_seconds", "generated state: simulation"),
    Column("ratio", "cold start / generated state"),
    Column("training_seconds", "training"),
    Column("data_seconds", "simulation of the training data"),
    Column("pays_training_after", "states to amortise training"),
    Column("pays_training_and_data_after", "states to amortise training and data"),
    Column("ratio_of_100_with_training", "ratio for 100 states, with training"),
    Column("ratio_of_100_with_training_and_data", "ratio for 100 states, with training and data"),
)
FLOW_COLUMNS = (
    Column("rms_0_m_cm_s", "rms speed, surface", "cm/s"),
    Column("rms_1000_m_cm_s", "rms speed, 1000 m", "cm/s"),
    Column("rms_3000_m_cm_s", "rms speed, 3000 m", "cm/s"),
    Column("rms_cm_s", "rms speed, all depths", "cm/s"),
    Column("mean_flow_error_percent", "error of the mean flow", "%"),
)
COLD_START_COLUMNS = (
    Column("start_percent", "at the start", "%"),
    Column("mean_percent", "mean", "%"),
    Column("lowest_percent", "lowest", "%"),
    Column("highest_percent", "highest", "%"),
    Column("rms_departure_percent", "rms departure from 100", "%"),
    Column("rise_and_fall_percent", "total variation", "%"),
)
DISTANCES = (
    Column("points_inside", "points inside"),
    Column("second_year_inside_K", "T − truth (rms), year 2, inside", "K"),
    Column("last_year_inside_K", "T − truth (rms), last year, inside", "K"),
    Column("last_year_to_floor", "last year / another own state"),
    Column("last_year_to_nearest", "last year / nearest member"),
    Column("points_outside", "points outside"),
    Column("last_year_outside_K", "T − truth (rms), last year, outside", "K"),
)
NO_AIMS = ("training_mean", "analytic")  # starts that are further than all that the aims are about
BOUNDED = "nearest_reached"  # of a start: False if the values of some aims are bounds
AIMS = (  # quantity, what it is meant to be, and whether it can be a bound
    (Column("second_to_floor", "distance in year 2 / another own state"), "at most 1.5", False),
    (Column("tenth_to_floor", "distance in year 10 / another own state"), "at most 1.5", False),
    (Column("second_to_nearest", "distance in year 2 / nearest member"), "at most 0.4", False),
    (Column("tenth_to_nearest", "distance in year 10 / nearest member"), "at most 0.4", False),
    (
        Column("channel_transport_inside_percent", "channel transport like own states' [%]"),
        "at least 80",
        False,
    ),
    (Column("channel_transport_error_Sv", "error of the channel transport [Sv]"), "–", False),
    (
        Column("kinetic_energy_inside_percent", "kinetic energy like own states' [%]"),
        "at least 80",
        False,
    ),
    (Column("nearest_years", "years that the nearest member's run needs"), "at least 30", True),
    (Column("nearest_cost", "cost of these years / cost"), "at least 40", True),
)
SIMPLE = {"runs": RUNS, "criterion": CRITERION, "long": LONG, "distances": DISTANCES}
BY_LENGTH = {"drift": DRIFT, "first": FIRST_YEAR, "circulation": CIRCULATION}
NOTHING_YET = "(No runs have finished yet.)"
SECONDS = "_seconds"
LOWER_BOUNDS = ("cold_years", "cold_seconds", "ratio")  # if the cold start has not settled


def spinup_table(result: Result, group: str | None) -> str:
    """One table of a spin-up study.

    group: runs (default), criterion, long, distances, aims or accounts; depths_temperature or
        depths_salinity; or drift, first or circulation with the length of the runs in years, as in
        `drift_20`
    """
    content = result["spinup"]
    kind, _, years = (group or "runs").partition("_")
    if kind == "depths":
        return _depths_markdown(content.get(kind, {}).get(years))
    if kind not in (*SIMPLE, *BY_LENGTH, "accounts", "aims"):
        raise UserError(
            f"there is no table '{group}' of the spin-up; the tables are {', '.join(SIMPLE)}, "
            "accounts, aims, depths_temperature, depths_salinity, and "
            f"{', '.join(BY_LENGTH)} followed by _ and a number of years"
        )
    rows = content["after"].get(years) if kind in BY_LENGTH else content.get(kind)
    if not rows:
        return f"{NOTHING_YET}\n"
    if kind == "accounts":
        return accounts_markdown(rows)
    if kind == "aims":
        return aims_markdown(rows)
    return _ranges_markdown(rows, (SIMPLE | BY_LENGTH)[kind])


def accounts_markdown(accounts: Rows) -> str:
    """One line for each quantity, one column for each ocean model or criterion of equilibrium."""
    lines = [f"| | {' | '.join(accounts)} |", "|---" * (len(accounts) + 1) + "|"]
    for column in ACCOUNT:
        cells = [_account_cell(account, column.key) for account in accounts.values()]
        lines.append(f"| {column.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def aims_markdown(starts: Rows) -> str:
    """One line for each aim, one column for each start; "> 20" where 20 is a bound."""
    starts = {label: row for label, row in starts.items() if label not in NO_AIMS}
    lines = [f"| | aim | {' | '.join(map(readable, starts))} |"]
    lines.append("|---" * (len(starts) + 2) + "|")
    for column, aim, can_be_bound in AIMS:
        cells = [
            f"{'> ' if can_be_bound and row.get(BOUNDED) is False else ''}"
            f"{format_value(row.get(column.key))}"
            for row in starts.values()
        ]
        lines.append(f"| {column.name} | {aim} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _depths_markdown(starts: Rows | None) -> str:
    """One line for each start, one column for each range of depth."""
    if not starts:
        return f"{NOTHING_YET}\n"
    return rows_markdown(starts, [Column(name, name) for name in next(iter(starts.values()))])


def _account_cell(account: Mapping[str, Any], key: str) -> str:
    text = duration(account[key]) if key.endswith(SECONDS) else format_value(account[key])
    bound = not account["cold_settled"] and key in LOWER_BOUNDS
    return f"> {text}" if bound else text


def duration(seconds: float | None) -> str:
    """Processor time in seconds or hours."""
    if seconds is None or seconds != seconds:
        return format_value(None)
    value, unit = (seconds / 3600, "CPU-h") if seconds >= 7200 else (seconds, "CPU-s")
    return f"{format_value(value)} {unit}"


def _ranges_markdown(rows: Rows, columns: Sequence[Column]) -> str:
    """One line for each row; ranges are shown as mean (5th to 95th percentile)."""
    shown = [c for c in columns if any(row.get(c.key) is not None for row in rows.values())]
    lines = table_head(shown)
    for name, row in rows.items():
        cells = [_cell(row.get(column.key), column) for column in shown]
        lines.append(f"| {readable(name)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: Any, column: Column) -> str:
    if not isinstance(value, Mapping):
        return format_value(value)
    return _range(value, decimals=3 if column.key.endswith("water_salinity") else None)


def _range(spread: Mapping[str, float], *, decimals: int | None = None) -> str:
    """Mean (low to high) with three significant figures, or with `decimals` decimals."""
    mean, low, high = (
        format_value(spread[key]) if decimals is None else f"{spread[key]:.{decimals}f}"
        for key in ("mean", "low", "high")
    )
    return mean if low == high else f"{mean} ({low} to {high})"


TABLES: dict[str, Table] = {
    "spinup": spinup_table,
    "cold_starts": table_of("cold_starts", COLD_START_COLUMNS),
    "flow_references": table_of("flow_references", FLOW_COLUMNS),
}
