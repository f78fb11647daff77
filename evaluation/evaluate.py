"""The evaluation stage: metrics, figures and the report of a run."""

from __future__ import annotations

from pathlib import Path

import yaml

from configs import Experiment
from data.state import State
from data.states import StateArchive
from evaluation.figures import integration_drift, save_figure, save_figures, spectra
from evaluation.integrate import IntegrationResult
from evaluation.metrics import EvaluationContext
from evaluation.provenance import provenance
from evaluation.reconstruction import decode_all, judge, worst_cells
from evaluation.report import write_report
from evaluation.rows import evaluate_rows, gather_rows
from evaluation.study import summary
from guidance.seawater import equation_of_state
from latent_diffusion.sample import load_pipeline
from training.log import write_json

SHOWN = {"truth": "truth", "guided_adjusted": "generated"}


def evaluate(
    experiment: Experiment, *, integration: IntegrationResult | None, cost: dict[str, float]
) -> dict[str, object]:
    """Judge the run's states: write metrics.json, figures/ and report.html; return the metrics."""
    rows = gather_rows(experiment)
    row_metrics = evaluate_rows(experiment, rows)
    metrics: dict[str, object] = {
        "rows": row_metrics,
        "autoencoder": judge_codec(experiment, rows["truth"]),
        "integration": summary(integration) if integration else None,
        "cost": cost | _model_size(experiment),
        "provenance": provenance(seeds=_seeds(experiment)),
    }
    directory = experiment.run_directory
    write_json(directory / "metrics.json", metrics)
    figures = draw_figures(experiment, rows, integration)
    write_report(
        directory / "report.html",
        title=experiment.title or experiment.name,
        metrics=row_metrics,
        figures=[(path, path.stem.replace("_", " ")) for path in figures],
        config_text=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False),
        notes=[_introduction(experiment, rows)],
        integration=integration.summary() if integration else None,
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


def draw_figures(
    experiment: Experiment, rows: dict[str, State], integration: IntegrationResult | None
) -> list[Path]:
    """All figures of a run, as PNG in `figures/`."""
    archive = StateArchive.open(experiment.data.archive)
    directory = experiment.run_directory / "figures"
    shown = {SHOWN[name]: state for name, state in rows.items() if name in SHOWN}
    paths = save_figures(
        shown, archive.grid, equation_of_state(archive.equation_of_state), directory
    )
    paths.append(save_figure(spectra(rows, archive.grid), directory / "spectra.png"))
    if integration:
        paths.append(save_figure(integration_drift(integration), directory / "integration.png"))
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
