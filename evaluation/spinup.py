"""What generated states save of a spin-up: tables, figures and accounting of an integration study.

    python -m evaluation.spinup configs/spinup.yaml

reports whatever part of the study has finished by now: writes docs/results/spinup.json and
docs/figures/spinup_*.png and fills the tables of docs/spinup.md. Run it again when there is more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs import Experiment, load_experiment
from data.errors import UserError, user_errors_in_one_sentence
from data.states import StateArchive
from evaluation import tables
from evaluation.accounting import Account, OnPaper
from evaluation.canvas import ROW_COLOURS, TRUTH_COLOUR
from evaluation.drift import (
    FIELDS,
    FIRST,
    STRETCH,
    WINDOW,
    Criterion,
    annual,
    distance,
    level_drift,
    overlap,
    rates,
    rms_over_levels,
    spread,
)
from evaluation.guidance_study import draw_timed
from evaluation.integrate import TRUTH, IntegrationResult
from evaluation.member_run import MemberRun
from evaluation.provenance import provenance
from evaluation.study import GENERATED, finished_study, integration_settings, study_directory
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from training.log import write_json

ANALYTIC = "analytic"
SHORTEST = 3  # years of a run that has a drift
LONG_WINDOW = 10  # years; rates over it, beside those over `WINDOW`, need runs of 15 years
SAMPLING_STATES = 16
CORES = 2  # of the machine whose wall seconds of training cost.json holds
LAST_YEAR = {  # figures of a run's last year: series
    "kinetic_energy_cm2_s2": "kinetic_energy",
    "northern_overturning_Sv": "northern_overturning",
    "abyssal_overturning_Sv": "abyssal_overturning",
    "channel_transport_Sv": "channel_transport",
    "gyre_strength_Sv": "gyre_strength",
    "bottom_water_temperature": "bottom_water_temperature",
    "bottom_water_salinity": "bottom_water_salinity",
    "deep_water_temperature": "deep_water_temperature",
    "deep_water_salinity": "deep_water_salinity",
    "mid_depth_temperature": "mid_depth_temperature",
    "density_error_percent": "density_error_percent",
}
FIRST_YEAR = (
    "mixed_layer_mean",
    "mixed_layer_p90",
    "deep_mixing_percent",
    "overturning_columns_percent",
)


@dataclass(frozen=True)
class Findings:
    """An integration study, seen against its truth."""

    result: IntegrationResult

    @cached_property
    def truth(self) -> dict[int, MemberRun]:
        """The longest true run of each index."""
        runs = [*self.result.of(TRUTH), *self.long(TRUTH)]
        return {run.index: run for run in runs}

    @cached_property
    def criteria(self) -> dict[int, Criterion]:
        """When a run has settled, by the window in which rates are measured."""
        truth = self.result.of(TRUTH)
        return {
            window: Criterion.of_truth(truth, window=window) for window in (WINDOW, LONG_WINDOW)
        }

    @cached_property
    def colours(self) -> dict[str, str]:
        """A colour for every label, black for the truth."""
        others = iter(ROW_COLOURS * len(self.result.labels))
        return {
            label: TRUTH_COLOUR if label == TRUTH else next(others) for label in self.result.labels
        }

    def long(self, label: str) -> list[MemberRun]:
        """The runs of a label that went on."""
        return [run for run in self.result.long_runs if run.label == label]

    def longest(self, label: str) -> list[MemberRun]:
        """The runs of a label that went on if any did, else all."""
        return self.long(label) or self.result.of(label)

    @cached_property
    def lengths(self) -> list[float]:
        """Lengths [years] at which labels are compared with the truth, shortest first."""
        years = {self.result.years[label] for label in self.result.labels}
        return sorted(length for length in years if length <= self.result.years[TRUTH])

    def cut(self, label: str, years: float) -> list[MemberRun]:
        """The runs of a label as they stood after `years`; none if they are shorter."""
        if self.result.years[label] < years:
            return []
        return [run.until(years) for run in self.result.of(label)]

    def compared(self, years: float) -> dict[str, list[MemberRun]]:
        """By label, the runs that are as long."""
        runs = {label: self.cut(label, years) for label in self.result.labels}
        return {label: found for label, found in runs.items() if found}


def report(experiment: Experiment) -> dict[str, Any]:
    """All figures of what has finished, ready for JSON. Raises `UserError` without a true run."""
    result = finished_study(experiment)
    if any(years < SHORTEST for years in result.years.values()):
        raise UserError(
            f"drift is counted from the second year on: give integration.starts at least "
            f"{SHORTEST} years"
        )
    if TRUTH not in result.labels:
        raise UserError(
            f"{study_directory(experiment)} has no finished run of a true state yet; start or "
            "continue the study with `halocline integrate`"
        )
    found = Findings(result)
    seconds = year_seconds(result)
    return {
        "spinup": {
            "runs": _runs_table(experiment, result),
            "criterion": _criterion_table(found),
            "after": {f"{years:g}": _starts_table(found, years) for years in found.lengths},
            "depth": result.runs[0].depth.tolist(),
            "levels": {f"{years:g}": _levels(found, years) for years in found.lengths},
            "long": _long_table(found),
            "year_seconds": seconds,
            "accounts": accounts(experiment, found, seconds["mean"]),
            "verdict": verdict(found),
        },
        "provenance": provenance(seeds={"integration": integration_settings(experiment).seed}),
    }


def year_seconds(result: IntegrationResult) -> dict[str, float]:
    """Processor seconds of a simulated year, mean and range over the runs."""
    held = [run for run in result.runs if run.held]
    found = spread([float(run.series["processor_seconds"][-1]) / run.years for run in held])
    assert found is not None, "a study with a true run has one that held"
    return found


def figures_of(run: MemberRun, found: Findings) -> dict[str, float]:
    """What one run is judged by; see `spinup_tables` for names and units.

    paired_...: less what the true run of equal index has, under the same forcing
    """
    figures = {**_drift(run), **_circulation(run), **_first_year(run)}
    truth = found.truth.get(run.index)
    if truth is not None and run.label != TRUTH:
        figures |= _paired(run, truth.until(run.years))
    for window, criterion in found.criteria.items():
        settled = criterion.years_of(run)
        told = criterion.can_tell(run)
        figures[f"settled_{window}"] = np.nan if settled is None else settled
        figures[f"settled_{window}_percent"] = 100.0 * (settled is not None) if told else np.nan
    return figures


def accounts(experiment: Experiment, found: Findings, year: float) -> dict[str, Any]:
    """The accounting for the basin, by each way to say when it has settled, and for DINO."""
    sampling, training = sampling_seconds(experiment), training_seconds(experiment)
    data = year * simulated_years(experiment)
    basin: dict[str, Account] = {}
    for name, (cold, settled, generated) in _settling(found).items():
        if generated is not None:
            basin[name] = Account(
                year, cold, cold * year, settled, sampling, generated, training, data
            )
    on_paper = {name: ocean.account() for name, ocean in dino(tables.result_of).items()}
    return {name: account.as_dict() for name, account in (basin | on_paper).items()}


def sampling_seconds(experiment: Experiment) -> float:
    """Processor seconds to draw and adjust one state; measured once and kept with the study."""
    path = study_directory(experiment) / "sampling_cost.json"
    if path.is_file():
        return float(json.loads(path.read_text())["seconds_per_state"])
    sampling = experiment.sampling.model_copy(update={"members": SAMPLING_STATES})
    state, seconds = draw_timed(experiment.model_copy(update={"sampling": sampling}))
    archive = StateArchive.open(experiment.data.archive)
    began = time.process_time()
    adjust(state, eos=equation_of_state(archive.equation_of_state), grid=archive.grid)
    seconds += time.process_time() - began
    write_json(path, {"seconds_per_state": seconds / len(state), "states": len(state)})
    return seconds / len(state)


def training_seconds(experiment: Experiment) -> float:
    """Processor seconds of both trainings at most: wall seconds of the run's cost.json, all cores.

    NaN if the run's cost was not kept.
    """
    path = experiment.run_directory / "cost.json"
    if not path.is_file():
        return float("nan")
    cost = json.loads(path.read_text())
    return CORES * (cost["autoencoder_seconds"] + cost["diffusion_seconds"])


def simulated_years(experiment: Experiment) -> float:
    """Simulated years behind the archive: the spin-up and all its branches."""
    simulation = experiment.data.simulation
    assert simulation is not None, "an integration study has a simulation"
    branch = simulation.adjust_years + simulation.record_years
    return simulation.spin_up_years + len(simulation.members) * branch


def dino(results: Any) -> dict[str, OnPaper]:
    """DINO at 1 and 1/4 degree, after Kamm et al. (2025) and its published protocol.

    2 and 120 CPU-hours for a simulated year; 3000 years of spin-up at 1 degree, from which 400 at
    1/4 degree follow. Assumed: a generated state adjusts for 10 years (the length of the seed
    paper's test), and training takes 50 years after the spin-up (that paper's data). Sampling and
    training were measured at 1/4 degree on one core and scaled by the number of columns to 1.
    """
    sampling = results("guidance_cost")["chains"]["from 0.6 of the time on"]["seconds"]
    rates_of = results("training_cost")["trainings"]["dino_quarter 36x800x256"]
    rate = {
        stage: rates_of[stage]["samples_per_second"] for stage in ("autoencoder", "diffusion")
    }
    columns = (199 * 62) / (797 * 242)  # of 1 degree / of 1/4 degree

    def training(autoencoder: int, diffusion: int) -> float:
        return autoencoder / rate["autoencoder"] + diffusion / rate["diffusion"]

    shared = {"production_years": 50.0, "adjustment_years": 10.0}
    return {
        "DINO 1 degree": OnPaper(
            spin_up=((3000.0, 2.0),),
            sampling_seconds=columns * sampling,
            training_seconds=columns * training(50_000, 100_000),  # configs/dino_1deg.yaml
            **shared,
        ),
        "DINO 1/4 degree": OnPaper(
            spin_up=((3000.0, 2.0), (400.0, 120.0)),
            sampling_seconds=sampling,
            training_seconds=training(100_000, 400_000),  # configs/dino_quarter.yaml
            **shared,
        ),
    }


def verdict(found: Findings) -> list[str]:
    """What the figures say of the generated states' drift, in sentences."""
    sentences = []
    for years in found.lengths:
        levels = _levels(found, years)
        for label in found.compared(years):
            if label != TRUTH:
                sentences.append(_sentence(found, label, years, levels[label]))
    return sentences


