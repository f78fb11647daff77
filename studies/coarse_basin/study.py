"""A real 5-degree run of the basin to 2.5 degrees, and on in the model: `halocline study`.

    halocline simulate configs/coarse_basin.yaml
    halocline study coarse_basin configs/quickstart.yaml

States of a test member of the coarse run become states of 2.5 degrees by interpolation, by the
model given their means, and by translation; they are judged against the states of the same member,
age and forcing at 2.5 degrees. The last state of each starts the 2.5-degree model. Finished
pairs and runs are kept in the run directory, so that an interrupted study resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm

from configs.run import Run
from data.archive.reader import StateArchive
from data.salinity import salinity_of
from data.shipped import to_read
from data.state import State
from evaluation.canvas import save_figure
from evaluation.figures import meridional_sections, mixed_layer_maps, surface_maps
from evaluation.provenance import provenance
from evaluation.translation_metrics import Judge
from guidance.seawater import equation_of_state
from integration.figures import integration_drift
from integration.integrate import IntegrationResult
from integration.study import integration_settings
from latent_diffusion.pipeline import StatePipeline
from studies.coarse_basin.columns import PairJudge, own_bias, summarise, targets
from studies.coarse_basin.rows import Maker, Pair, pairs_of, points_at
from studies.coarse_basin.settings import (
    DOWNSCALED,
    GENERATED,
    INTERPOLATED,
    LABELS,
    MAPPED_DOWNSCALED,
    NEAREST,
    TRANSLATED,
    TRUTH,
    CoarseSettings,
)
from studies.markdown import readable
from studies.started import integrated, keep_states, kept_states, scores_of_runs
from studies.twins import kept
from training.log import write_json

SOURCE = Path("data/archives/coarse_basin.zarr.zip")
SHOWN = (TRUTH, INTERPOLATED, DOWNSCALED, MAPPED_DOWNSCALED, TRANSLATED, GENERATED, NEAREST)


def run(
    run: Run,
    *,
    source: Path = SOURCE,
    output: Path | None = None,
    figures: Path = Path("docs/figures"),
    **options: Any,
) -> dict[str, Any]:
    """Judge the fine states of a coarse run and integrate them; write the result and figures.

    source: archive of the coarse run; output: JSON file (default: docs/results/coarse_basin.json);
    options: those of `CoarseSettings`. Raises `UserError` for settings that make no sense.
    """
    output = output or Path("docs") / "results" / "coarse_basin.json"
    settings = CoarseSettings(**options)
    archive = StateArchive.open(to_read(source))
    points = pairs_of(run, archive, settings)
    folder = run.directory / "coarse_basin" / _digest(run, archive, settings)
    scores = _scores(run, archive, points, settings, folder)
    rows: dict[str, dict[str, Any]] = {name: summarise(one) for name, one in scores.items()}
    last = [pairs[-1] for pairs in points]
    states = [kept_states(_states_file(folder, pair)) for pair in last]
    result = _integrated(run, settings, last, states, folder)
    for label, found in scores_of_runs(result).items():
        rows[label] |= found
    content = {
        "kind": "coarse_basin",
        "experiment": run.settings.name,
        "settings": settings.as_dict(),
        "labels": LABELS,
        "members": names_of(archive, last),
        "ages": [[float(archive.parameters["age"][p.coarse]) for p in pairs] for pairs in points],
        "coarse": coarse_run(archive, last) | {"bias_K": own_bias(next(iter(scores.values())))},
        "rows": rows,
        "targets": targets(rows),
        "provenance": provenance(seeds={"study": settings.seed}),
    }
    write_json(output, content)
    written = draw(run, states[0], result, figures)
    print("\n".join(f"wrote {path}" for path in (output, *written)))
    return content


def _scores(
    run: Run,
    source: StateArchive,
    points: list[list[Pair]],
    settings: CoarseSettings,
    folder: Path,
) -> dict[str, list[dict[str, Any]]]:
    """Scores of all pairs by row; those that are kept are not computed again."""
    pipeline = run.pipeline()
    scores: dict[str, list[dict[str, Any]]] = {}
    for pair in tqdm([one for pairs in points for one in pairs], desc="states", unit="state"):
        maker = partial(judged, run, source, pair, pipeline, settings, folder)
        for name, row in kept(folder / f"{pair.fine}.json", maker).items():
            scores.setdefault(name, []).append(row)
    return scores


def judged(
    run: Run,
    source: StateArchive,
    pair: Pair,
    pipeline: StatePipeline,
    settings: CoarseSettings,
    folder: Path,
) -> dict[str, Any]:
    """Scores of all rows of one pair; the first state of each row is kept beside them."""
    maker = Maker.of(run, source, pair, pipeline=pipeline, settings=settings)
    means = Judge.of(maker.methods.translation, maker.methods.errors)
    truth = run.archive.read([pair.fine])
    judge = PairJudge.of(means, truth, source=source, number=pair.coarse)
    found, states = {}, {}
    for row in maker.rows():
        found[row.name] = judge.scores(row.states) | {"cpu_seconds": row.cpu_seconds}
        states[row.name] = row.states
    keep_states(_states_file(folder, pair), states)
    return found


def _states_file(folder: Path, pair: Pair) -> Path:
    return folder / f"{pair.fine}.npz"


def _integrated(
    run: Run,
    settings: CoarseSettings,
    last: list[Pair],
    states: list[dict[str, State]],
    folder: Path,
) -> IntegrationResult:
    started = [{name: point[name] for name in settings.started} for point in states]
    return integrated(
        started,
        points_at(run, [pair.fine for pair in last]),
        settings=integration_settings(run),
        years=settings.years,
        directory=folder / "integration",
    )


def coarse_run(source: StateArchive, last: list[Pair]) -> dict[str, Any]:
    """How near the members of the coarse run are to equilibrium, as their certificates say."""
    certificates = cast(Mapping[str, Any], source.attributes)["certificates"]
    return {
        "cells": source.grid.shape,
        "certificates": {name: certificates[name] for name in names_of(source, last)},
    }


def names_of(source: StateArchive, pairs: list[Pair]) -> list[str]:
    """Names of the members of some pairs."""
    names = cast(Mapping[str, Any], source.attributes)["members"]
    return [str(names[source.member[pair.coarse]]) for pair in pairs]


def draw(
    run: Run, states: Mapping[str, State], result: IntegrationResult, folder: Path
) -> list[Path]:
    """Maps, sections and mixed layers of the rows at the first point, and the integrations."""
    grid = run.archive.grid
    eos = equation_of_state(run.archive.equation_of_state)
    shown = {readable(name): states[name] for name in SHOWN}
    drawn = {
        "surface": surface_maps(shown, grid, salinity_of(eos.name), field="temperature", count=1),
        "sections": meridional_sections(shown, grid, eos),
        "mixed_layers": mixed_layer_maps(shown, grid, eos),
        "integration": integration_drift(result),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save_figure(figure, folder / f"coarse_basin_{name}.png") for name, figure in drawn.items()
    ]


def _digest(run: Run, source: StateArchive, settings: CoarseSettings) -> str:
    """Identifies what the scores of a pair and the states that start the model depend on."""
    names = {"sampling", "guidance", "conditions", "assimilation"}
    sections = run.settings.model_dump(mode="json", include=names)
    chains = [settings.members, settings.steps, settings.seed]
    record = [run.weights, run.archive.digest, source.digest, sections, chains]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
