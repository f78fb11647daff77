"""The evaluation stage: metrics, figures and the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs.run import Run
from data.state import State
from evaluation.figures import save_figure, save_figures, spectra
from evaluation.metrics import EvaluationContext
from evaluation.provenance import provenance
from evaluation.reconstruction import decode_all, judge, worst_cells
from evaluation.report import write_report
from evaluation.rows import evaluate_rows, gather_rows
from guidance.seawater import equation_of_state
from training.log import write_json

SHOWN = {"truth": "truth", "guided_adjusted": "generated"}


def evaluate(
    run: Run,
    *,
    cost: dict[str, float],
    integration: dict[str, Any] | None = None,
    integration_figure: Path | None = None,
) -> dict[str, object]:
    """Judge the run's states: write metrics.json, figures/ and report.html; return the metrics.

    cost: seconds of each stage; integration: `integration.study.summary` of what the ocean model
    made of the states, and its figure.
    """
    rows = gather_rows(run)
    row_metrics = evaluate_rows(run, rows)
    metrics: dict[str, object] = {
        "kind": "run",
        "rows": row_metrics,
        "autoencoder": judge_codec(run, rows["truth"]),
        "integration": integration,
        "cost": cost | _model_size(run),
        "provenance": provenance(seeds=_seeds(run)),
    }
    directory = run.directory
    write_json(directory / "metrics.json", metrics)
    figures = draw_figures(run, rows) + ([integration_figure] if integration_figure else [])
    write_report(
        directory / "report.html",
        title=run.settings.title or run.settings.name,
        metrics=row_metrics,
        figures=[(path, path.stem.replace("_", " ")) for path in figures],
        config_text=yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False),
        notes=[_introduction(run, rows)],
        integration=integration["by_start"] if integration else None,
        cost={"this run": cost | _model_size(run)},
    )
    return metrics


def judge_codec(run: Run, truth: State) -> dict[str, object]:
    """What the codec loses of the held-out states, and the cells where it loses most."""
    archive, codec = run.archive, run.pipeline().codec
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    decoded = decode_all(codec, truth, context)
    return {
        **judge(decoded, codec.statistics, context),
        "compression": codec.compression,
        "worst_cells": worst_cells(decoded, codec.statistics, archive.grid),
    }


def draw_figures(run: Run, rows: dict[str, State]) -> list[Path]:
    """Figures of the run's states, as PNG in `figures/`."""
    archive = run.archive
    directory = run.directory / "figures"
    shown = {SHOWN[name]: state for name, state in rows.items() if name in SHOWN}
    paths = save_figures(
        shown, archive.grid, equation_of_state(archive.equation_of_state), directory
    )
    paths.append(save_figure(spectra(rows, archive.grid), directory / "spectra.png"))
    return list(dict.fromkeys(paths))


def _introduction(run: Run, rows: dict[str, State]) -> str:
    return (
        f"{len(rows['guided_adjusted'])} generated ocean states judged against "
        f"{len(rows['truth'])} held-out states of {run.settings.data.archive.name}. Rows: truth is "
        "the held-out states; autoencoded passes them through the codec; unguided and guided are "
        "sampled from the same noise; guided_adjusted is the product: guided samples, exactly "
        "adjusted."
    )


def _model_size(run: Run) -> dict[str, float]:
    pipeline = run.pipeline()
    millions = {
        name: round(sum(p.numel() for p in network.parameters()) / 1e6, 2)
        for name, network in {"codec": pipeline.codec, "denoiser": pipeline.unet}.items()
    }
    return {
        "compression_factor": round(pipeline.codec.compression, 2),
        "codec_million_parameters": millions["codec"],
        "denoiser_million_parameters": millions["denoiser"],
    }


def _seeds(run: Run) -> dict[str, int]:
    distillation = run.settings.distillation
    return {
        "autoencoder": run.settings.autoencoder.training.seed,
        "diffusion": run.settings.diffusion.training.seed,
        "sampling": run.settings.sampling.seed,
        **({"distillation": distillation.training.seed} if distillation else {}),
        **({"integration": run.settings.integration.seed} if run.settings.integration else {}),
    }
