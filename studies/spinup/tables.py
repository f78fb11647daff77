"""The Markdown tables of studies of spin-up, and of starts in balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from evaluation.report import Column, format_value, table_head
from studies.markdown import Result, Rows, Table, readable, table_of

RUNS = (
    Column("finished", "finished"),
    Column("members", "of"),
    Column("years", "length", "years"),
    Column("blown_up", "diverged"),
    Column("long_members", "long runs"),
    Column("long_reached", "their length", "years"),
)
CRITERION = (
    Column("temperature_limit", "largest rate of T", "K/year"),
    Column("salinity_limit", "largest rate of S", "10⁻³/year"),
    Column("runs", "true runs behind it"),
)
DRIFT = (
    Column("members", "members"),
    Column("drift_temperature_K", "drift of T", "K"),
    Column("drift_salinity", "drift of S", "10⁻³"),
    Column("settled_5_percent", "settled (5 years)", "% of members"),
    Column("distance_second_year_K", "T from the truth's, second year", "K"),
    Column("distance_last_year_K", "last year", "K"),
    Column("distance_second_year_salinity", "S from the truth's, second year", "10⁻³"),
)
FIRST_YEAR = (
    Column("start_overturning_columns_percent", "columns that overturn at the start", "%"),
    Column("overturning_columns_percent", "in the year", "%"),
    Column("paired_deep_mixing_percent", "mixed below 500 m − truth", "% of area"),
    Column("mixed_layer_mean", "mixed layer", "m"),
    Column("paired_mixed_layer_mean", "mixed layer − truth", "m"),
)
CIRCULATION = (
    Column("bottom_water_temperature", "bottom water T", "°C"),
    Column("bottom_water_salinity", "bottom water S", "10⁻³"),
    Column("channel_transport_Sv", "channel", "Sv"),
    Column("northern_overturning_Sv", "northern overturning", "Sv"),
    Column("kinetic_energy_cm2_s2", "kinetic energy", "cm²/s²"),
)
LONG = (
    Column("years", "years"),
    Column("drift_temperature_K", "drift of T", "K"),
    Column("drift_salinity", "drift of S", "10⁻³"),
    Column("last_rate_K_per_century", "rate of T, last decade", "K/century"),
    Column("trend_K_per_century", "trend of volume-mean T, second half", "K/century"),
    Column("settled_5", "settled in year (5 years)"),
    Column("settled_10", "settled in year (10 years)"),
)
ACCOUNT = (
    Column("year_seconds", "a simulated year"),
    Column("cold_years", "cold start: years until settled"),
    Column("cold_seconds", "cold start until settled"),
    Column("sampling_seconds", "generated state: sampling"),
    Column("adjustment_years", "generated state: years until settled"),
    Column("adjustment_seconds", "generated state: those years"),
    Column("ratio", "cold start / generated state"),
    Column("training_seconds", "training"),
    Column("data_seconds", "simulating the training data"),
    Column("pays_training_after", "states that pay for the training"),
    Column("pays_training_and_data_after", "states that pay for training and data"),
    Column("ratio_of_100_with_training", "ratio for 100 states, training included"),
    Column("ratio_of_100_with_training_and_data", "the same, data included too"),
)
FLOW_COLUMNS = (
    Column("rms_0_m_cm_s", "rms at the surface", "cm/s"),
    Column("rms_1000_m_cm_s", "near 1000 m", "cm/s"),
    Column("rms_3000_m_cm_s", "near 3000 m", "cm/s"),
    Column("rms_cm_s", "of all water", "cm/s"),
    Column("mean_flow_error_percent", "error of the mean flow", "%"),
)
COLD_START_COLUMNS = (
    Column("start_percent", "at the start", "%"),
    Column("mean_percent", "mean", "%"),
    Column("lowest_percent", "lowest", "%"),
    Column("highest_percent", "highest", "%"),
    Column("rms_departure_percent", "rms departure from 100", "%"),
    Column("rise_and_fall_percent", "all rises and falls", "%"),
)
SIMPLE = {"runs": RUNS, "criterion": CRITERION, "long": LONG}
BY_LENGTH = {"drift": DRIFT, "first": FIRST_YEAR, "circulation": CIRCULATION}
NOTHING_YET = "(Nothing has finished that could stand here.)"
SECONDS = "_seconds"
LOWER_BOUNDS = ("cold_years", "cold_seconds", "ratio")  # where the cold start has not settled yet


def spinup_table(result: Result, group: str | None) -> str:
    """One table of a study of spin-up.

    group: runs (also if None), criterion, long or accounts; drift, first or circulation with the
    length of the runs compared, as in `drift_20`
    """
    content = result["spinup"]
    kind, _, years = (group or "runs").partition("_")
    if kind not in (*SIMPLE, *BY_LENGTH, "accounts"):
        raise UserError(
            f"there is no table '{group}' of the spin-up; there are {', '.join(SIMPLE)}, accounts, "
            f"and {', '.join(BY_LENGTH)} with _ and a number of years"
        )
    found = content["after"].get(years) if kind in BY_LENGTH else content.get(kind)
    if not found:
        return f"{NOTHING_YET}\n"
    if kind == "accounts":
        return accounts_markdown(found)
    return _ranges_markdown(found, (SIMPLE | BY_LENGTH)[kind])


def accounts_markdown(accounts: Rows) -> str:
    """One line for each quantity, one column for each ocean or way to say when it has settled."""
    lines = [f"| | {' | '.join(accounts)} |", "|---" * (len(accounts) + 1) + "|"]
    for column in ACCOUNT:
        cells = [_account_cell(account, column.key) for account in accounts.values()]
        lines.append(f"| {column.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _account_cell(account: Mapping[str, Any], key: str) -> str:
    text = duration(account[key]) if key.endswith(SECONDS) else format_value(account[key])
    bound = not account["cold_settled"] and key in LOWER_BOUNDS
    return f"> {text}" if bound else text


def duration(seconds: float | None) -> str:
    """Processor time in a unit that suits it."""
    if seconds is None or seconds != seconds:
        return format_value(None)
    value, unit = (seconds / 3600, "CPU-h") if seconds >= 7200 else (seconds, "CPU-s")
    return f"{format_value(value)} {unit}"


def _ranges_markdown(rows: Rows, columns: Sequence[Column]) -> str:
    """One line for each row; ranges as mean and, in brackets, 5 to 95 %."""
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


def _range(found: Mapping[str, float], *, decimals: int | None = None) -> str:
    """Mean (low to high) in three figures, or with so many decimals."""
    mean, low, high = (
        format_value(found[key]) if decimals is None else f"{found[key]:.{decimals}f}"
        for key in ("mean", "low", "high")
    )
    return mean if low == high else f"{mean} ({low} to {high})"


TABLES: dict[str, Table] = {
    "spinup": spinup_table,
    "cold_starts": table_of("cold_starts", COLD_START_COLUMNS),
    "flow_references": table_of("flow_references", FLOW_COLUMNS),
}
