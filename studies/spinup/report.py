"""The report of a spin-up study: tables, figures and cost accounting of its integrations.

    halocline study spinup report configs/spinup.yaml

reports the finished part of the study: it writes docs/results/spinup.json and
docs/figures/spinup_*.png. `halocline study tables` then fills the tables of the documents.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from configs.run import Run
from data.errors import UserError
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from integration.drift import (
    FIELDS,
    FIRST,
    STRETCH,
    annual,
    distance,
    level_drift,
    rates,
    rms_over_levels,
    spread,
)
from integration.integrate import TRUTH, IntegrationResult
from integration.member_run import FloatArray, MemberRun
from integration.study import (
    GENERATED,
    finished_study,
    integration_settings,
    points_of,
    study_directory,
)
from studies import tables
from studies.guidance.study import draw_timed
from studies.spinup.accounting import Account, PublishedModel
from studies.spinup.aims import aims
from studies.spinup.analysis import (
    LONG_WINDOW,
    Analysis,
    drifts_by_level,
    pooled,
    quantities,
    summary,
)
from studies.spinup.distances import distances, distances_by_depth
from studies.spinup.tables import NOTHING_YET
from training.log import write_json

DOCS = Path("docs")
ANALYTIC = "analytic"
ALTERNATIVES = {"nearest_member": "the nearest member", ANALYTIC: "a cold start"}
SHORTEST = 3  # years; minimum length of a run for a drift
SAMPLING_STATES = 16
CORES = 2  # cores of the machine that measured the wall times in cost.json


def report(run: Run, result: IntegrationResult) -> dict[str, Any]:
    """All results of the finished runs, ready for JSON; without a reference run only the plan.

    Raises `UserError` for a study whose runs are too short to measure drift.
    """
    if any(years < SHORTEST for years in result.years.values()):
        raise UserError(
            f"drift is measured from the second year; set the years of integration.starts to at "
            f"least {SHORTEST}"
        )
    content: dict[str, Any] = {"runs": _runs_table(run, result), "after": {}}
    accounts = {name: ocean.account() for name, ocean in dino(tables.result_of).items()}
    if TRUTH in result.labels:
        analysis, seconds = Analysis(result), year_seconds(result)
        inside = integration_settings(run).points.test
        accounts = basin_accounts(run, analysis, seconds["mean"]) | accounts
        content |= {
            "criterion": _criterion_table(analysis),
            "after": {f"{years:g}": _starts_table(analysis, years) for years in analysis.lengths},
            "depth": result.runs[0].depth.tolist(),
            "levels": {
                f"{years:g}": drifts_by_level(analysis, years) for years in analysis.lengths
            },
            "long": _long_table(analysis),
            "distances": distances(analysis, inside=inside),
            "depths": {
                field: distances_by_depth(analysis, field, inside=inside) for field in FIELDS
            },
            "aims": aims(
                analysis,
                inside=inside,
                year_seconds=seconds["mean"],
                sampling_seconds=sampling_seconds(run),
            ),
            "year_seconds": seconds,
            "verdict": summary(analysis),
        }
    content["accounts"] = {name: account.as_dict() for name, account in accounts.items()}
    seeds = {"integration": integration_settings(run).seed}
    return {"kind": "spinup", "spinup": content, "provenance": provenance(seeds=seeds)}


def year_seconds(result: IntegrationResult) -> dict[str, float]:
    """Processor time of a simulated year [s], mean and range over the runs."""
    survived = [run for run in result.runs if run.survived]
    seconds = spread([float(run.series["processor_seconds"][-1]) / run.years for run in survived])
    assert seconds is not None, "a study with a reference run has one that survived"
    return seconds


def basin_accounts(run: Run, analysis: Analysis, year: float) -> dict[str, Account]:
    """The basin's cost accounting under each criterion of equilibrium.

    year: processor time of a simulated year [s]
    """
    settling = {name: times for name, times in _settling(analysis).items() if times[2] is not None}
    if not settling:
        return {}
    sampling, training = sampling_seconds(run), training_seconds(run)
    data = year * simulated_years(run)
    return {
        name: Account(year, cold, cold * year, settled, sampling, generated, training, data)
        for name, (cold, settled, generated) in settling.items()
        if generated is not None
    }


def sampling_seconds(run: Run) -> float:
    """Processor time to generate and adjust a state [s]; measured once and saved with the study."""
    path = study_directory(run) / "sampling_cost.json"
    if path.is_file():
        return float(json.loads(path.read_text())["seconds_per_state"])
    sampling = run.settings.sampling.model_copy(update={"members": SAMPLING_STATES})
    state, seconds = draw_timed(run.with_settings(sampling=sampling))
    archive = run.archive
    start = time.process_time()
    adjust(state, eos=equation_of_state(archive.equation_of_state), grid=archive.grid)
    seconds += time.process_time() - start
    write_json(path, {"seconds_per_state": seconds / len(state), "states": len(state)})
    return seconds / len(state)


def training_seconds(run: Run) -> float:
    """Upper bound on the processor time of both trainings [s]: wall time on all cores.

    NaN if the run has no cost.json.
    """
    path = run.directory / "cost.json"
    if not path.is_file():
        return float("nan")
    cost = json.loads(path.read_text())
    return CORES * (cost["autoencoder_seconds"] + cost["diffusion_seconds"])


def simulated_years(run: Run) -> float:
    """Simulated years of the ensemble: those of its members and of the reference."""
    return float(cast(float, run.archive.attributes["simulated_years"]))


def dino(results: Callable[[str], dict[str, Any]]) -> dict[str, PublishedModel]:
    """DINO at 1 and 1/4 degree, from Kamm et al. (2025) and its published protocol.

    A simulated year takes 2 and 120 CPU-hours. The spin-up is 3000 years at 1 degree, followed by
    400 years at 1/4 degree for the finer model. Assumptions: a generated state adjusts for 10 years
    (the length of the seed paper's test), and the training data are 50 years after the spin-up (as
    in that paper). Sampling and training were measured at 1/4 degree on one core, and scaled to 1
    degree by the number of columns.
    """
    sampling = results("guidance_cost")["chains"]["as configured"]["seconds"]
    rates_of = results("training_cost")["trainings"]["dino_quarter 36x800x256"]
    rate = {stage: rates_of[stage]["samples_per_second"] for stage in ("autoencoder", "diffusion")}
    columns = (199 * 62) / (797 * 242)  # at 1 degree / at 1/4 degree

    def training(autoencoder: int, diffusion: int) -> float:
        return autoencoder / rate["autoencoder"] + diffusion / rate["diffusion"]

    def published(
        stages: tuple[tuple[float, float], ...], fraction: float, seconds: float
    ) -> PublishedModel:
        return PublishedModel(stages, 50.0, 10.0, fraction * sampling, fraction * seconds)

    at_1_degree = (3000.0, 2.0)
    return {  # lengths of trainings: configs/dino_1deg.yaml and dino_quarter.yaml
        "DINO 1 degree": published((at_1_degree,), columns, training(50_000, 100_000)),
        "DINO 1/4 degree": published(
            (at_1_degree, (400.0, 120.0)), 1.0, training(100_000, 400_000)
        ),
    }


def _runs_table(run: Run, result: IntegrationResult) -> dict[str, dict[str, Any]]:
    """The planned and the finished runs of each label."""
    table, points = {}, len(points_of(run))
    for label, kind in integration_settings(run).starts.items():
        runs = result.of(label)
        longer = [run.years for run in result.long_runs if run.label == label]
        table[label] = {
            "members": kind.members or points,
            "years": kind.years,
            "finished": len(runs),
            "blown_up": sum(not run.survived for run in runs),
            "long_members": kind.long_members or None,
            "long_years": kind.long_years if kind.long_members else None,
            "long_reached": ", ".join(f"{years:.0f}" for years in longer) or None,
        }
    return table


def _criterion_table(analysis: Analysis) -> dict[str, dict[str, float]]:
    return {
        f"over {window} years": {
            "temperature_limit": criterion.limits["temperature"],
            "salinity_limit": criterion.limits["salinity"],
            "runs": sum(criterion.applies_to(run) for run in analysis.result.of(TRUTH)),
        }
        for window, criterion in analysis.criteria.items()
        if criterion.known
    }


def _starts_table(analysis: Analysis, years: float) -> dict[str, dict[str, Any]]:
    """By label, the spread of all quantities over its runs of length `years`."""
    table: dict[str, dict[str, Any]] = {}
    for label, runs in analysis.compared(years).items():
        survived = [quantities(run, analysis) for run in runs if run.survived]
        keys = dict.fromkeys(key for row in survived for key in row)
        table[label] = {
            "members": len(runs),
            "blown_up": len(runs) - len(survived),
            **{key: spread([figures.get(key, np.nan) for figures in survived]) for key in keys},
        }
    return table


def _long_table(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """One row for each long run: drift, rates of its last decade, and settling time."""
    return {
        f"{run.label} {run.index}": _long_row(run, analysis) for run in analysis.result.long_runs
    }


def _long_row(run: MemberRun, analysis: Analysis) -> dict[str, Any]:
    last = {field: _last(rates(run, field, window=LONG_WINDOW)) for field in FIELDS}
    mean = annual(run.time, run.mean_temperature)
    later = mean[len(mean) // 2 :]
    return {
        "years": run.years,
        "drift_temperature_K": float(rms_over_levels(level_drift(run, "temperature"), run)),
        "drift_salinity": float(rms_over_levels(level_drift(run, "salinity"), run)),
        "last_rate_K_per_century": 100 * last["temperature"],
        "last_rate_salinity_per_century": 100 * last["salinity"],
        "trend_K_per_century": 100 * float(np.polyfit(np.arange(len(later)), later, 1)[0]),
        **{f"settled_{window}": c.years_of(run) for window, c in analysis.criteria.items()},
    }


def _last(values: FloatArray) -> float:
    return float(values[-1]) if values.size else float("nan")


def _settling(analysis: Analysis) -> dict[str, tuple[float, bool, float | None]]:
    """By criterion: years until a cold start settles, whether it has, years of generated states.

    Criteria that need longer runs are left out.
    """
    settling = {}
    for window, criterion in analysis.criteria.items():
        cold = [run for run in analysis.longest(ANALYTIC) if criterion.applies_to(run)]
        generated = [
            criterion.years_of(run)
            for run in analysis.result.of(GENERATED)
            if criterion.applies_to(run) or not run.survived
        ]
        if cold and generated:
            needed = window + STRETCH - 1
            ages = [(criterion.years_of(run), run.years - needed) for run in cold]
            settling[f"basin, rates over {window} years"] = (*_cold(ages), _median(generated))
    for label, name in ALTERNATIVES.items():
        ages = equivalent_ages(analysis, label)
        if ages:
            settling[f"basin, from {name}"] = (*_cold(ages), float(FIRST))
    return settling


def equivalent_ages(analysis: Analysis, label: str) -> list[tuple[float | None, float]]:
    """Years until each run of a label is as near to the truth as generated states, and its length.

    The threshold is the mean distance of generated states in their second year, in both T and S. A
    run must stay below it; None if it does not reach it.
    """
    generated = analysis.pairs(analysis.result.of(GENERATED))
    cold = analysis.pairs(analysis.longest(label))
    if not generated or not cold:
        return []
    near = {field: _mean_distance(generated, field) for field in FIELDS}
    return [_age(run, truth, near) for run, truth in cold]


def _mean_distance(pairs: Sequence[tuple[MemberRun, MemberRun]], field: str) -> float:
    """Mean distance in the second year."""
    return float(np.mean([distance(run, truth, field)[FIRST] for run, truth in pairs]))


def _age(run: MemberRun, truth: MemberRun, near: Mapping[str, float]) -> tuple[float | None, float]:
    exceeds = np.any([distance(run, truth, field) > near[field] for field in FIELDS], axis=0)
    years = len(exceeds)
    last = int(np.flatnonzero(exceeds)[-1]) + 1 if exceeds.any() else 0
    return (None if last == years else float(max(last, FIRST))), float(years)


def _cold(ages: Sequence[tuple[float | None, float]]) -> tuple[float, bool]:
    """Mean time until cold starts have settled and True, or a lower bound and False."""
    if all(age is not None for age, _ in ages):
        return float(np.mean([age for age, _ in ages if age is not None])), True
    return max(float(FIRST), min(length for age, length in ages if age is None)), False


def _median(years: Sequence[float | None]) -> float | None:
    """Median with unsettled runs counted as the slowest; None if the median run is unsettled."""
    if not years:
        return None
    middle = float(np.median([np.inf if year is None else year for year in years]))
    return middle if np.isfinite(middle) else None


def run(
    run: Run,
    *,
    output: Path = DOCS / "results" / "spinup.json",
    figures: Path = DOCS / "figures",
) -> None:
    """Write the results of a study to the JSON file `output`, and its figures to `figures`."""
    from studies.spinup.figures import save_spinup_figures

    result = finished_study(run)
    content = report(run, result)
    spinup = content["spinup"]
    drawn = Analysis(pooled(result, _seeds_as_one(run)))
    save_spinup_figures(drawn, run.archive.grid, spinup["accounts"], figures)
    write_json(output, content)
    print("\n".join(spinup.get("verdict", [NOTHING_YET])))
    print(f"wrote {output} and {figures}/spinup_*.png")


def _seeds_as_one(run: Run) -> dict[str, str]:
    """The labels that differ in the sampling seed only, with the one that figures show."""
    starts = integration_settings(run).starts
    if GENERATED not in starts:
        return {}
    guidance = starts[GENERATED].guidance
    return {
        label: GENERATED
        for label, kind in starts.items()
        if kind.states == "generated" and kind.guidance == guidance
    }
