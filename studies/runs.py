"""Tables of a run's states: one line for each kind of states, the most telling metrics by group."""

from __future__ import annotations

from evaluation.columns import Column
from evaluation.metrics.catalogue import COLUMNS
from evaluation.report import INTEGRATION_COLUMNS
from evaluation.seeds import with_spread
from evaluation.yardsticks import PRODUCT, ROW_NAMES
from studies.goals import GOALS, aims_table
from studies.markdown import Result, chosen, rows_markdown

GROUPS = {
    "stability": (
        "density_error_percent",
        "near_neutral_pairs_percent",
        "mixed_layer_depth_mean_m",
        "mixed_layer_depth_p90_m",
        "w1_stratification_1e_minus_5_per_s2",
        "ts_misplaced_percent",
    ),
    "distribution": (
        "w1_temperature_K",
        "w1_salinity",
        "variance_ratio_mean_temperature_training",
        "variance_ratio_smallest_temperature_training",
        "variance_ratio_largest_temperature_training",
        "variance_ratio_smallest_salinity_training",
        "novelty",
    ),
    "structure": (
        "spectra_ratio_small_scales",
        "power_ratio_thermocline_third_2",
        "front_ratio_subsurface_p90",
        "season_radius_ratio",
        "variance_between_members_smallest_temperature",
    ),
    "classifier": (
        "auc_surface",
        "auc_all_levels",
        "auc_surface_training",
        "auc_all_levels_training",
    ),
}
INTEGRATION = "integration"


def run_table(result: Result, group: str | None) -> str:
    """The states of a run and the yardsticks; group: "stability" (default) or another of `GROUPS`.

    Group "integration": the runs of the ocean model from these states; those of `GOALS`: what the
    product is held against.
    """
    if group is not None and group in GOALS:
        return aims_table(result, group)
    if group == INTEGRATION:
        return rows_markdown(result["integration"]["by_start"], INTEGRATION_COLUMNS)
    keys = chosen(GROUPS | dict.fromkeys([INTEGRATION, *GOALS], ()), group) or GROUPS["stability"]
    seeds = {PRODUCT: result.get("seeds")}
    rows = {
        ROW_NAMES.get(name, name): with_spread(values, seeds.get(name))
        for name, values in result["rows"].items()
    }
    return rows_markdown(rows, [_column(key) for key in keys])


def _column(key: str) -> Column:
    return next(column for column in COLUMNS if column.key == key)
