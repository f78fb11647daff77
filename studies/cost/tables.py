"""Markdown tables of the cost of training and sampling."""

from __future__ import annotations

from typing import Any

from evaluation.columns import Column
from studies.markdown import Result, Table, chosen, rows_markdown, table_of

CALLS = (
    "decode",
    "decode_vjp",
    "data_space_forward",
    "latent_guided_step",
    "data_space_guided_step",
)
CALL_COLUMNS = (
    Column("seconds", "time", "s"),
    Column("memory_MB", "memory", "MB"),
    Column("gflops", "operations", "GFLOP"),
)
TRAINING_COLUMNS = (
    Column("samples_per_second", "samples", "1/s"),
    Column("memory_MB", "memory per step", "MB"),
    Column("batch_size", "batch size"),
    Column("gflop_per_sample", "operations per sample", "GFLOP"),
    Column("share_of_matmul_peak", "fraction of matmul peak"),
)
ADJUSTMENT_COLUMNS = tuple(
    Column(f"unstable_{percent}_percent", f"{percent} % unstable columns", "s")
    for percent in (0, 10, 100)
)
CHAIN_COLUMNS = (
    Column("guided_steps", "guided steps"),
    Column("seconds", "time per state", "s"),
    Column("ratio_to_unguided", "ratio to unguided"),
)
BENCHMARK_COLUMNS = (
    Column("steps", "steps"),
    Column("guided_steps", "guided steps"),
    Column("unguided_seconds", "unguided", "s"),
    Column("seconds", "guided", "s"),
    Column("of_latent", "guided, ratio to latent"),
    Column("gflop", "operations, guided", "GFLOP"),
    Column("memory_MB", "memory, guided", "MB"),
)
GROWTH_GROUPS = {
    "sampling": (
        Column("gflop_unguided", "unguided", "GFLOP"),
        Column("gflop_unguided_exponent", "exponent"),
        Column("gflop_guided", "guided", "GFLOP"),
        Column("gflop_guided_exponent", "exponent"),
        Column("memory_guided_MB", "memory", "MB"),
        Column("memory_guided_MB_exponent", "exponent"),
        Column("below_data_space", "operations of data space ÷ guided"),
    ),
    "denoiser": (
        Column("stages", "stages"),
        Column("coarsest_cells", "cells of the coarsest"),
        Column("gflop_denoiser", "per state", "GFLOP"),
        Column("memory_denoiser_MB", "memory", "MB"),
        Column("diffusion_gflop", "per training sample", "GFLOP"),
        Column("diffusion_memory_MB", "memory", "MB"),
    ),
    "exponents": (
        Column("gflop_guided_exponent_from_first", "guided state, operations"),
        Column("memory_guided_MB_exponent_from_first", "memory"),
        Column("gflop_denoiser_exponent_from_first", "its denoiser, operations"),
        Column("memory_denoiser_MB_exponent_from_first", "memory"),
        Column(
            "diffusion_gflop_exponent_from_first", "training sample of the denoiser, operations"
        ),
        Column("diffusion_memory_MB_exponent_from_first", "memory"),
    ),
    "training": (
        Column("million_parameters", "parameters", "10⁶"),
        Column("training_state_MB", "training state", "MB"),
        Column("autoencoder_gflop", "autoencoder, per sample", "GFLOP"),
        Column("autoencoder_memory_MB", "autoencoder, memory", "MB"),
        Column("diffusion_gflop", "denoiser, per sample", "GFLOP"),
        Column("diffusion_memory_MB", "denoiser, memory", "MB"),
    ),
    "checkpointing": (
        Column("diffusion_gflop", "per training sample", "GFLOP"),
        Column("diffusion_memory_MB", "memory", "MB"),
        Column("diffusion_checkpointed_gflop", "with checkpointing", "GFLOP"),
        Column("diffusion_checkpointed_memory_MB", "memory", "MB"),
    ),
    "windows": (
        Column("autoencoder_gflop", "whole state", "GFLOP"),
        Column("autoencoder_memory_MB", "memory", "MB"),
        Column("autoencoder_windows_gflop", "on windows", "GFLOP"),
        Column("autoencoder_window_memory_MB", "memory of one", "MB"),
    ),
}
MEMORY_COLUMNS = (
    Column("peak_MB", "peak of resident memory", "MB"),
    Column("start_MB", "of which before the stage", "MB"),
    Column("processor_seconds", "processor time", "s"),
)
WORK_COLUMNS = (
    Column("resident_at_a_tenth_MiB", "resident at a tenth", "MiB"),
    Column("resident_at_the_end_MiB", "at the end", "MiB"),
    Column("slope_MiB_per_1000_members", "growth per 1000 members", "MiB"),
    Column("rise_MiB", "largest less that at a tenth", "MiB"),
    Column("peak_rise_MiB", "growth of the peak", "MiB"),
    Column("seconds_per_member", "time per member", "s"),
)
AGAIN_COLUMNS = (
    Column("batch_temperature_K", "with its batch, T", "K"),
    Column("batch_salinity", "S", "10⁻³"),
    Column("alone_temperature_K", "alone, T", "K"),
    Column("alone_salinity", "S", "10⁻³"),
)
PROCESS_COLUMNS = (
    Column("autoencoder_samples_per_second", "training, autoencoder", "samples/s"),
    Column("autoencoder_samples_per_second_of_first", "ratio to first row"),
    Column("diffusion_samples_per_second", "training, denoiser", "samples/s"),
    Column("diffusion_samples_per_second_of_first", "ratio to first row"),
    Column("states_per_second", "sampling, guided", "states/s"),
    Column("states_per_second_of_first", "ratio to first row"),
    Column("batch_size", "batch size"),
)