def _sentence(
    found: Findings, label: str, years: float, levels: Mapping[str, list[dict[str, Any]]]
) -> str:
    runs, depth = found.cut(label, years), found.result.runs[0].depth
    parts = []
    for field, name in zip(FIELDS, ("T", "S"), strict=True):
        wet = [level for level in levels[field] if level["range"] is not None]
        apart = [
            f"{depth[k]:.0f}"
            for k, level in enumerate(levels[field])
            if level["range"] is not None and not level["overlaps"]
        ]
        inside = np.mean([level["inside_percent"] for level in wet])
        where = f" (not at {', '.join(apart)} m)" if apart else ""
        parts.append(
            f"{name} at {len(wet) - len(apart)} of {len(wet)} levels{where}, with {inside:.0f} % of "
            "all members and levels inside the truth's range"
        )
    lost = sum(not run.held for run in runs)
    return (
        f"{label.replace('_', ' ')}, {len(runs)} members, {years:g} years: {lost} diverged; ranges "
        f"of drift after the first year overlap with the truth's in {'; in '.join(parts)}."
    )


def _runs_table(experiment: Experiment, result: IntegrationResult) -> dict[str, dict[str, Any]]:
    """What was asked for and what has finished."""
    table = {}
    for label, kind in integration_settings(experiment).starts.items():
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


