"""The evaluation stage: metrics, figures and report of a run.

Rows are the held-out truth, the truth after encoding and decoding, and the three kinds of samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from tqdm import tqdm

from autoencoder.codec import Codec
from configs.run import Run
from configs.stages import ROWS, sample_rows
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.state import State
from evaluation.canvas import save_figure
from evaluation.figures import save_figures, spectra
from evaluation.metrics.catalogue import COLUMNS
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.provenance import provenance
from evaluation.reconstruction import decode_all, judge, worst_cells
from evaluation.report import write_report
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
    """Evaluate a run: write metrics.json, figures/ and report.html; returns the metrics.

    cost: seconds of each stage; integration: result of `integration.study.summary`;
    integration_figure: its figure
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
        columns=COLUMNS,
        figures=[(path, path.stem.replace("_", " ")) for path in figures],
        config_text=yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False),
        notes=[_introduction(run, rows)],
        integration=integration["by_start"] if integration else None,
        cost={"this run": cost | _model_size(run)},
    )
    return metrics


def gather_rows(run: Run) -> dict[str, State]:
    """All rows, the held-out truth first; missing samples are generated."""
    archive, codec = run.archive, run.pipeline().codec
    codec.check_archive(archive)
    sample_rows(run)
    truth = archive.read(spread_out(archive.indices("test"), run.settings.evaluation.states))
    rows = {"truth": truth, "autoencoded": autoencode(codec, truth)}
    for row in ROWS:
        samples = StateArchive.open(run.samples(row))
        rows[row] = samples.read(range(len(samples)))
    return rows


def evaluate_rows(run: Run, rows: dict[str, State]) -> dict[str, dict[str, float]]:
    """The metrics of every row, compared with the truth."""
    archive = run.archive
    context = EvaluationContext(
        grid=archive.grid,
        eos=equation_of_state(archive.equation_of_state),
        training=archive.read(archive.indices("train")),
    )
    bar = tqdm(rows.items(), desc="evaluating", unit="row")
    return {name: evaluate_row(state, rows["truth"], context) for name, state in bar}


@torch.no_grad()
def autoencode(codec: Codec, states: State, *, batch: int = 16) -> State:
    """States encoded and decoded: an upper bound on the quality of samples."""
    channels = states.to_channels().split(batch)
    parts = [State.from_channels(part, levels=states.levels) for part in channels]
    return State.cat([codec.decode(codec.encode(part)) for part in parts])


def judge_codec(run: Run, truth: State) -> dict[str, object]:
    """Reconstruction metrics of the codec on held-out states, and its worst cells."""
    archive, codec = run.archive, run.pipeline().codec
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    decoded = decode_all(codec, truth, context)
    return {
        **judge(decoded, codec.statistics, context),
        "compression": codec.compression,
        "worst_cells": worst_cells(decoded, codec.statistics, archive.grid),
    }


def draw_figures(run: Run, rows: dict[str, State]) -> list[Path]:
    """Save the figures of the run's states as PNG in `figures/`; returns their paths."""
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
        f"{len(rows['guided_adjusted'])} generated ocean states compared with "
        f"{len(rows['truth'])} held-out states of {run.settings.data.archive.name}. Rows: truth "
        "(held-out states), autoencoded (held-out states, encoded and decoded), unguided and "
        "guided (samples from the same noise), and guided_adjusted (guided samples after exact "
        "convective adjustment, the product)."
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