def calls_table(result: Result, group: str | None) -> str:
    """Cost of the codec and of the data-space network, one line for each measured call."""
    chosen({}, group)
    cost = result["cost"]
    rows = {call: {c.key: cost[f"{call}_{c.key}"] for c in CALL_COLUMNS} for call in CALLS}
    return rows_markdown(rows, CALL_COLUMNS)


def benchmark_table(result: Result, group: str | None) -> str:
    """One line for each grid and system, with its ratio to the latent system."""
    chosen({}, group)
    rows = {
        f"{benchmark['grid']}, {name}": _guided_row(system, benchmark["systems"]["latent"])
        for benchmark in result["benchmarks"].values()
        for name, system in benchmark["systems"].items()
    }
    return rows_markdown(rows, BENCHMARK_COLUMNS)


def _guided_row(system: Result, latent: Result) -> dict[str, Any]:
    return system["guided"] | {
        "unguided_seconds": system["unguided"]["seconds"],
        "of_latent": system["guided"]["seconds"] / latent["guided"]["seconds"],
    }


def growth_table(result: Result, group: str | None) -> str:
    """One line for each grid and system; group: one of `GROWTH_GROUPS`, by default "sampling"."""
    columns = chosen(GROWTH_GROUPS, group) or GROWTH_GROUPS["sampling"]
    rows = {
        f"{grid}, {name}": system | _below_data_space(system, costs["systems"])
        for grid, costs in result["growth"].items()
        for name, system in costs["systems"].items()
    }
    return rows_markdown(rows, columns)


def _below_data_space(system: Result, systems: Result) -> dict[str, float]:
    """How many times fewer operations a guided state takes than in data space."""
    if "data space" not in systems:
        return {}
    return {"below_data_space": systems["data space"]["gflop_guided"] / system["gflop_guided"]}


def trainings_table(result: Result, group: str | None) -> str:
    """One line for each stage of each training."""
    chosen({}, group)
    rows = {
        f"{name}, {stage}": training[stage]
        for name, training in result["trainings"].items()
        for stage in ("autoencoder", "diffusion")
        if stage in training
    }
    return rows_markdown(rows, TRAINING_COLUMNS)


def members_table(result: Result, group: str | None) -> str:
    """One line for each kind of work; group "again": for each member that was drawn again."""
    if chosen({"again": True}, group):
        return rows_markdown(result["drawn_again"], AGAIN_COLUMNS)
    return rows_markdown(result["work"], WORK_COLUMNS)


TABLES: dict[str, Table] = {
    "adjustment_cost": table_of("adjustment_seconds", ADJUSTMENT_COLUMNS),
    "benchmark": benchmark_table,
    "codec_cost": calls_table,
    "growth": growth_table,
    "guidance_cost": table_of("chains", CHAIN_COLUMNS),
    "members_cost": members_table,
    "memory_cost": table_of("stages", MEMORY_COLUMNS),
    "processes": table_of("processes", PROCESS_COLUMNS),
    "training_cost": trainings_table,
}