def _drift(run: MemberRun) -> dict[str, float]:
    volume = run.level_volume / run.level_volume.sum()
    change = {field: level_drift(run, field) for field in FIELDS}
    one_year = int(np.argmin(np.abs(run.time - 1.0)))
    return {
        "drift_temperature_K": float(rms_over_levels(change["temperature"], run)),
        "drift_salinity": float(rms_over_levels(change["salinity"], run)),
        "mean_drift_temperature_K": float(change["temperature"] @ volume),
        "mean_drift_salinity": float(change["salinity"] @ volume),
        "first_year_change_K": float(rms_over_levels(run.temperature_change[one_year], run)),
        "first_year_change_salinity": float(rms_over_levels(run.salinity_change[one_year], run)),
    }


def _circulation(run: MemberRun) -> dict[str, float]:
    factors = {"kinetic_energy": 1e4}
    return {
        key: factors.get(name, 1.0) * float(annual(run.time, run.series[name])[-1])
        for key, name in LAST_YEAR.items()
    }


def _first_year(run: MemberRun) -> dict[str, float]:
    return {
        "start_overturning_columns_percent": float(run.series["overturning_columns_percent"][0]),
        "start_density_error_percent": float(run.series["density_error_percent"][0]),
        "first_year_kinetic_energy_cm2_s2": 1e4 * float(annual(run.time, run.kinetic_energy)[0]),
        **{name: float(annual(run.time, run.series[name])[0]) for name in FIRST_YEAR},
    }


