"""Parameters recovered from observations, where they are known: `halocline study recovery CONFIG`.

    halocline study recovery configs/quickstart.yaml

True states are those of unseen members (the test split). Each is observed by one network, with
errors of measurement, and every method estimates the parameters of its run, with a range. Finished
truths are kept in the run directory, so that an interrupted study resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.assimilation import representation_error
from configs.run import Run
from evaluation.canvas import save_figure
from evaluation.provenance import provenance
from guidance.observation_errors import RepresentationError
from studies.observations.networks import Twin
from studies.recovery.estimates import Estimators
from studies.recovery.figures import recovered_parameters
from studies.recovery.scores import summarise
from studies.recovery.settings import LABELS, SHARE, RecoverySettings
from studies.twins import kept, seed_of, truths_of
from training.log import write_json


def run(
    run: Run, *, output: Path | None = None, figures: Path = Path("docs/figures"), **options: Any
) -> dict[str, Any]:
    """Infer the parameters of true states from observations; write the result and a figure.

    output: JSON file (default: docs/results/recovery_NAME.json); options: those of
    `RecoverySettings`. Raises `UserError` for a model without conditions, or settings that make no
    sense.
    """
    output = output or Path("docs") / "results" / f"recovery_{run.settings.name}.json"
    content = evaluate(run, RecoverySettings(**options))
    write_json(output, content)
    figure = figures / f"recovery_{run.settings.name}.png"
    save_figure(recovered_parameters(content), figure)
    print(f"wrote {output}\nwrote {figure}")
    return content


def evaluate(run: Run, settings: RecoverySettings) -> dict[str, Any]:
    """All results, ready for JSON."""
    estimators = Estimators.of(run)
    errors = representation_error(estimators.pipeline.codec, run.archive)
    folder = run.directory / "recovery" / _digest(run, settings)
    truths = truths_of(run.archive, settings.split, settings.truths)
    found = [
        kept(folder / f"{index}.json", partial(_of_truth, estimators, errors, settings, int(index)))
        for index in tqdm(truths, desc="truths", unit="truth")
    ]
    space = estimators.expectation.space
    names = sorted(space.scales)
    low, high = estimators.points.min(axis=0), estimators.points.max(axis=0)
    widths = dict(zip(names, (high - low).tolist(), strict=True))
    return {
        "kind": "recovery",
        "experiment": run.settings.name,
        "settings": settings.as_dict(),
        "labels": LABELS,
        "share": SHARE,
        "parameters": {
            name: {
                "unit": space.units.get(name, ""),
                "scale": space.scales[name],
                "centre": space.centre[name],
                "spread": space.spread[name],
                "width": widths[name],
            }
            for name in names
        },
        "truths": found,
        "rows": summarise(found, widths),
        "provenance": provenance(seeds={"study": settings.seed}),
    }


def _of_truth(
    estimators: Estimators, errors: RepresentationError, settings: RecoverySettings, index: int
) -> dict[str, Any]:
    """True parameters, and the estimates of every row, of the state number `index`."""
    archive = estimators.run.archive
    seed = seed_of(settings.seed, index)
    truth, grid = archive.read([index]), archive.grid
    twin = Twin.of(truth, settings.network, grid, representation=errors, seed=seed)
    names = sorted(estimators.expectation.space.scales)

    def by_name(values: Iterable[float]) -> dict[str, float]:
        return dict(zip(names, map(float, values), strict=True))

    estimates = estimators.all(twin, seed=seed)
    return {
        "state": index,
        "member": int(archive.member[index]),
        "observations": len(twin.observations),
        "true": by_name(estimators.true_point(index)),
        "rows": {
            name: {
                "low": by_name(one.low),
                "median": by_name(one.median),
                "high": by_name(one.high),
                "cpu_seconds": one.cpu_seconds,
            }
            for name, one in estimates.items()
        },
    }


def _digest(run: Run, settings: RecoverySettings) -> str:
    """Identifies what the estimates of a truth depend on."""
    assimilation: Mapping[str, Any] = run.settings.assimilation.model_dump(
        include={"prior_inflation", "trust"}
    )
    own = [settings.network, settings.seed]
    record = [run.weights, run.archive.digest, dict(assimilation), own]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
