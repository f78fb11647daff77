"""The Markdown tables of docs/spinup.md, from docs/results/spinup.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from evaluation.report import Column, format_value, table_head

Rows = Mapping[str, Mapping[str, Any]]

RUNS = (
    Column("finished", "finished"),
    Column("members", "of"),
    Column("years", "length", "years"),
    Column("blown_up", "diverged"),
    Column("long_members", "long runs"),
    Column("long_years", "their length", "years"),
    Column("long_reached", "reached by now", "years"),
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
    Column("mean_drift_temperature_K", "volume-mean T", "K"),
    Column("mean_drift_salinity", "volume-mean S", "10⁻³"),
    Column("settled_5_percent", "settled (5 years)", "% of members"),
    Column("settled_5", "in year (5 years)"),
    Column("settled_10_percent", "settled (10 years)", "% of members"),
    Column("settled_10", "in year (10 years)"),
)
DISTANCE = (
    Column("first_year_change_K", "field of T, change in the first year", "K"),
    Column("first_year_change_salinity", "field of S, change in the first year", "10⁻³"),
    Column("distance_second_year_K", "T from the truth's, second year", "K"),
    Column("distance_last_year_K", "last year", "K"),
    Column("distance_second_year_salinity", "S from the truth's, second year", "10⁻³"),
    Column("distance_last_year_salinity", "last year", "10⁻³"),
)
FIRST_YEAR = (
    Column("start_overturning_columns_percent", "columns that overturn at the start", "%"),
    Column("start_density_error_percent", "density error at the start", "%"),
    Column("overturning_columns_percent", "columns that overturn", "%"),
    Column("deep_mixing_percent", "mixed below 500 m", "% of area"),
    Column("paired_deep_mixing_percent", "the same − truth", "% of area"),
    Column("mixed_layer_mean", "mixed layer", "m"),
    Column("paired_mixed_layer_mean", "the same − truth", "m"),
    Column("mixed_layer_p90", "mixed layer, 90th percentile", "m"),
    Column("first_year_kinetic_energy_cm2_s2", "kinetic energy", "cm²/s²"),
)
ACCEPTANCE = (
    Column("bottom_water_temperature", "bottom water T", "°C"),
    Column("bottom_water_salinity", "bottom water S", "10⁻³"),
    Column("deep_water_temperature", "deep water T", "°C"),
    Column("deep_water_salinity", "deep water S", "10⁻³"),
    Column("mid_depth_temperature", "T at 500 m, 30°S-30°N", "°C"),
    Column("channel_transport_Sv", "channel", "Sv"),
    Column("gyre_strength_Sv", "subtropical gyre", "Sv"),
    Column("northern_overturning_Sv", "northern overturning", "Sv"),
    Column("abyssal_overturning_Sv", "abyssal cell", "Sv"),
    Column("kinetic_energy_cm2_s2", "kinetic energy", "cm²/s²"),
    Column("density_error_percent", "density error", "%"),
)
LONG = (
    Column("years", "years so far"),
    Column("drift_temperature_K", "drift of T", "K"),
    Column("drift_salinity", "drift of S", "10⁻³"),
    Column("last_rate_K_per_century", "rate of T, last decade", "K/century"),
    Column("last_rate_salinity_per_century", "rate of S, last decade", "10⁻³/century"),
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
GROUPS = {"drift": DRIFT, "distance": DISTANCE, "first": FIRST_YEAR, "acceptance": ACCEPTANCE}
SPINUP_RUNS = "runs"  # the table of what has finished
NOTHING_YET = "(Nothing has finished that could stand here.)"
SECONDS = "_seconds"
LOWER_BOUNDS = ("cold_years", "cold_seconds", "ratio")  # where the cold start has not settled yet


def spinup_markdown(content: Mapping[str, Any], group: str | None) -> str:
    """One table, a figure, or the sentences of the verdict.

    group: runs, criterion, long, accounts, verdict; drift, distance, first, acceptance or levels
    with the length of the runs compared, as in `drift_20`; or a figure, as `figure_cost`
    """
    group = group or ""
    if group in content.get("figures", {}):
        return f"![{content['figures'][group]}](figures/{group.replace('figure', 'spinup')}.png)\n"
    simple = {SPINUP_RUNS: RUNS, "criterion": CRITERION, "long": LONG}
    kind, _, years = group.partition("_")
    if kind not in (*simple, *GROUPS, "accounts", "verdict", "levels", "figure"):
        raise UserError(
            f"there is no table '{group}' of the spin-up; there are {', '.join(simple)}, accounts, "
            f"verdict, figure_NAME, and {', '.join((*GROUPS, 'levels'))} with _ and a number of "
            "years"
        )
    found = content["after"] if kind in GROUPS else content.get(kind, {})
    found = found.get(years) if years else found
    if not found:
        return f"{NOTHING_YET}\n"
    if kind == "accounts":
        return accounts_markdown(found)
    if kind == "verdict":
        return "\n".join(f"- {sentence}" for sentence in found) + "\n"
    if kind == "levels":
        return levels_markdown(found, content["depth"])
    return _ranges_markdown(found, (simple | GROUPS)[kind])


def levels_markdown(levels: Mapping[str, Any], depth: Sequence[float]) -> str:
    """Drift of the truth and of the generated states at each level, and how many lie inside."""
    heads = [
        f"{field}: {name}"
        for field, unit in (("T", "10⁻³ K"), ("S", "10⁻⁶"))
        for name in (f"truth [{unit}]", f"generated [{unit}]", "generated inside [%]")
    ]
    lines = [f"| depth [m] | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for k, metres in enumerate(depth):
        cells = [f"{metres:.0f}"]
        for field, scale in (("temperature", 1e3), ("salinity", 1e6)):
            truth, mine = (_level(levels, label, field, k) for label in ("truth", "generated"))
            cells += [_range(entry["range"], scale) for entry in (truth, mine)]
            cells.append(_inside(mine))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _level(levels: Mapping[str, Any], label: str, field: str, k: int) -> Mapping[str, Any]:
    drifts = levels.get(label, {}).get(field)
    return drifts[k] if drifts else {"range": None, "inside_percent": None}


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
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: Any, column: Column) -> str:
    if not isinstance(value, Mapping):
        return format_value(value)
    return _range(value, decimals=3 if column.key.endswith("water_salinity") else None)


def _range(
    found: Mapping[str, float] | None, scale: float = 1.0, *, decimals: int | None = None
) -> str:
    """Mean (low to high) in three figures, or with so many decimals."""
    if found is None:
        return format_value(None)
    mean, low, high = (
        format_value(scale * found[key])
        if decimals is None
        else f"{scale * found[key]:.{decimals}f}"
        for key in ("mean", "low", "high")
    )
    return mean if low == high else f"{mean} ({low} to {high})"


def _inside(entry: Mapping[str, Any]) -> str:
    if entry["inside_percent"] is None:
        return format_value(None)
    return f"{entry['inside_percent']:.0f}{'' if entry['overlaps'] else ', apart'}"