def _paired(run: MemberRun, truth: MemberRun) -> dict[str, float]:
    apart = {field: distance(run, truth, field) for field in FIELDS}
    return {
        **{f"paired_{name}": _first_year(run)[name] - _first_year(truth)[name] for name in FIRST_YEAR},
        "distance_second_year_K": float(apart["temperature"][FIRST]),
        "distance_second_year_salinity": float(apart["salinity"][FIRST]),
        "distance_last_year_K": float(apart["temperature"][-1]),
        "distance_last_year_salinity": float(apart["salinity"][-1]),
    }  # fmt: skip


def _levels(found: Findings, years: float) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By label and field, at each level: the range of drifts, and how it lies to the truth's."""
    drifts = {
        label: {
            field: np.array([level_drift(run, field) for run in runs if run.held])
            for field in FIELDS
        }
        for label, runs in found.compared(years).items()
    }
    return {
        label: {
            field: [
                _level(values[:, k], drifts[TRUTH][field][:, k]) for k in range(values.shape[1])
            ]
            for field, values in fields.items()
            if len(values)
        }
        for label, fields in drifts.items()
    }


def _level(values: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    mine, true = spread(values), spread(truth)
    if mine is None or true is None:
        return {"range": None, "inside_percent": None, "overlaps": None}
    inside = (values >= true["low"]) & (values <= true["high"])
    return {
        "range": mine,
        "inside_percent": 100 * float(inside.mean()),
        "overlaps": overlap(mine, true),
    }


def _long_table(found: Findings) -> dict[str, dict[str, Any]]:
    """One row for each long run, as far as it is: drift, rates of its last decade, settling."""
    return {f"{run.label} {run.index}": _long_row(run, found) for run in found.result.long_runs}


def _long_row(run: MemberRun, found: Findings) -> dict[str, Any]:
    last = {field: rates(run, field, window=LONG_WINDOW)[-1] for field in FIELDS}
    mean = annual(run.time, run.mean_temperature)
    later = mean[len(mean) // 2 :]
    return {
        "years": run.years,
        "drift_temperature_K": float(rms_over_levels(level_drift(run, "temperature"), run)),
        "drift_salinity": float(rms_over_levels(level_drift(run, "salinity"), run)),
        "last_rate_K_per_century": 100 * float(last["temperature"]),
        "last_rate_salinity_per_century": 100 * float(last["salinity"]),
        "trend_K_per_century": 100 * float(np.polyfit(np.arange(len(later)), later, 1)[0]),
        **{f"settled_{window}": c.years_of(run) for window, c in found.criteria.items()},
    }


def _settling(found: Findings) -> dict[str, tuple[float, bool, float | None]]:
    """Years until a cold start has settled, whether it has, and years that a generated state needs.

    By each way to say so; one is left out where the runs cannot tell.
    """
    ways = {}
    for window, criterion in found.criteria.items():
        cold = [run for run in found.longest(ANALYTIC) if criterion.can_tell(run)]
        generated = [
            criterion.years_of(run) for run in found.result.of(GENERATED) if criterion.can_tell(run)
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
    pairs = [
        (run, found.truth[run.index]) for run in found.result.of(GENERATED) if run.index in found.truth
    ]  # fmt: skip
    cold = [run for run in found.longest(ANALYTIC) if run.index in found.truth]
    if not pairs or not cold:
        return []
    near = {
        field: float(np.mean([distance(*pair, field)[FIRST] for pair in pairs]))
        for field in FIELDS
    }
    return [_age(run, found.truth[run.index], near) for run in cold]


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Report what has finished of a study."""
    from evaluation.spinup_figures import save_spinup_figures

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="YAML of an experiment with an integration study")
    options, overrides = parser.parse_known_args(arguments)
    with user_errors_in_one_sentence():
        experiment = load_experiment(options.config, overrides)
        content = report(experiment)
        docs = tables.ROOT / "docs"
        write_json(docs / "results" / "spinup.json", content)
        found = Findings(finished_study(experiment))
        archive = StateArchive.open(experiment.data.archive)
        paths = save_spinup_figures(
            found, archive.grid, content["spinup"]["accounts"], docs / "figures"
        )
        tables.main()
        print("\n".join(content["spinup"]["verdict"]))
        print(f"wrote docs/results/spinup.json and {len(paths)} figures")


if __name__ == "__main__":
    main()
