"""Fine states from their coarse means, where the truth is known: `halocline study downscaling`.

    halocline study downscaling configs/quickstart.yaml --factor 2

True states are those of unseen members (the test split). Their means over `factor` by `factor`
cells are the coarse source. Every method is given these means, with the errors that the model's
codec makes of them. Finished truths are kept in the run directory, so that an interrupted study
resumes.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from configs.run import Run
from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.archive.writer import ArchiveWriter
from data.regrid import Regridding, coarsened
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from studies.downscaling.columns import Judge, Scores, climatology, summarise
from studies.downscaling.rows import Methods
from studies.downscaling.settings import LABELS, DownscalingSettings
from studies.twins import kept, truths_of
from training.log import write_json

REFERENCE_STATES = 64  # of the climatology


def run(run: Run, *, output: Path | None = None, **options: Any) -> dict[str, Any]:
    """Judge a trained model and classical methods; write the result.

    output: JSON file (default: docs/results/downscaling_NAME.json); options: those of
    `DownscalingSettings`. Raises `UserError` for settings that make no sense.
    """
    output = output or Path("docs") / "results" / f"downscaling_{run.settings.name}.json"
    content = evaluate(run, DownscalingSettings(**options))
    write_json(output, content)
    print(f"wrote {output}")
    return content


def evaluate(run: Run, settings: DownscalingSettings) -> dict[str, Any]:
    """All results, ready for JSON."""
    archive = run.archive
    folder = run.directory / "downscaling" / _digest(run, settings)
    truths = truths_of(archive, settings.split, settings.truths)
    coarse = _coarse(archive, truths, settings.factor, folder / "coarse.zarr")
    pipeline = run.pipeline()
    known = spread_out(archive.indices("train"), REFERENCE_STATES)
    judge = Judge(
        archive.grid,
        equation_of_state(archive.equation_of_state),
        climatology(archive.read(known)),
    )
    found = []
    for number, index in enumerate(tqdm(truths.tolist(), desc="truths", unit="truth")):
        methods = Methods.of(run, settings, pipeline, coarse=coarse, number=number, index=index)
        found.append(kept(folder / f"{index}.json", partial(judge_truth, methods, judge)))
    return {
        "kind": "downscaling",
        "experiment": run.settings.name,
        "settings": settings.as_dict(),
        "labels": LABELS,
        "truths": truths.tolist(),
        "members": archive.member[truths].tolist(),
        "cells": {"fine": archive.grid.shape, "coarse": coarse.grid.shape},
        "rows": {
            name: summarise([one[name] for one in found]) for name in LABELS if name in found[0]
        },
        "provenance": provenance(seeds={"study": settings.seed}),
    }


def _coarse(
    archive: StateArchive, truths: NDArray[np.int64], factor: int, path: Path
) -> StateArchive:
    """The means of the truths over `factor` by `factor` cells, as an archive."""
    if not path.exists():
        grid = coarsened(archive.grid, factor)
        regridding = Regridding(archive.grid, grid)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ArchiveWriter(
            path,
            grid=grid,
            equation_of_state=archive.equation_of_state,
            salinity_units=archive.salinity_units,
            sea_level=archive.has_sea_level,
        ) as writer:
            for index in truths.tolist():
                state = regridding(archive.read([index])).state
                member = int(archive.member[index])
                writer.append(state, member=member, time=0.0, split=UNUSED)
    return StateArchive.open(path)


def judge_truth(methods: Methods, judge: Judge) -> dict[str, Scores]:
    """Scores of all rows for one truth."""
    judged = partial(
        judge.scores,
        truth=methods.run.archive.read([methods.index]),
        translation=methods.translation,
        errors=methods.errors,
    )
    return {
        row.name: judged(row.states) | {"cpu_seconds": row.cpu_seconds} for row in methods.rows()
    }


def _digest(run: Run, settings: DownscalingSettings) -> str:
    """Identifies what the scores of a truth depend on, and the truths."""
    names = {"sampling", "guidance", "conditions", "assimilation"}
    sections = run.settings.model_dump(mode="json", include=names)
    record = [run.weights, run.archive.digest, sections, settings.as_dict()]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
