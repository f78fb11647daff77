"""Fill the tables of README.md and docs/ from docs/results: `halocline study tables`.

A table stands between the markers `<!-- table NAME -->` and `<!-- end -->` and shows
`docs/results/NAME.json`, a copy of a run's metrics.json or integration.json, or of the
study_SPLIT.json of a comparison of autoencoders, or the restorer's result. Of the latter two,
`<!-- table NAME GROUP -->` shows one group of metrics: see `CODEC_COLUMNS` and `RESTORER_COLUMNS`;
the group `samples` is that of generated states. `<!-- table RUN+RUN GROUP -->` shows the same group
of the autoencoders of several runs. Of a study of guidance, the groups are `drawn` and `adjusted`;
of the spin-up, see `studies.spinup.tables`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError, user_errors_in_one_sentence
from evaluation.report import COLUMNS, INTEGRATION_COLUMNS, Column, format_value, table_head
from studies.guidance.tables import guidance_markdown
from studies.spinup.tables import SPINUP_RUNS, spinup_markdown

ROOT = Path(__file__).resolve().parent.parent
Result = Mapping[str, Any]
Part = Callable[[Result, str | None], list[str]]
MARKED = re.compile(r"(<!-- table ([\w+]+)(?: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)

COSTS = (
    "decode",
    "decode_vjp",
    "data_space_forward",
    "latent_guided_step",
    "data_space_guided_step",
)
_SPECTRA = tuple(
    Column(f"spectrum_ratio_{place}_third_{third}", f"{name} spectrum, third {third}")
    for place, name in (("surface", "SST"), ("thermocline", "T 300-500 m"))
    for third in (1, 2, 3)
)
CODEC_COLUMNS = {
    "reconstruction": (
        Column("compression", "compression"),
        Column("rmse_temperature_percent_of_total_std", "RMSE of T", "% of std"),
        Column("rmse_salinity_percent_of_total_std", "RMSE of S", "% of std"),
        Column("rmse_temperature_percent_of_anomaly_std", "RMSE of T", "% of anomaly std"),
        Column("rmse_salinity_percent_of_anomaly_std", "RMSE of S", "% of anomaly std"),
        Column("rmse_worst_cell_percent_of_total_std", "worst cell", "% of std"),
        *_SPECTRA,
        Column("error_spectrum_ratio_surface_third_3", "SST error / truth, third 3"),
        Column("error_spectrum_ratio_thermocline_third_3", "T 300-500 m error / truth, third 3"),
        Column("variance_ratio_temperature", "variance ratio of T"),
        Column("variance_ratio_salinity", "variance ratio of S"),
    ),
    "physics": (
        Column("truth_density_error_percent", "density error, truth", "%"),
        *(
            column
            for prefix, name in (
                ("", "reconstruction"),
                ("adjusted_", "adjusted"),
                ("perturbed_", "perturbed"),
                ("interpolated_", "interpolated"),
            )
            for column in (
                Column(f"{prefix}density_error_percent", f"density error, {name}", "%"),
                Column(f"{prefix}mixed_layer_depth_bias_percent", f"mixed layer, {name}", "%"),
                Column(f"{prefix}near_neutral_ratio", f"near-neutral, {name}"),
            )
        ),
        Column("volume_mean_temperature_error_K", "volume-mean T", "K"),
        Column("volume_mean_salinity_error", "volume-mean S", "10⁻³"),
    ),
    "cost": (
        Column("training_samples", "training samples"),
        Column("codec_million_parameters", "parameters", "10⁶"),
        Column("encode_gflops", "encode", "GFLOP"),
        Column("decode_gflops", "decode", "GFLOP"),
        Column("decode_vjp_gflops", "decode + VJP", "GFLOP"),
        Column("encode_memory_MB", "encode", "MB"),
        Column("decode_vjp_memory_MB", "decode + VJP", "MB"),
        Column("cost_grid_decode_vjp_seconds", "decode + VJP, large grid", "s"),
        Column("cost_grid_latent_guided_step_memory_MB", "guided step, large grid", "MB"),
        Column("cost_grid_decode_vjp_per_data_space_forward", "decode + VJP / data-space forward"),
        Column("cost_grid_guided_step_memory_per_data_space", "memory / data-space guided step"),
    ),
    "seconds": (  # only of studies that had the machine for themselves
        Column("encode_seconds", "encode", "s"),
        Column("decode_seconds", "decode", "s"),
        Column("decode_vjp_seconds", "decode + VJP", "s"),
    ),
}
RESTORER_COLUMNS = {
    "restored": (
        Column("rmse_temperature_percent_of_total_std", "RMSE of T", "% of std"),
        Column("rmse_salinity_percent_of_total_std", "RMSE of S", "% of std"),
        *_SPECTRA,
        *(
            Column(f"error_spectrum_ratio_{place}_third_{third}", f"{name} error, third {third}")
            for place, name in (("surface", "SST"), ("thermocline", "T 300-500 m"))
            for third in (2, 3)
        ),
        Column("energy_correlation_surface", "places of small scales, SST"),
        Column("energy_correlation_thermocline", "places of small scales, T 400 m"),
        Column("variance_ratio_temperature", "variance ratio of T"),
        Column("variance_ratio_salinity", "variance ratio of S"),
        Column("density_error_percent", "density error", "%"),
        Column("mixed_layer_depth_bias_percent", "mixed layer", "%"),
        Column("near_neutral_ratio", "near-neutral"),
        Column("adjusted_mixed_layer_depth_bias_percent", "mixed layer, adjusted", "%"),
        Column("adjusted_near_neutral_ratio", "near-neutral, adjusted"),
        Column("restored_decode_seconds", "decode and restore", "s"),
    ),
    "samples": (
        *_SPECTRA,
        Column("variance_ratio_temperature", "variance ratio of T"),
        Column("variance_ratio_salinity", "variance ratio of S"),
        Column("density_error_percent", "density error", "%"),
        Column("mixed_layer_depth_mean_m", "mixed layer", "m"),
        Column("near_neutral_pairs_percent", "near-neutral pairs", "%"),
        Column("w1_temperature_K", "W₁ of T", "K"),
        Column("w1_salinity", "W₁ of S", "10⁻³"),
    ),
}
TRAINING_COLUMNS = (
    Column("samples_per_second", "samples", "1/s"),
    Column("samples_per_second_quartiles_apart", "between quartiles", "1/s"),
    Column("memory_MB", "memory of a step", "MB"),
    Column("batch_size", "batch"),
    Column("precision", "precision"),
    Column("gflop_per_sample", "operations of a sample", "GFLOP"),
    Column("share_of_matmul_peak", "share of the matmul peak"),
)
FLOW_COLUMNS = (
    Column("rms_0_m_cm_s", "rms at the surface", "cm/s"),
    Column("rms_1000_m_cm_s", "near 1000 m", "cm/s"),
    Column("rms_3000_m_cm_s", "near 3000 m", "cm/s"),
    Column("rms_cm_s", "of all water", "cm/s"),
    Column("mean_flow_error_percent", "mean flow off by", "%"),
)
ADJUSTMENT_COLUMNS = tuple(
    Column(f"unstable_{percent}_percent", f"{percent} % of the columns overturn", "s")
    for percent in (0, 10, 100)
)
CHAIN_COLUMNS = (
    Column("guided_steps", "guided steps"),
    Column("seconds", "one state", "s"),
    Column("ratio_to_unguided", "of the unguided chain"),
)

BENCHMARK_COLUMNS = (
    Column("steps", "steps"),
    Column("guided_steps", "guided"),
    Column("seconds", "one state", "s"),
    Column("seconds_lowest", "lowest", "s"),
    Column("seconds_highest", "highest", "s"),
    Column("of_latent", "times the latent's"),
    Column("gflop", "operations", "GFLOP"),
    Column("memory_MB", "memory", "MB"),
    Column("memory_of_latent", "times the latent's"),
    Column("states_per_second", "states at the best batch", "1/s"),
    Column("batch", "best batch"),
    Column("million_parameters", "parameters", "10⁶"),
)

GROWTH_COLUMNS = (
    (
        Column("steps", "steps"),
        Column("guided_steps", "guided"),
        Column("gflop_unguided", "unguided", "GFLOP"),
        Column("gflop_unguided_exponent", "exponent"),
        Column("gflop_guided", "guided", "GFLOP"),
        Column("gflop_guided_exponent", "exponent"),
        Column("memory_unguided_MB", "memory, unguided", "MB"),
        Column("memory_guided_MB", "guided", "MB"),
        Column("memory_guided_MB_exponent", "exponent"),
    ),
    (
        Column("million_parameters", "parameters", "10⁶"),
        Column("training_state_MB", "training holds of them", "MB"),
        Column("autoencoder_gflop", "autoencoder, a sample", "GFLOP"),
        Column("autoencoder_memory_MB", "its memory", "MB"),
        Column("diffusion_gflop", "denoiser, a sample", "GFLOP"),
        Column("diffusion_memory_MB", "its memory", "MB"),
    ),
    (
        Column("million_cells", "cells", "10⁶"),
        Column("state_MB", "a state", "MB"),
        Column("cached_latents_MB", "its latents in the cache", "MB"),
        Column("fields_MB", "grid and statistics", "MB"),
    ),
)
PROCESS_COLUMNS = (
    Column("autoencoder_samples_per_second", "training, autoencoder", "samples/s"),
    Column("autoencoder_samples_per_second_of_first", "times the first"),
    Column("diffusion_samples_per_second", "training, denoiser", "samples/s"),
    Column("diffusion_samples_per_second_of_first", "times the first"),
    Column("states_per_second", "sampling, guided", "states/s"),
    Column("states_per_second_of_first", "times the first"),
    Column("batch_size", "batch"),
)
NOT_MEASURED = "(Not measured yet.)"

COLD_START_COLUMNS = (
    Column("start_percent", "at the start", "%"),
    Column("mean_percent", "mean", "%"),
    Column("lowest_percent", "lowest", "%"),
    Column("highest_percent", "highest", "%"),
    Column("rms_departure_percent", "rms departure from 100", "%"),
    Column("rise_and_fall_percent", "all rises and falls", "%"),
)


def main() -> None:
    """Rewrite every marked table."""
    with user_errors_in_one_sentence():
        pages = {page: filled(page.read_text()) for page in documents()}
        for page, text in pages.items():
            page.write_text(text)


def documents() -> list[Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """A page with its tables filled from the results."""
    return MARKED.sub(lambda match: match[1] + table(match[2], match[3]) + match[4], text)


def table(name: str, group: str | None = None) -> str:
    """The Markdown of a result, with the machine and commit that made it.

    name: of one result, or of several runs, joined by "+", whose autoencoders are shown
    group: of a comparison of autoencoders, the one group of metrics to show; all if None
    """
    if "+" in name:
        runs = {run: result_of(run)["autoencoder"] for run in name.split("+")}
        return "\n".join(variants_markdown(runs, columns) for columns in _groups(group))
    result = result_of(name)
    if not any(result.values()):
        return f"{NOT_MEASURED}\n"
    parts = [part for key in PARTS if result.get(key) for part in PARTS[key](result, group)]
    if "spinup" in result and group != SPINUP_RUNS:
        return parts[0]  # many tables of one result: the first says how it was made
    made = result["provenance"]
    return "\n".join([*parts, f"`{made['command']}` at {made['commit']}; {made['machine']}.\n"])


def result_of(name: str) -> dict[str, Any]:
    """What docs/results/NAME.json holds."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: copy there the metrics.json of the run to be shown")
    return json.loads(path.read_text())


