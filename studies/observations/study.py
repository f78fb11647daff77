"""States given observations, where the truth is known: `halocline study observations CONFIG`.

    halocline study observations configs/quickstart.yaml

True states are those of unseen members (the test split), a few of each. Each is observed by several
networks, with errors of measurement. All methods are given the same values and the same covariance
of errors, and their states are compared with the truth where no observation was made. Finished
truths are kept in the run directory, so that an interrupted study resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from tqdm import tqdm

from configs.assimilation import representation_error
from configs.run import Run
from data.archive.reader import StateArchive
from evaluation.provenance import provenance
from guidance.observation_errors import RepresentationError
from studies.observations.columns import Judge, Scores, summarise
from studies.observations.networks import Twin
from studies.observations.rows import Methods
from studies.observations.settings import LABELS, NETWORKS, TwinSettings
from studies.twins import kept, truths_of
from training.log import write_json


class Network(TypedDict):
    """Of one truth and network: number of observations, and scores of each row."""

    observations: int
    rows: dict[str, Scores]


Networks = dict[str, Network]


def run(run: Run, *, output: Path | None = None, **options: Any) -> dict[str, Any]:
    """Judge a trained model and classical methods on twins; write the result.

    output: JSON file (default: docs/results/observations_NAME.json); options: those of
    `TwinSettings`. Raises `UserError` for an unknown network or method, and if the package of
    ES-MDA is missing.
    """
    output = output or Path("docs") / "results" / f"observations_{run.settings.name}.json"
    content = evaluate(run, TwinSettings(**options))
    write_json(output, content)
    print(f"wrote {output}")
    return content


def evaluate(run: Run, settings: TwinSettings) -> dict[str, Any]:
    """All results, ready for JSON."""
    methods = Methods.of(run, settings)
    errors = representation_error(methods.pipeline.codec, run.archive)
    folder = run.directory / "observations" / _digest(run, settings)
    truths = truths_of(run.archive, settings.split, settings.truths)
    found = [
        kept(folder / f"{index}.json", partial(judge_truth, methods, errors, int(index)))
        for index in tqdm(truths, desc="truths", unit="truth")
    ]
    return {
        "kind": "observations",
        "experiment": run.settings.name,
        "settings": settings.as_dict(),
        "labels": LABELS,
        "truths": [_described(run.archive, int(index)) for index in truths],
        "representation_error": {
            "depth_m": errors.depth.tolist(),
            "temperature_K": errors.temperature.tolist(),
            "salinity": errors.salinity.tolist(),
        },
        "networks": {name: _summary(name, found) for name in settings.networks},
        "provenance": provenance(seeds={"study": settings.seed}),
    }


def judge_truth(methods: Methods, errors: RepresentationError, index: int) -> Networks:
    """Scores of all methods for the state number `index` of the archive, by network."""
    archive, settings = methods.run.archive, methods.settings
    judge = Judge(archive.grid, methods.eos)
    truth = archive.read([index])
    seed = _seed(settings.seed, index)
    blind = list(methods.without_observations(truth, index, seed=seed))
    found: Networks = {}
    for number, network in enumerate(NETWORKS):
        if network not in settings.networks:
            continue
        twin = Twin.of(
            truth, network, archive.grid, representation=errors, seed=_seed(seed, number)
        )
        rows = [*blind, *methods.given(twin, index, seed=seed)]
        scores = {
            row.name: judge.scores(row.states, twin) | {"cpu_seconds": row.cpu_seconds}
            for row in rows
        }
        found[network] = {"observations": len(twin.observations), "rows": scores}
    return found


def _summary(network: str, truths: Sequence[Networks]) -> dict[str, Any]:
    """Of one network: number of observations, and mean and deviation of each row over truths."""
    found = [one[network] for one in truths]
    rows = [name for name in LABELS if name in found[0]["rows"]]
    return {
        "title": NETWORKS[network],
        "observations": float(np.mean([one["observations"] for one in found])),
        "rows": {name: summarise([one["rows"][name] for one in found]) for name in rows},
    }


def _described(archive: StateArchive, index: int) -> dict[str, Any]:
    return {
        "state": index,
        "member": int(archive.member[index]),
        "time": float(archive.time[index]),
        **{name: float(values[index]) for name, values in archive.parameters.items()},
    }


def _digest(run: Run, settings: TwinSettings) -> str:
    """Identifies what the scores of a truth depend on."""
    sections = run.settings.model_dump(mode="json", include={"sampling", "guidance", "conditions"})
    keys = {"prior_inflation", "trust", "localisation_km", "denoiser_iterations"}
    sections["assimilation"] = run.settings.assimilation.model_dump(include=keys)
    own = {k: v for k, v in settings.as_dict().items() if k not in ("truths", "split")}
    record = [run.weights, run.archive.digest, sections, own]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def _seed(*numbers: int) -> int:
    # Not `studies.twins.seed_of`, which is younger than the recorded results.
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:4], "big")
