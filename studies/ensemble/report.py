"""The evidence on the perturbed-parameter ensemble of the basin: `halocline study ensemble CONFIG`.

    halocline study ensemble configs/ensemble.yaml

reports the finished members: it writes docs/results/ensemble.json and docs/figures/ensemble_*.png.
`halocline study tables` then fills the tables of docs/results/ensemble.md. The grid comes from
Veros.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema import Experiment
from data.basin.certificate import Certificate
from data.basin.ensemble import finished_file
from data.basin.ensemble_archive import archived
from evaluation.provenance import provenance
from studies.ensemble.approach import SEED, approach_rows
from studies.ensemble.continuation import ContinuedMember, continued_members, worth_rows
from studies.ensemble.distances import Distances
from studies.ensemble.members import PARTS, FinishedEnsemble, settings_and_grid
from studies.ensemble.rounding import rounding_rows
from training.log import write_json

DOCS = Path("docs")
MEGABYTE = 1e6


def run(
    experiment: Experiment,
    *,
    output: Path = DOCS / "results" / "ensemble.json",
    figures: Path = DOCS / "figures",
) -> None:
    """Write the results to the JSON file `output`, and the figures to `figures`.

    Raises `UserError` if the experiment has no ensemble, Veros is not installed, or no member is
    finished.
    """
    from studies.ensemble.figures import save_ensemble_figures

    ensemble = FinishedEnsemble.read(*settings_and_grid(experiment))
    continued = continued_members(ensemble)
    content = report(ensemble, continued, archive=experiment.data.stored)
    save_ensemble_figures(ensemble, continued, figures)
    write_json(output, content)
    if unfinished := [*ensemble.missing, *ensemble.missing_continuations]:
        print(f"left out, because they are not finished: {', '.join(unfinished)}")
    print(f"wrote {output} and {figures}/ensemble_*.png")


def report(
    ensemble: FinishedEnsemble, continued: Mapping[str, ContinuedMember], *, archive: Path
) -> dict[str, Any]:
    """All results of the finished members, ready for JSON.

    continued: members with their finished continuations; archive: the state archive, whose size is
    reported if it exists
    """
    distances = Distances(ensemble)
    series = {name: member.yearly for name, member in continued.items()}
    return {
        "kind": "ensemble",
        "missing": ensemble.missing,
        "missing_continuations": ensemble.missing_continuations,
        "depth": ensemble.grid.depth.tolist(),
        "members": member_rows(ensemble),
        "trends": trend_rows(ensemble),
        "worth": worth_rows(ensemble, continued),
        "approach": approach_rows(ensemble, series),
        "rounding": rounding_rows([one.end for one in ensemble.members.values()], ensemble.grid),
        "distances": distances.by_range(),
        "distances_of_members": distances.by_member(),
        "sizes": size_rows(ensemble, archive=archive),
        "provenance": provenance(seeds={"bootstrap": SEED}),
    }


def member_rows(ensemble: FinishedEnsemble) -> dict[str, dict[str, Any]]:
    """Part, parent, tracer step, grid-scale oscillation and parameters of each member."""
    return {
        member.name: {
            "part": ensemble.part(member),
            "parent": member.parent,
            "tracer_step_days": ensemble.members[member.name].tracer_step_days,
            "oscillation_K": ensemble.members[member.name].oscillation,
            **{name: getattr(member.parameters, name) for name in ensemble.settings.ranges},
        }
        for member in ensemble.planned
    }


def trend_rows(ensemble: FinishedEnsemble) -> dict[str, dict[str, Any]]:
    """Certificate of each member, with the largest trend and its depth [m]."""
    volume = ensemble.grid.volume.sum(axis=(1, 2))
    return {
        name: _trends(Certificate.of(member.yearly, volume), ensemble.grid.depth)
        for name, member in ensemble.members.items()
    }


def size_rows(ensemble: FinishedEnsemble, *, archive: Path) -> dict[str, dict[str, Any]]:
    """Members, states and sizes of each part, finished and planned, and of all."""
    settings = ensemble.settings
    kept = len(archived(len(settings.record_times), early=len(settings.early_years)))
    rows = {part: _no_members() for part in PARTS}
    for member in settings.recorded:
        row = rows[ensemble.part(member)]
        row["planned_members"] += 1
        row["planned_states"] += kept
        if member.name in ensemble.members:
            records = ensemble.members[member.name].records
            row["members"] += 1
            row["records"] += records
            row["states"] += len(archived(records, early=len(settings.early_years)))
            row["files_MB"] += _megabytes(finished_file(settings, member.name))
    total = {key: sum(row[key] for row in rows.values()) for key in _no_members()}
    size = _megabytes(archive) if archive.is_file() else None
    planned = {part: row for part, row in rows.items() if row["planned_members"]}
    return {**planned, "all": {**total, "archive_MB": size}}


def _trends(certificate: Certificate, depth: np.ndarray) -> dict[str, Any]:
    largest = {
        field: int(np.abs(getattr(certificate, field)).argmax())
        for field in ("temperature", "salinity")
    }
    warmest, saltiest = largest["temperature"], largest["salinity"]
    return {
        **certificate.as_dict(),
        "largest_temperature_K_per_century": float(certificate.temperature[warmest]),
        "largest_temperature_depth_m": round(float(depth[warmest])),
        "largest_salinity_per_century": float(certificate.salinity[saltiest]),
        "largest_salinity_depth_m": round(float(depth[saltiest])),
    }


def _no_members() -> dict[str, Any]:
    keys = ("members", "planned_members", "records", "states", "planned_states")
    return {**dict.fromkeys(keys, 0), "files_MB": 0.0}


def _megabytes(path: Path) -> float:
    return path.stat().st_size / MEGABYTE
