"""Markdown tables of comparisons of autoencoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.columns import Column
from studies.markdown import Result, Table, chosen, rows_markdown

TRAINING = "training: "  # begins the keys of a codec's metrics on training states
GROUPS = {
    "reconstruction": (
        Column("compression", "compression"),
        Column("rmse_temperature_percent_of_anomaly_std", "RMSE of T", "% of anomaly std"),
        Column(f"{TRAINING}rmse_temperature_percent_of_anomaly_std", "... on training states", "%"),
        Column("rmse_salinity_percent_of_anomaly_std", "RMSE of S", "% of anomaly std"),
        Column(f"{TRAINING}rmse_salinity_percent_of_anomaly_std", "... on training states", "%"),
        Column("spectrum_ratio_surface_third_3", "SST spectrum, third 3"),
        Column("spectrum_ratio_thermocline_third_3", "T 300-500 m spectrum, third 3"),
    ),
    "spectra": (
        Column("compression", "compression"),
        *(
            Column(f"spectrum_ratio_{place}_third_{third}", f"{name}, third {third}")
            for place, name in (("surface", "SST"), ("thermocline", "T 300-500 m"))
            for third in (1, 2, 3)
        ),
    ),
    "physics": (
        Column("truth_density_error_percent", "density error, truth", "%"),
        Column("density_error_percent", "density error", "%"),
        Column("perturbed_density_error_percent", "density error, perturbed", "%"),
        Column("interpolated_density_error_percent", "density error, interpolated", "%"),
        Column("mixed_layer_depth_bias_percent", "mixed layer", "%"),
        Column("near_neutral_ratio", "near-neutral"),
        Column("adjusted_near_neutral_ratio", "near-neutral, adjusted"),
    ),
    "design": (
        Column("training_samples", "training samples"),
        Column("rmse_temperature_percent_of_total_std", "RMSE of T", "% of std"),
        Column("rmse_salinity_percent_of_total_std", "RMSE of S", "% of std"),
        Column("spectrum_ratio_surface_third_3", "SST spectrum, third 3"),
        Column("density_error_percent", "density error", "%"),
        Column("mixed_layer_depth_bias_percent", "mixed layer", "%"),
        Column("near_neutral_ratio", "near-neutral"),
    ),
}


def autoencoders_table(result: Result, group: str | None) -> str:
    """One line for each autoencoder; group: its quantities; default: "design"."""
    rows = {name: values | _on_training(values) for name, values in result["variants"].items()}
    return rows_markdown(rows, chosen(GROUPS, group) or GROUPS["design"])


def _on_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics on training states, which only runs have."""
    return {TRAINING + key: value for key, value in values.get("training", {}).items()}


TABLES: dict[str, Table] = {"autoencoders": autoencoders_table}