def markdown(rows: Mapping[str, Mapping[str, Any]], columns: tuple[Column, ...]) -> str:
    """One line for each quantity, one column for each row of the evaluation."""
    names = [name.replace("_", " ") for name in rows]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for column in columns:
        unit = f" [{column.unit}]" if column.unit else ""
        values = " | ".join(format_value(row.get(column.key)) for row in rows.values())
        lines.append(f"| {column.name}{unit} | {values} |")
    return "\n".join(lines) + "\n"


def variants_markdown(
    variants: Mapping[str, Mapping[str, Any]], columns: tuple[Column, ...]
) -> str:
    """One line for each variant, one column for each quantity that any of them has."""
    present = [
        column
        for column in columns
        if any(row.get(column.key) is not None for row in variants.values())
    ]
    lines = table_head(present)
    for name, row in variants.items():
        values = " | ".join(format_value(row.get(column.key)) for column in present)
        lines.append(f"| {name.replace('_', ' ')} | {values} |")
    return "\n".join(lines) + "\n"


def cost_markdown(cost: Mapping[str, float]) -> str:
    """The codec's cost beside that of the data-space network, one line for each measured call."""
    lines = ["| | seconds | memory [MB] | GFLOP |", "|---" * 4 + "|"]
    for call in COSTS:
        keys = (f"{call}_seconds", f"{call}_memory_MB", f"{call}_gflops")
        values = " | ".join(format_value(cost[key]) for key in keys)
        lines.append(f"| {call.replace('_', ' ')} | {values} |")
    return "\n".join(lines) + "\n"


