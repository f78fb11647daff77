"""What generated states save of a spin-up: tables, figures and accounting of an integration study.

    halocline study spinup report configs/spinup.yaml

reports whatever part of the study has finished by now: writes docs/results/spinup.json and
docs/figures/spinup_*.png. Run it again when there is more; `halocline study tables` then fills the
tables of docs/spinup.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from integration.study import GENERATED, finished_study, integration_settings, study_directory
from studies import tables
from studies.guidance.study import draw_timed
from studies.spinup.accounting import Account, OnPaper
from studies.spinup.findings import LONG_WINDOW, Findings, drifts_by_level, figures_of, verdict
from studies.spinup.tables import NOTHING_YET
from training.log import write_json

DOCS = Path("docs")
ANALYTIC = "analytic"
SHORTEST = 3  # years of a run that has a drift
SAMPLING_STATES = 16
CORES = 2  # of the machine whose wall seconds of training cost.json holds


def report(run: Run, result: IntegrationResult) -> dict[str, Any]:
    """All figures of what has finished, ready for JSON; without a true run, only what is asked.

    Raises `UserError` for a study whose runs are too short to drift.
    """
    if any(years < SHORTEST for years in result.years.values()):
        raise UserError(
            f"drift is counted from the second year on: give integration.starts at least "
            f"{SHORTEST} years"
        )
    content: dict[str, Any] = {"runs": _runs_table(run, result), "after": {}}
    accounts = {name: ocean.account() for name, ocean in dino(tables.result_of).items()}
    if TRUTH in result.labels:
        found, seconds = Findings(result), year_seconds(result)
        accounts = basin_accounts(run, found, seconds["mean"]) | accounts
        content |= {
            "criterion": _criterion_table(found),
            "after": {f"{years:g}": _starts_table(found, years) for years in found.lengths},
            "depth": result.runs[0].depth.tolist(),
            "levels": {f"{years:g}": drifts_by_level(found, years) for years in found.lengths},
            "long": _long_table(found),
            "year_seconds": seconds,
            "verdict": verdict(found),
        }
    content["accounts"] = {name: account.as_dict() for name, account in accounts.items()}
    seeds = {"integration": integration_settings(run).seed}
    return {"kind": "spinup", "spinup": content, "provenance": provenance(seeds=seeds)}


def year_seconds(result: IntegrationResult) -> dict[str, float]:
    """Processor seconds of a simulated year, mean and range over the runs."""
    held = [run for run in result.runs if run.held]
    found = spread([float(run.series["processor_seconds"][-1]) / run.years for run in held])
    assert found is not None, "a study with a true run has one that held"
    return found


def basin_accounts(run: Run, found: Findings, year: float) -> dict[str, Account]:
    """The basin's accounting, by each way to say when it has settled.

    year: processor seconds of a simulated one
    """
    ways = {name: way for name, way in _settling(found).items() if way[2] is not None}
    if not ways:
        return {}
    sampling, training = sampling_seconds(run), training_seconds(run)
    data = year * simulated_years(run)
    return {
        name: Account(year, cold, cold * year, settled, sampling, generated, training, data)
        for name, (cold, settled, generated) in ways.items()
        if generated is not None
    }


def sampling_seconds(run: Run) -> float:
    """Processor seconds to draw and adjust one state; measured once and kept with the study."""
    path = study_directory(run) / "sampling_cost.json"
    if path.is_file():
        return float(json.loads(path.read_text())["seconds_per_state"])
    sampling = run.settings.sampling.model_copy(update={"members": SAMPLING_STATES})
    state, seconds = draw_timed(run.with_settings(sampling=sampling))
    archive = run.archive
    began = time.process_time()
    adjust(state, eos=equation_of_state(archive.equation_of_state), grid=archive.grid)
    seconds += time.process_time() - began
    write_json(path, {"seconds_per_state": seconds / len(state), "states": len(state)})
    return seconds / len(state)


def training_seconds(run: Run) -> float:
    """Processor seconds of both trainings at most: wall seconds of the run's cost.json, all cores.

    NaN if the run's cost was not kept.
    """
    path = run.directory / "cost.json"
    if not path.is_file():
        return float("nan")
    cost = json.loads(path.read_text())
    return CORES * (cost["autoencoder_seconds"] + cost["diffusion_seconds"])


def simulated_years(run: Run) -> float:
    """Simulated years behind the archive: the spin-up and all its branches."""
    simulation = run.settings.data.simulation
    assert simulation is not None, "an integration study has a simulation"
    branch = simulation.adjust_years + simulation.record_years
    return simulation.spin_up_years + len(simulation.members) * branch


def dino(results: Callable[[str], dict[str, Any]]) -> dict[str, OnPaper]:
    """DINO at 1 and 1/4 degree, after Kamm et al. (2025) and its published protocol.

    2 and 120 CPU-hours for a simulated year; 3000 years of spin-up at 1 degree, from which 400 at
    1/4 degree follow. Assumed: a generated state adjusts for 10 years (the length of the seed
    paper's test), and training takes 50 years after the spin-up (that paper's data). Sampling and
    training were measured at 1/4 degree on one core and scaled by the number of columns to 1.
    """
    sampling = results("guidance_cost")["chains"]["as configured"]["seconds"]
    rates_of = results("training_cost")["trainings"]["dino_quarter 36x800x256"]
    rate = {stage: rates_of[stage]["samples_per_second"] for stage in ("autoencoder", "diffusion")}
    columns = (199 * 62) / (797 * 242)  # of 1 degree / of 1/4 degree

    def training(autoencoder: int, diffusion: int) -> float:
        return autoencoder / rate["autoencoder"] + diffusion / rate["diffusion"]

    def on_paper(stages: tuple[tuple[float, float], ...], share: float, seconds: float) -> OnPaper:
        return OnPaper(stages, 50.0, 10.0, share * sampling, share * seconds)

    at_1_degree = (3000.0, 2.0)
    return {  # lengths of trainings: configs/dino_1deg.yaml and dino_quarter.yaml
        "DINO 1 degree": on_paper((at_1_degree,), columns, training(50_000, 100_000)),
        "DINO 1/4 degree": on_paper((at_1_degree, (400.0, 120.0)), 1.0, training(100_000, 400_000)),
    }


def _runs_table(run: Run, result: IntegrationResult) -> dict[str, dict[str, Any]]:
    """What was asked for and what has finished."""
    table = {}
    for label, kind in integration_settings(run).starts.items():
        runs = result.of(label)
        longer = [run.years for run in result.long_runs if run.label == label]
        table[label] = {
            "members": kind.members,
            "years": kind.years,
            "finished": len(runs),
            "blown_up": sum(not run.held for run in runs),
            "long_members": kind.long_members or None,
            "long_years": kind.long_years if kind.long_members else None,
            "long_reached": ", ".join(f"{years:.0f}" for years in longer) or None,
        }
    return table


def _criterion_table(found: Findings) -> dict[str, dict[str, float]]:
    return {
        f"over {window} years": {
            "temperature_limit": criterion.limits["temperature"],
            "salinity_limit": criterion.limits["salinity"],
            "runs": sum(criterion.can_tell(run) for run in found.result.of(TRUTH)),
        }
        for window, criterion in found.criteria.items()
        if criterion.known
    }


def _starts_table(found: Findings, years: float) -> dict[str, dict[str, Any]]:
    """By label, the spread of all figures of its runs over `years`."""
    table: dict[str, dict[str, Any]] = {}
    for label, runs in found.compared(years).items():
        held = [figures_of(run, found) for run in runs if run.held]
        keys = dict.fromkeys(key for figures in held for key in figures)
        table[label] = {
            "members": len(runs),
            "blown_up": len(runs) - len(held),
            **{key: spread([figures.get(key, np.nan) for figures in held]) for key in keys},
        }
    return table


def _long_table(found: Findings) -> dict[str, dict[str, Any]]:
    """One row for each long run, as far as it is: drift, rates of its last decade, settling."""
    return {f"{run.label} {run.index}": _long_row(run, found) for run in found.result.long_runs}


def _long_row(run: MemberRun, found: Findings) -> dict[str, Any]:
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
        **{f"settled_{window}": c.years_of(run) for window, c in found.criteria.items()},
    }


def _last(values: FloatArray) -> float:
    return float(values[-1]) if values.size else float("nan")


def _settling(found: Findings) -> dict[str, tuple[float, bool, float | None]]:
    """Years until a cold start has settled, whether it has, and years that a generated state needs.

    By each way to say so; one is left out where the runs cannot tell.
    """
    ways = {}
    for window, criterion in found.criteria.items():
        cold = [run for run in found.longest(ANALYTIC) if criterion.can_tell(run)]
        generated = [
            criterion.years_of(run)
            for run in found.result.of(GENERATED)
            if criterion.can_tell(run) or not run.held
        ]
        if cold and generated:
            unseen = window + STRETCH - 1
            ages = [(criterion.years_of(run), run.years - unseen) for run in cold]
            ways[f"basin, rates over {window} years"] = (*_cold(ages), _median(generated))
    ages = equivalent_ages(found)
    if ages:
        ways["basin, distance to the truth"] = (*_cold(ages), float(FIRST))
    return ways


def equivalent_ages(found: Findings) -> list[tuple[float | None, float]]:
    """Of each cold start: years until it is as near to the truth as generated states are at once.

    As near as these are on average in their second year, in T and S, from then on; None if it is
    not yet. With it the years that were seen.
    """
    generated = found.pairs(found.result.of(GENERATED))
    cold = found.pairs(found.longest(ANALYTIC))
    if not generated or not cold:
        return []
    near = {field: _mean_distance(generated, field) for field in FIELDS}
    return [_age(run, truth, near) for run, truth in cold]


def _mean_distance(pairs: Sequence[tuple[MemberRun, MemberRun]], field: str) -> float:
    """In the second year."""
    return float(np.mean([distance(run, truth, field)[FIRST] for run, truth in pairs]))


def _age(run: MemberRun, truth: MemberRun, near: Mapping[str, float]) -> tuple[float | None, float]:
    further = np.any([distance(run, truth, field) > near[field] for field in FIELDS], axis=0)
    years = len(further)
    last = int(np.flatnonzero(further)[-1]) + 1 if further.any() else 0
    return (None if last == years else float(max(last, FIRST))), float(years)


def _cold(ages: Sequence[tuple[float | None, float]]) -> tuple[float, bool]:
    """The mean age at which cold starts have settled, or a lower bound and False."""
    if all(age is not None for age, _ in ages):
        return float(np.mean([age for age, _ in ages if age is not None])), True
    return max(float(FIRST), min(seen for age, seen in ages if age is None)), False


def _median(years: Sequence[float | None]) -> float | None:
    """The median, those that have not settled counted as the slowest; None if it is one of them."""
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
    """Write what has finished of a study to the JSON file `output`, and its figures."""
    from studies.spinup.figures import save_spinup_figures

    result = finished_study(run)
    content = report(run, result)
    spinup = content["spinup"]
    save_spinup_figures(Findings(result), run.archive.grid, spinup["accounts"], figures)
    write_json(output, content)
    print("\n".join(spinup.get("verdict", [NOTHING_YET])))
    print(f"wrote {output} and {figures}/spinup_*.png")
