"""The evaluation stage: metrics, figures and the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs import Experiment
from data.archive.reader import StateArchive
from data.state import State
from evaluation.figures import save_figure, save_figures, spectra
from evaluation.metrics import EvaluationContext
from evaluation.provenance import provenance
from evaluation.reconstruction import decode_all, judge, worst_cells
from evaluation.report import write_report
from evaluation.rows import evaluate_rows, gather_rows
from guidance.seawater import equation_of_state
from latent_diffusion.sample import load_pipeline
from training.log import write_json

SHOWN = {"truth": "truth", "guided_adjusted": "generated"}


def evaluate(
    experiment: Experiment,
    *,
    cost: dict[str, float],
    integration: dict[str, Any] | None = None,
    integration_figure: Path | None = None,
) -> dict[str, object]:
    """Judge the run's states: write metrics.json, figures/ and report.html; return the metrics.

    cost: seconds of each stage; integration: `integration.study.summary` of what the ocean model
    made of the states, and its figure.
    """
    rows = gather_rows(experiment)
    row_metrics = evaluate_rows(experiment, rows)
    metrics: dict[str, object] = {
        "kind": "run",
        "rows": row_metrics,
        "autoencoder": judge_codec(experiment, rows["truth"]),
        "integration": integration,
        "cost": cost | _model_size(experiment),
        "provenance": provenance(seeds=_seeds(experiment)),
    }
    directory = experiment.run_directory
    write_json(directory / "metrics.json", metrics)
    figures = draw_figures(experiment, rows) + ([integration_figure] if integration_figure else [])
    write_report(
        directory / "report.html",
        title=experiment.title or experiment.name,
        metrics=row_metrics,
        figures=[(path, path.stem.replace("_", " ")) for path in figures],
        config_text=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False),
        notes=[_introduction(experiment, rows)],
        integration=integration["by_start"] if integration else None,
        cost={"this run": cost | _model_size(experiment)},
    )
    return metrics


def judge_codec(experiment: Experiment, truth: State) -> dict[str, object]:
    """What the codec loses of the held-out states, and the cells where it loses most."""
    archive, codec = StateArchive.open(experiment.data.archive), load_pipeline(experiment).codec
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    decoded = decode_all(codec, truth, context)
    return {
        **judge(decoded, codec.statistics, context),
        "compression": codec.compression,
        "worst_cells": worst_cells(decoded, codec.statistics, archive.grid),
    }


def draw_figures(experiment: Experiment, rows: dict[str, State]) -> list[Path]:
    """Figures of the run's states, as PNG in `figures/`."""
    archive = StateArchive.open(experiment.data.archive)
    directory = experiment.run_directory / "figures"
    shown = {SHOWN[name]: state for name, state in rows.items() if name in SHOWN}
    paths = save_figures(
        shown, archive.grid, equation_of_state(archive.equation_of_state), directory
    )
    paths.append(save_figure(spectra(rows, archive.grid), directory / "spectra.png"))
    return list(dict.fromkeys(paths))


def _introduction(experiment: Experiment, rows: dict[str, State]) -> str:
    return (
        f"{len(rows['guided_adjusted'])} generated ocean states judged against "
        f"{len(rows['truth'])} held-out states of {experiment.data.archive.name}. Rows: truth is "
        "the held-out states; autoencoded passes them through the codec; unguided and guided are "
        "sampled from the same noise; guided_adjusted is the product: guided samples, exactly "
        "adjusted."
    )


def _model_size(experiment: Experiment) -> dict[str, float]:
    pipeline = load_pipeline(experiment)
    millions = {
        name: round(sum(p.numel() for p in network.parameters()) / 1e6, 2)
        for name, network in {"codec": pipeline.codec, "denoiser": pipeline.unet}.items()
    }
    return {
        "compression_factor": round(pipeline.codec.compression, 2),
        "codec_million_parameters": millions["codec"],
        "denoiser_million_parameters": millions["denoiser"],
    }


def _seeds(experiment: Experiment) -> dict[str, int]:
    told = experiment.distillation
    return {
        "autoencoder": experiment.autoencoder.training.seed,
        "diffusion": experiment.diffusion.training.seed,
        "sampling": experiment.sampling.seed,
        **({"distillation": told.training.seed} if told else {}),
        **({"integration": experiment.integration.seed} if experiment.integration else {}),
    }