def benchmark_markdown(benchmarks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of each grid what it is, a table of sampling, and one of training."""
    parts = []
    for benchmark in benchmarks.values():
        systems = benchmark["systems"]
        trainings = {
            name: system["training"] for name, system in systems.items() if "training" in system
        }
        parts += [
            f"**{benchmark['title']}**: {benchmark['grid']}, {benchmark['device']}, "
            f"{benchmark['threads']} thread(s), {benchmark['repeats']} rounds; of the columns "
            f"{format_value(benchmark['overturning_columns_percent'])} % overturn.\n",
            variants_markdown(_beside_latent(systems), BENCHMARK_COLUMNS),
        ]
        if trainings:
            parts.append(variants_markdown(_stages(trainings), TRAINING_COLUMNS))
    return parts


def _beside_latent(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A row for each system, unguided and guided, with its ratios to the latent one."""
    rows = {}
    for name, system in systems.items():
        for how in ("unguided", "guided"):
            cost, latent = system[how], systems["latent"][how]
            rows[f"{name}, {how}"] = cost | {
                "of_latent": cost["seconds"] / latent["seconds"],
                "memory_of_latent": cost["memory_MB"] / latent["memory_MB"]
                if latent["memory_MB"]
                else None,
            }
    return rows


def _grids_and_systems(growth: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A row for each grid and system."""
    return {
        f"{grid}, {name}": system
        | {"state_MB": costs["state_MB"], "million_cells": costs["cells"] / 1e6}
        for grid, costs in growth.items()
        for name, system in costs["systems"].items()
    }


def _stages(trainings: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """One row for each stage of each training."""
    return {
        f"{name}, {stage}": training[stage]
        for name, training in trainings.items()
        for stage in ("autoencoder", "diffusion")
        if stage in training
    }


def _groups(group: str | None) -> list[tuple[Column, ...]]:
    if group is None:
        return list(CODEC_COLUMNS.values())
    groups = CODEC_COLUMNS | RESTORER_COLUMNS
    if group not in groups:
        raise UserError(
            f"there is no group of metrics '{group}'; the groups are {', '.join(groups)}"
        )
    return [groups[group]]


def _compared(result: Result, group: str | None) -> list[str]:
    """A comparison's autoencoders, or its samples."""
    shown = result["samples" if group == "samples" else "variants"]
    return [variants_markdown(shown, columns) for columns in _groups(group)]


def _growth(result: Result, _: str | None) -> list[str]:
    rows = _grids_and_systems(result["growth"])
    return [variants_markdown(rows, columns) for columns in GROWTH_COLUMNS]


def _variants(key: str, columns: tuple[Column, ...]) -> Part:
    """One table of what stands under `key`."""
    return lambda result, _: [variants_markdown(result[key], columns)]


# By the key of a result that has them, its tables.
PARTS: dict[str, Part] = {
    "rows": lambda result, _: [markdown(result["rows"], COLUMNS)],
    "integration": lambda result, _: [
        markdown(result["integration"]["by_start"], INTEGRATION_COLUMNS)
    ],
    "by_start": lambda result, _: [markdown(result["by_start"], INTEGRATION_COLUMNS)],
    "variants": _compared,
    # Of a run, `cost` is something else: it has no grid.
    "cost": lambda result, _: [cost_markdown(result["cost"])] if "grid" in result else [],
    "flow_references": _variants("flow_references", FLOW_COLUMNS),
    "trainings": lambda result, _: [
        variants_markdown(_stages(result["trainings"]), TRAINING_COLUMNS)
    ],
    "adjustment_seconds": _variants("adjustment_seconds", ADJUSTMENT_COLUMNS),
    "cold_starts": _variants("cold_starts", COLD_START_COLUMNS),
    "benchmarks": lambda result, _: benchmark_markdown(result["benchmarks"]),
    "growth": _growth,
    "processes": _variants("processes", PROCESS_COLUMNS),
    "points": lambda result, group: [guidance_markdown(result, group)],
    "spinup": lambda result, group: [spinup_markdown(result["spinup"], group)],
    "chains": _variants("chains", CHAIN_COLUMNS),
}
