"""Accuracy of designs against their cost: `halocline study compression STUDY`.

Every variant is trained as a whole, draws its ensembles and is evaluated like any run. Finished
variants are not repeated, and interrupted ones resume from their last checkpoint. Several processes
may share a study if each has its own variants (`--only`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.run import Run
from configs.stages import sample_rows, train_codec, train_denoiser
from data.errors import UserError
from evaluation.canvas import save_figure
from evaluation.columns import TRUTH
from evaluation.evaluate import evaluate
from evaluation.provenance import provenance
from evaluation.yardsticks import BASELINE, FLOOR, HALVES, PRODUCT
from studies import gallery
from studies.compression.figures import accuracy_against_cost
from studies.compression.settings import CompressionStudy
from studies.compression.targets import EOF_GAUSSIAN, TARGETS, scores
from studies.cost.benchmark import fixed_cost
from studies.cost.chains import GUIDED, UNGUIDED, Chain
from studies.cost.meter import PLAIN_METER
from studies.guidance.study import draw_timed
from studies.variants import chosen_variants
from training.cost import read_cost, timed
from training.log import write_json

STAGES: Mapping[str, Callable[[Run], object]] = {
    "autoencoder": train_codec,
    "diffusion": train_denoiser,
    "sampling": sample_rows,
}
YARDSTICKS = (TRUTH, FLOOR, EOF_GAUSSIAN, BASELINE)
INDEPENDENT = (*YARDSTICKS, HALVES, "training_mean")  # rows that no model changes
OF_A_VARIANT = ("autoencoded", "unguided", PRODUCT)
GALLERY_STATES = 10


def compare(study: CompressionStudy, *, only: Sequence[str] = (), train: bool = True) -> Path:
    """Train and evaluate the variants; returns the path of study.json.

    only: names of variants; default: all. train: False summarises the finished variants only.
    Raises `UserError` for an unknown variant.
    """
    names = chosen_variants(study.variants, only)
    for name in tqdm(names if train else [], desc="comparing", unit="variant"):
        if _finished(study, name) is None:
            tqdm.write(f"== {name}")
            run_variant(study, name)
    return summarise(study)


def run_variant(study: CompressionStudy, name: str) -> None:
    """Train, sample and evaluate a variant; writes its variant.json and its gallery."""
    run = Run(study.variants[name])
    for stage, call in STAGES.items():
        timed(stage, partial(call, run), directory=run.directory)
    cost = read_cost(run.directory)
    metrics = evaluate(run, cost=cost, known_rows=_known_yardsticks(study, run))
    gallery.run(run, count=GALLERY_STATES, output=_gallery_path(study, name))
    result = {"record": _record(run), "cost": cost_of(run, cost), "metrics": metrics}
    write_json(_result_path(study, name), result)


def _known_yardsticks(study: CompressionStudy, run: Run) -> dict[str, dict[str, float]]:
    """The metrics of truth, floor and baselines if a finished variant has judged the same ones."""
    settings = run.settings
    for name, other in study.variants.items():
        same = (other.evaluation.states, other.conditions) == (
            settings.evaluation.states,
            settings.conditions,
        )
        if same and (result := _finished(study, name)):
            rows = result["metrics"]["rows"]
            return {row: _with_nan(rows[row]) for row in INDEPENDENT if row in rows}
    return {}


def _with_nan(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics that were read from JSON, where a missing number is null."""
    return {key: math.nan if value is None else value for key, value in metrics.items()}


def cost_of(run: Run, stages: Mapping[str, float]) -> dict[str, float]:
    """Cost of a trained run: of its trainings, and of a state without and with guidance.

    stages: as `read_cost` returns them. Seconds are processor time; memory [MB] is the growth to
    its peak in a chain of a single state.
    """
    chains = {UNGUIDED: _chain_cost(run, guided=False), GUIDED: _chain_cost(run, guided=True)}
    sizes = [cost.pop("million_parameters") for cost in chains.values()]
    autoencoder, diffusion = (
        stages[f"{stage}_processor_seconds"] for stage in ("autoencoder", "diffusion")
    )
    return {
        "compression": run.pipeline().codec.compression,
        "million_parameters": sizes[0],
        "autoencoder_minutes": autoencoder / 60,
        "diffusion_minutes": diffusion / 60,
        "training_minutes": (autoencoder + diffusion) / 60,
        "largest_process_GiB": stages["largest_process_GiB"],
        **{f"{how}_{key}": value for how, cost in chains.items() for key, value in cost.items()},
    }


def _chain_cost(run: Run, *, guided: bool) -> dict[str, float]:
    """Processor time of a state in a batch; operations, memory and sizes of a single chain."""
    settings = run.settings
    single_batch = min(settings.sampling.batch_size, settings.sampling.members)
    timed_run = run.with_settings(
        sampling=settings.sampling.model_copy(update={"members": single_batch}),
        guidance=settings.guidance.model_copy(update={"enabled": guided}),
    )
    _, seconds = draw_timed(timed_run)
    pipeline = run.pipeline()
    guide = run.guide(pipeline.codec) if guided else None
    adjusts = guided and settings.guidance.adjust
    chain = Chain(pipeline, guide, settings.sampling.steps, adjusts=adjusts)
    cost = fixed_cost(chain, list(chain.pieces()), PLAIN_METER)
    return cost | {"seconds_per_state": seconds / single_batch}


def summarise(study: CompressionStudy) -> Path:
    """Write study.json and the figure of the finished variants; returns its path.

    Raises `UserError` if none is finished.
    """
    found = {name: _finished(study, name) for name in study.variants}
    results = {name: result for name, result in found.items() if result is not None}
    if not results:
        raise UserError(
            f"no variant in {study.directory} is finished; run the study without --finished"
        )
    content: dict[str, object] = {
        "kind": "compression",
        "title": study.settings.title,
        "training_share": study.settings.training_share,
        "tolerances": {target.column.key: target.tolerance for target in TARGETS},
        "yardsticks": _rows(next(iter(results.values()))["metrics"], YARDSTICKS),
        "variants": {
            name: {
                "cost": result["cost"],
                "rows": _rows(result["metrics"], OF_A_VARIANT),
                "autoencoder": result["metrics"]["autoencoder"],
            }
            for name, result in results.items()
        },
        "provenance": provenance(seeds={"sampling": study.base.sampling.seed}),
    }
    path = study.directory / "study.json"
    write_json(path, content)
    save_figure(accuracy_against_cost(content), study.directory / "accuracy_against_cost.png")
    return path


def _rows(metrics: dict[str, Any], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Metrics and the values of the targets, by row."""
    rows, profiles = metrics["rows"], metrics["variance_profiles"]
    return {
        name: rows[name] | scores(name, rows, profiles.get(name, {}))
        for name in names
        if name in rows
    }


def _finished(study: CompressionStudy, name: str) -> dict[str, Any] | None:
    """A variant's result, None if it is missing or belongs to another model or settings."""
    path = _result_path(study, name)
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    return result if result["record"] == _record(Run(study.variants[name])) else None


def _record(run: Run) -> str:
    """Settings and weights that determine a variant's result, as JSON."""
    record = run.denoiser_stage.record | {
        "samples": run.sampling_record(guided=True),
        "truth_states": run.settings.evaluation.states,
    }
    return json.dumps(record, sort_keys=True)


def _result_path(study: CompressionStudy, name: str) -> Path:
    return study.variants[name].run_directory / "variant.json"


def _gallery_path(study: CompressionStudy, name: str) -> Path:
    return study.directory / "gallery" / f"{name}.png"
