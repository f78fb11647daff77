"""Markdown tables of comparisons of autoencoders."""

from __future__ import annotations

from evaluation.columns import Column
from studies.markdown import Result, Table, chosen, rows_markdown

GROUPS = {
    "reconstruction": (
        Column("compression", "compression"),
        Column("rmse_temperature_percent_of_total_std", "RMSE of T", "% of std"),
        Column("rmse_salinity_percent_of_total_std", "RMSE of S", "% of std"),
        Column("rmse_temperature_percent_of_anomaly_std", "RMSE of T", "% of anomaly std"),
        Column("spectrum_ratio_surface_third_2", "SST spectrum, third 2"),
        Column("spectrum_ratio_surface_third_3", "SST spectrum, third 3"),
        Column("spectrum_ratio_thermocline_third_3", "T 300-500 m spectrum, third 3"),
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
    return rows_markdown(result["variants"], chosen(GROUPS, group) or GROUPS["design"])


TABLES: dict[str, Table] = {"autoencoders": autoencoders_table}
