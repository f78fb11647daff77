"""The evaluation stage: metrics, figures and report of a run.

Rows are the held-out truth, the floor and the baselines of `evaluation.yardsticks`, the truth after
encoding and decoding, and the three kinds of samples.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from configs.run import Run
from data.archive.format import SPLITS
from data.archive.mapped import read_mapped
from data.archive.reader import StateArchive
from data.extras import lacks
from data.salinity import salinity_of
from data.state import State
from evaluation.climates import climate_of_samples, climates
from evaluation.columns import TRUTH
from evaluation.differences import Differences
from evaluation.metrics.classifier import two_sample_metrics
from evaluation.metrics.labels import Labels
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.metrics.variance import variance_profiles
from evaluation.reconstruction import decode_all, judge, worst_cells
from evaluation.rows import evaluation_context, floor, gather_rows, halves, judged_with, subset
from evaluation.run_report import is_elsewhere, origin_of, write_run_report
from evaluation.seeds import Seeds, at_mean, verdict_of_seeds
from evaluation.spinup_metrics import CSV, write_spinup_csv
from evaluation.verdict import METRICS, Verdict, judge_product
from evaluation.yardsticks import (
    BASELINE,
    FLOOR,
    HALVES,
    NOT_OF_THE_FLOOR,
    PRODUCT,
    ROW_NAMES,
    Rows,
    comparisons,
    excess,
)
from training.log import write_json

SHOWN = {TRUTH: "truth", PRODUCT: "generated"}
LINES = (TRUTH, FLOOR, BASELINE, "autoencoded", PRODUCT)  # rows in figures of lines
FEWEST_OF_A_HALF = 2
# Of the truth, which cannot be told from itself.
NOT_TOLD = {"auc_surface": float("nan"), "auc_all_levels": float("nan")}
FIRST_FIGURES = ("meridional_sections", "mixed_layer_depth", "mixed_layer_distribution")


def evaluate(
    run: Run,
    *,
    cost: dict[str, float],
    integration: dict[str, Any] | None = None,
    integration_figure: Path | None = None,
    csv: bool = False,
    known_rows: Rows = MappingProxyType({}),
) -> dict[str, Any]:
    """Evaluate a run: write metrics.json, figures/ and report.html; returns the metrics.

    Without matplotlib there are no figures.

    cost: seconds of each stage; integration: result of `integration.study.summary`;
    integration_figure: its figure, which comes first in the report; csv: whether to write the
    numbers of `evaluation.spinup_metrics`, too; known_rows: metrics of rows that do not depend on
    the model, from a run with the same data, states and conditions
    """
    run.verify_archive()
    context = evaluation_context(run.archive, scratch=run.results)
    rows = gather_rows(run, context)
    if csv:
        write_spinup_csv(run.results / CSV, rows, context.grid)
    row_metrics = evaluate_rows(run, rows, context, known_rows=known_rows)
    profiles = _variance_profiles(rows, context)
    by_seed = {run.settings.sampling.seed: row_metrics[PRODUCT]}
    by_seed |= _further_seeds(run, rows[TRUTH], context)
    verdict = _verdict(run, row_metrics, by_seed, context, integration=integration)
    seeds = Seeds(by_seed).as_dict() if len(by_seed) > 1 else None
    means = at_mean(row_metrics, seeds)
    metrics: dict[str, Any] = {
        "kind": "run",
        # With the model that it is about: a later one may not have been evaluated.
        "verdict": verdict.as_dict() | {"weights": run.weights},
        "rows": row_metrics,
        "seeds": seeds,
        "excess": excess(means),
        "comparisons": comparisons(means),
        "variance_profiles": profiles,
        "autoencoder": judge_codec(run, rows, context),
        "integration": integration,
        "cost": cost | _model_size(run),
        **_elsewhere(run),
        "provenance": origin_of(run),
    }
    write_json(run.results / METRICS, metrics)
    figures = [integration_figure] if integration_figure else []
    _draw_and_report(run, rows, context, metrics, verdict=verdict, figures=figures)
    return metrics


def _verdict(
    run: Run,
    row_metrics: dict[str, dict[str, float]],
    by_seed: dict[int, dict[str, float]],
    context: EvaluationContext,
    *,
    integration: dict[str, Any] | None,
) -> Verdict:
    """The verdict on the product of all sampling seeds; by_seed: its metrics."""
    judged = partial(
        judge_product,
        sizes=_sizes(run, context),
        integration=integration,
        at_conditions=run.settings.conditions is not None,
    )
    return verdict_of_seeds(
        {seed: judged(row_metrics | {PRODUCT: product}) for seed, product in by_seed.items()}
    )


def _draw_and_report(
    run: Run,
    rows: dict[str, State],
    context: EvaluationContext,
    metrics: dict[str, Any],
    *,
    verdict: Verdict,
    figures: list[Path],
) -> None:
    """Draw the figures, if they can be drawn, and write the report; figures: that come first."""
    differences = Differences.between(rows[TRUTH], rows[PRODUCT], context.grid, context.eos)
    if not lacks("matplotlib"):
        profiles = metrics["variance_profiles"]
        figures = figures + draw_figures(
            run, rows, context, profiles=profiles, differences=differences
        )
    write_run_report(
        run,
        metrics,
        verdict=verdict,
        figures=figures,
        differences=differences,
        notes=[_introduction(run, rows), *_extrapolated(run)],
    )


def evaluate_rows(
    run: Run,
    rows: dict[str, State],
    context: EvaluationContext,
    *,
    known_rows: Rows = MappingProxyType({}),
) -> dict[str, dict[str, float]]:
    """The metrics of every row, and those of one half of the truth against the other.

    known_rows: those that need not be computed
    """
    truth, known = rows[TRUTH], climates(run, context)
    bar = tqdm(rows.items(), desc="evaluating", unit="row")
    metrics = {
        name: dict(known_rows[name])
        if name in known_rows
        else _compared(state, truth, context, climate=known.get(name), is_floor=name == FLOOR)
        for name, state in bar
    }
    if FLOOR in metrics:
        metrics[FLOOR] |= dict.fromkeys(NOT_OF_THE_FLOOR, float("nan"))
    if HALVES in known_rows:
        later = {HALVES: dict(known_rows[HALVES])}
    else:
        later = _between_halves(run, truth, context, climate=known.get(HALVES))
    return {TRUTH: metrics.pop(TRUTH), **later, **metrics}


def _further_seeds(
    run: Run, truth: State, context: EvaluationContext
) -> dict[int, dict[str, float]]:
    """The metrics of the product of each further sampling seed."""
    found = {}
    for further in tqdm(run.of_further_seeds, desc="further seeds", unit="seed", disable=None):
        seed = further.settings.sampling.seed
        samples = StateArchive.open(run.samples_of_seed(seed))
        states = read_mapped(samples, range(len(samples)), folder=run.results)
        climate = climate_of_samples(run, samples, context)
        found[seed] = _compared(states, truth, context, climate=climate)
    return found


def _between_halves(
    run: Run, truth: State, context: EvaluationContext, *, climate: Tensor | None
) -> dict[str, dict[str, float]]:
    """The row of one half of the truth against the other; none if a half has a single state."""
    earlier, later = halves(truth, Labels.of(run.held_out.archive, judged_with(run)))
    if min(len(earlier), len(later)) < FEWEST_OF_A_HALF:
        return {}
    return {HALVES: _compared(later, earlier, context, climate=climate)}


def _compared(
    state: State,
    reference: State,
    context: EvaluationContext,
    *,
    climate: Tensor | None,
    is_floor: bool = False,
) -> dict[str, float]:
    """All metrics of states against a reference; a network is not asked to tell it from itself."""
    told = NOT_TOLD if state is reference else two_sample_metrics(state, reference, context.grid)
    metrics = evaluate_row(state, reference, context, climate=climate) | told
    return metrics | _told_from_training(state, context, is_floor=is_floor)


def _told_from_training(
    state: State, context: EvaluationContext, *, is_floor: bool
) -> dict[str, float]:
    """How well a small network tells states from training states.

    Those of the floor are told from the others: the network would recognise states that it has
    learned.
    """
    if context.training is None:
        return {}
    training = context.training.states
    if is_floor:
        others = np.setdiff1d(np.arange(len(training)), floor(training, len(state)))
        training = subset(training, others)
    return two_sample_metrics(state, training, context.grid, suffix="_training")


def judge_codec(run: Run, rows: dict[str, State], context: EvaluationContext) -> dict[str, object]:
    """Reconstruction metrics of the codec on held-out states, and its worst cells.

    Under "training" those on training states: a gap between both is over-fitting.
    """
    codec = run.placed_pipeline().codec
    decoded, training = (
        decode_all(codec, rows[name], context, folder=run.results) for name in (TRUTH, FLOOR)
    )
    statistics = codec.cpu().statistics
    return {
        **judge(decoded, statistics, context),
        "compression": codec.compression,
        "worst_cells": worst_cells(decoded, statistics, context.grid),
        "training": judge(training, statistics, context),
    }


def draw_figures(
    run: Run,
    rows: dict[str, State],
    context: EvaluationContext,
    *,
    profiles: dict[str, dict[str, list[float]]],
    differences: Differences,
) -> list[Path]:
    """Save the figures of the run's states as PNG in `figures/`; returns their paths.

    Those that a modeller looks at first come first. profiles: variance of the rows by level,
    relative to the training states; differences: of the product from the truth
    """
    from evaluation.canvas import save_figure
    from evaluation.difference_figures import difference_maps
    from evaluation.figures import save_figures, spectra
    from evaluation.level_figures import variance_by_level

    directory = run.results / "figures"
    shown = {SHOWN[name]: state for name, state in rows.items() if name in SHOWN}
    paths = save_figures(shown, context.grid, context.eos, directory)
    maps = difference_maps(differences, context.grid, salinity_of(context.eos.name))
    paths.insert(0, save_figure(maps, directory / "differences.png"))
    lines = {ROW_NAMES[name]: rows[name] for name in LINES if name in rows}
    paths.append(save_figure(spectra(lines, context.grid), directory / "spectra.png"))
    shown_profiles = {ROW_NAMES[name]: profiles[name] for name in LINES if name in profiles}
    figure = variance_by_level(shown_profiles, context.grid)
    paths.append(save_figure(figure, directory / "variance_by_level.png"))
    unique = dict.fromkeys(paths)
    return sorted(unique, key=lambda path: path.stem not in FIRST_FIGURES)


def _variance_profiles(
    rows: dict[str, State], context: EvaluationContext
) -> dict[str, dict[str, list[float]]]:
    """Variance of each row relative to that of the training states, by level."""
    if context.training is None:
        return {}
    training = context.training.states
    return {
        name: variance_profiles(state, training, context.grid)
        for name, state in rows.items()
        if len(state) > 1
    }


def _introduction(run: Run, rows: dict[str, State]) -> str:
    return (
        f"{len(rows[PRODUCT])} generated ocean states compared with {len(rows[TRUTH])} held-out "
        f"states of {run.held_out.archive.path.name}. The product is the column guided, "
        f"adjusted{_about_seeds(run.settings.evaluation.seeds)}. "
        "Training states, as many and spread out, show what states of the model itself score "
        "(the floor), and EOF-Gaussian states what classical statistics score: Gaussian "
        "coefficients of all EOFs of the training states."
    )


def _about_seeds(count: int) -> str:
    if count == 1:
        return ", of one sampling seed; evaluation.seeds: 3 tells how much its numbers vary"
    return (
        f"; its numbers in tables are mean ± standard deviation over {count} sampling seeds, and "
        "figures and captions are of the first"
    )


def _elsewhere(run: Run) -> dict[str, object]:
    """The other archive, if any, and how many states are drawn beyond the known conditions."""
    if not is_elsewhere(run):
        return {}
    held_out = run.held_out
    members = sorted(set(held_out.archive.member[held_out.indices].tolist()))
    found = {
        "archive": held_out.archive.path.name,
        "digest": held_out.archive.digest,
        "states": len(judged_with(run)),
        "of": len(held_out.indices),
        "members": members,
        "extrapolated": _beyond(run),
    }
    return {"judged_with": found}


def _beyond(run: Run) -> int:
    """How many states are drawn beyond the range of the training members."""
    conditions = run.test_conditions
    if conditions is None:
        return 0
    ranges = run.expectation().space.ranges
    outside = np.zeros(len(conditions), dtype=bool)
    for name, (low, high) in ranges.items():
        outside |= (conditions.values[name] < low) | (conditions.values[name] > high)
    return int(outside.sum())


def _extrapolated(run: Run) -> list[str]:
    """A sentence for the report if states are drawn beyond the range of the training members."""
    count = _beyond(run) if is_elsewhere(run) else 0
    if not count:
        return []
    total = run.settings.sampling.members
    return [
        f"{count} of the {total} generated states are drawn at conditions beyond the range of the "
        "training members: these judge an extrapolation."
    ]


def _sizes(run: Run, context: EvaluationContext) -> dict[str, int]:
    """Numbers of states, by the names of `evaluation.verdict.FEWEST`."""
    split, training = run.archive.split, context.training
    train, validation = (int((split == SPLITS[part]).sum()) for part in ("train", "validation"))
    return {
        "training states": train,
        "independent training states": training.independent.count if training else 0,
        "validation states": validation,
        "test states": len(run.held_out.indices),
    }


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
