"""Analyses of observations started in the model: `halocline study analyses CONFIG`.

    halocline study analyses configs/quickstart.yaml

The last state of a few unseen members is observed. Every analysis of the observations starts the
ocean model with the parameters and the forcing of that member, beside its true state, and the runs
are compared. Finished analyses and runs are kept in the run directory, so that an interrupted
study resumes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from configs.assimilation import representation_error
from configs.run import Run
from data.archive.reader import StateArchive
from data.state import State
from evaluation.canvas import save_figure
from evaluation.provenance import provenance
from integration.figures import integration_drift
from integration.points import Points
from integration.study import integration_settings
from studies.analyses import settings as s
from studies.observations import settings as observed
from studies.observations.networks import Twin
from studies.observations.rows import Methods
from studies.started import integrated, keep_states, kept_states, scores_of_runs
from studies.twins import seed_of
from training.log import write_json


def run(
    run: Run, *, output: Path | None = None, figures: Path = Path("docs/figures"), **options: Any
) -> dict[str, Any]:
    """Observe true states, and start the model from analyses; write the result and a figure.

    output: JSON file (default: docs/results/analyses_NAME.json); options: those of
    `AnalysesSettings`. Raises `UserError` for an experiment without an ocean model, or settings
    that make no sense.
    """
    output = output or Path("docs") / "results" / f"analyses_{run.settings.name}.json"
    settings = s.AnalysesSettings(**options)
    integration = integration_settings(run)
    assert run.settings.conditions is not None  # as checked with the section integration
    points = Points.of(run.archive, run.settings.conditions, test=settings.points, outside=0)
    folder = run.directory / "analyses" / _digest(run, settings)
    starts = _starts(run, points, settings, folder)
    result = integrated(
        starts,
        points,
        settings=integration,
        years=settings.years,
        directory=folder / "integration",
    )
    content = {
        "kind": "analyses",
        "experiment": run.settings.name,
        "settings": settings.as_dict(),
        "labels": s.LABELS,
        "members": run.archive.member[points.index].tolist(),
        "rows": scores_of_runs(result),
        "provenance": provenance(seeds={"study": settings.seed}),
    }
    write_json(output, content)
    figure = figures / f"analyses_{run.settings.name}.png"
    save_figure(integration_drift(result), figure)
    print(f"wrote {output}\nwrote {figure}")
    return content


def _starts(
    run: Run, points: Points, settings: s.AnalysesSettings, folder: Path
) -> list[dict[str, State]]:
    """By point, a state `1 z y x` for each row; those that are kept are not made again."""
    files = [folder / f"{index}.npz" for index in points.index]
    missing = [number for number, path in enumerate(files) if not path.is_file()]
    if missing:
        methods = Methods.of(run, settings.twins)
        errors = representation_error(methods.pipeline.codec, run.archive)
        for number in tqdm(missing, desc="analyses", unit="point"):
            index = int(points.index[number])
            truth, seed = run.archive.read([index]), seed_of(settings.seed, index)
            twin = Twin.of(
                truth, settings.network, run.archive.grid, representation=errors, seed=seed
            )
            analyses = {row.name: row.states for row in methods.given(twin, index, seed=seed)}
            keep_states(files[number], _rows(run.archive, points, number, analyses))
    return [kept_states(path) for path in files]


def _rows(
    archive: StateArchive, points: Points, number: int, analyses: dict[str, State]
) -> dict[str, State]:
    def stored(rows: NDArray[np.int64]) -> State:
        return archive.read(rows[[number]])

    interpolated, localised = (
        analyses[name] for name in (observed.INTERPOLATED, observed.LOCALISED)
    )
    return {
        s.TRUTH: stored(points.index),
        s.ANOTHER: stored(points.another),
        s.INTERPOLATED_MEAN: _mean(interpolated),
        s.INTERPOLATED: interpolated,
        s.LOCALISED_MEAN: _mean(localised),
        s.LOCALISED: localised,
        s.OURS: analyses[observed.GUIDED],
        s.NEAREST: stored(points.nearest),
    }


def _mean(states: State) -> State:
    return states.map(lambda field: field.mean(dim=0, keepdim=True))


def _digest(run: Run, settings: s.AnalysesSettings) -> str:
    """Identifies what the analyses depend on."""
    names = {"sampling", "guidance", "conditions", "assimilation"}
    sections = run.settings.model_dump(mode="json", include=names)
    own = [settings.network, settings.members, settings.steps, settings.seed]
    record = [run.weights, run.archive.digest, sections, own]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
