"""Comparison of autoencoders at equal training cost: `halocline study autoencoder STUDY`.

The time of a training step is measured for each variant, and the number of training samples is
chosen so that all variants train for the same processor time, which depends little on other load.
Each variant is evaluated once trained. Finished variants are not repeated, and interrupted ones
resume from their last checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from autoencoder.codec import Codec, VolumeCodec
from autoencoder.train import build_trainer
from configs.run import Run
from configs.stages import train_codec
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.errors import UserError
from data.state import State
from evaluation.canvas import save_figure
from evaluation.metrics.row import EvaluationContext
from evaluation.provenance import provenance
from evaluation.reconstruction import (
    Decoded,
    decode_all,
    judge,
    level_errors,
    reconstruction_spectra,
    worst_cells,
)
from guidance.seawater import equation_of_state
from studies.autoencoder.figures import frontier, reconstruction_maps, rmse_profiles, spectra_ratios
from studies.autoencoder.settings import CodecStudy
from studies.cost.codec import codec_cost, grid_cost
from studies.variants import chosen_variants
from training.launch import build_accelerator
from training.log import write_json

WARM_UP_STEPS = 2
TIMED_STEPS = 6
LONGEST_WARM_UP = 0.2  # maximum warm-up as a fraction of the training samples


def compare(study: CodecStudy, *, split: str = "validation", only: Sequence[str] = ()) -> Path:
    """Train the variants and evaluate them on `split`; returns the path of study_SPLIT.json.

    only: names of variants; default: all. Writes metrics_SPLIT.json in each variant's folder, then
    study_SPLIT.json and the figures of all finished variants.
    """
    names = chosen_variants(study.variants, only)
    for name in tqdm(names, desc="comparing", unit="variant"):
        tqdm.write(f"== {name}")
        run_variant(study, name, split=split)
    return summarise(study, split=split)


def run_variant(study: CodecStudy, name: str, *, split: str) -> dict[str, Any]:
    """Train and evaluate a variant unless it is finished; returns its metrics_SPLIT.json."""
    path = _metrics_path(study, name, split)
    run, plan = at_equal_cost(study, name)
    result = _finished(study, name, split=split)
    if result is not None:
        return result
    train_codec(run)
    result = judge_variant(run, split=split, cost_grid=study.settings.cost_grid)
    result["settings"] = _all_settings(study, run)
    result["metrics"] |= {key: plan[key] for key in ("training_samples", "samples_per_second")}
    write_json(path, result)
    return json.loads(path.read_text())


def at_equal_cost(study: CodecStudy, name: str) -> tuple[Run, dict[str, Any]]:
    """A variant with the number of training samples for the study's training time, and the plan.

    The plan is saved in the variant's folder, so that a resumed training uses the same number.
    Raises `UserError` if the folder belongs to a variant with other settings.
    """
    run = Run(study.variants[name])
    path = run.directory / "plan.json"
    settings = _settings(study, run)
    plan: dict[str, Any] = {"settings": settings}
    if path.is_file():
        plan = json.loads(path.read_text())
    if plan["settings"] != settings:
        differing = [key for key in settings if settings[key] != plan["settings"].get(key)]
        raise UserError(
            f"{run.directory} belongs to a variant with other settings "
            f"({', '.join(differing)} differ); remove it or rename the variant"
        )
    if "training_samples" not in plan:
        plan |= _measured_plan(run, seconds=study.settings.training_seconds)
        write_json(path, plan)
    return with_samples(run, plan["training_samples"]), plan


def training_rate(run: Run) -> float:
    """Samples per second of the variant's training, including the reading of states.

    The median over a few steps after a warm-up, without validation and checkpoints.
    """
    batch = run.settings.autoencoder.training.batch_size
    with TemporaryDirectory() as folder:
        starts = _step_starts(_trial(run, Path(folder)))
    durations = [later - earlier for earlier, later in pairwise(starts)]
    return batch / median(durations[WARM_UP_STEPS:])


def with_samples(run: Run, samples: int) -> Run:
    """The run with `samples` training samples of the autoencoder, and a warm-up to match."""
    warm_up = run.settings.autoencoder.training.warmup_samples
    warm_up = max(1, min(warm_up, round(LONGEST_WARM_UP * samples)))
    return _with_training(run, {"samples": samples, "warmup_samples": warm_up})


def judge_variant(
    run: Run, *, split: str, cost_grid: tuple[int, int, int] | None = None
) -> dict[str, Any]:
    """Metrics, profiles, spectra and worst cells of a trained codec; saves its maps."""
    archive, codec = run.archive, run.codec()
    codec.check_archive(archive)
    truth = archive.read(spread_out(archive.indices(split), run.settings.evaluation.states))
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    decoded = decode_all(codec, truth, context, folder=run.directory)
    metrics = judge(decoded, codec.statistics, context) | {"compression": codec.compression}
    maps = reconstruction_maps(decoded, archive.grid)
    save_figure(maps, run.directory / f"maps_{split}.png")
    return {
        "name": run.settings.name,
        "split": split,
        "metrics": metrics | _cost(run, codec, truth, cost_grid),
        **_details(decoded, codec, archive),
        "provenance": provenance(seeds={"autoencoder": run.settings.autoencoder.training.seed}),
    }


def summarise(study: CodecStudy, *, split: str) -> Path:
    """Write study_SPLIT.json and the figures of the finished variants; returns its path."""
    results = {
        name: result
        for name in study.variants
        if (result := _finished(study, name, split=split)) is not None
    }
    metrics = {name: result["metrics"] for name, result in results.items()}
    path = study.directory / f"study_{split}.json"
    seeds = {"autoencoder": study.base.autoencoder.training.seed}
    content: dict[str, object] = {
        "kind": "autoencoders",
        "title": study.settings.title,
        "split": split,
        "training_seconds": study.settings.training_seconds,
        "variants": metrics,
        "provenance": provenance(seeds=seeds),
    }
    write_json(path, content)
    shown = study.settings.shown or tuple(study.variants)
    curves = {name: result for name, result in results.items() if name in shown}
    directory = study.directory / f"figures_{split}"
    save_figure(frontier(metrics), directory / "frontier.png")
    if curves:
        _save_curves(curves, directory)
    return path


def _save_curves(results: dict[str, dict[str, Any]], directory: Path) -> None:
    spectra = {name: result["spectra"] for name, result in results.items()}
    profiles = {name: result["rmse_percent_of_total_std"] for name, result in results.items()}
    depth = next(iter(results.values()))["depth_m"]
    figures = {
        "spectra": spectra_ratios(spectra),
        "rmse_profiles": rmse_profiles(profiles, depth),
    }
    for name, figure in figures.items():
        save_figure(figure, directory / f"{name}.png")


def _measured_plan(run: Run, *, seconds: float) -> dict[str, Any]:
    training = run.settings.autoencoder.training
    if run.settings.autoencoder.kind == "identity":
        return {"training_samples": training.samples, "samples_per_second": None}
    rate = training_rate(run)
    batches = max(1, round(seconds * rate / training.batch_size))
    return {"training_samples": batches * training.batch_size, "samples_per_second": rate}


def _with_training(run: Run, settings: dict[str, int]) -> Run:
    """The run with changed settings of the autoencoder's training."""
    training = run.settings.autoencoder.training.model_copy(update=settings)
    autoencoder = run.settings.autoencoder.model_copy(update={"training": training})
    return run.with_settings(autoencoder=autoencoder)


def _trial(run: Run, directory: Path) -> Run:
    """A few training steps in another folder, without validation and checkpoints in between."""
    steps = WARM_UP_STEPS + TIMED_STEPS + 1
    samples = steps * run.settings.autoencoder.training.batch_size
    times = ("samples", "checkpoint_samples", "validation_samples")
    trial = _with_training(run, dict.fromkeys(times, samples))
    return trial.with_settings(run_directory=directory)


def _step_starts(run: Run) -> list[float]:
    """Train for the experiment's samples; the times [s] at which its steps began."""
    archive, settings, directory = run.archive, run.settings.autoencoder, run.codec_folder.parent
    codec = run.untrained_codec(archive)
    assert isinstance(codec, VolumeCodec), "the identity is not trained"
    trainer = build_trainer(
        settings,
        codec,
        archive=archive,
        accelerator=build_accelerator(directory),
        directory=directory,
        diffusion_stages=run.stages_for(archive),
    )
    starts: list[float] = []

    def note(module: nn.Module, _: object) -> None:
        if module.training:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            starts.append(time.process_time())

    trainer.objective.register_forward_pre_hook(note)
    trainer.run()
    return starts


def _cost(
    run: Run, codec: Codec, state: State, grid: tuple[int, int, int] | None
) -> dict[str, float]:
    cost = codec_cost(codec, state)
    if grid is None:
        return cost
    return cost | {
        f"cost_grid_{key}": value for key, value in grid_cost(run.settings, grid).items()
    }


def _details(decoded: Decoded, codec: Codec, archive: StateArchive) -> dict[str, Any]:
    """Data of the figures; None at levels without ocean."""
    profiles = asdict(level_errors(decoded, codec.statistics))
    return {
        "depth_m": archive.grid.depth.tolist(),
        **{
            f"rmse_percent_of_{unit}_std": {
                variable: [None if math.isnan(value) else value for value in values]
                for variable, values in profile.items()
            }
            for unit, profile in profiles.items()
        },
        "spectra": reconstruction_spectra(decoded, archive.grid),
        "worst_cells": worst_cells(decoded, codec.statistics, archive.grid),
    }


def _settings(study: CodecStudy, run: Run) -> dict[str, Any]:
    """Settings that determine a variant's training, ready for JSON."""
    return {
        "autoencoder": run.settings.autoencoder.model_dump(mode="json"),
        "training_seconds": study.settings.training_seconds,
        "archive": run.archive.digest,
        "diffusion_stages": run.stages_for(run.archive),
    }


def _all_settings(study: CodecStudy, run: Run) -> dict[str, Any]:
    """Settings that determine a variant's metrics: of its training and of the evaluation."""
    evaluation = {
        "states": run.settings.evaluation.states,
        "cost_grid": study.settings.cost_grid and list(study.settings.cost_grid),
        "diffusion": run.settings.diffusion.model_dump(mode="json", exclude={"training"}),
    }
    return _settings(study, Run(study.variants[run.settings.name])) | evaluation


def _finished(study: CodecStudy, name: str, *, split: str) -> dict[str, Any] | None:
    """A variant's result, None if it is missing or belongs to other settings."""
    path = _metrics_path(study, name, split)
    if not path.is_file():
        return None
    result = json.loads(path.read_text())
    current = json.loads(json.dumps(_all_settings(study, Run(study.variants[name]))))
    return result if result["settings"] == current else None


def _metrics_path(study: CodecStudy, name: str, split: str) -> Path:
    return study.variants[name].run_directory / f"metrics_{split}.json"
