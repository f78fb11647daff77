"""Analysis of an integration study: quantities of each run, and comparison with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from evaluation.canvas import ROW_COLOURS, TRUTH_COLOUR
from integration.drift import (
    FIELDS,
    FIRST,
    WINDOW,
    Criterion,
    annual,
    distance,
    level_drift,
    overlap,
    rms_over_levels,
    spread,
)
from integration.integrate import TRUTH, IntegrationResult
from integration.member_run import MemberRun

LEAST_MEMBERS = 3  # minimum number of reference runs for a range
LONG_WINDOW = 10  # years; second window for rates; needs runs of at least 15 years
LAST_YEAR = {  # quantity of a run's last year: series
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
class Analysis:
    """An integration study compared with its reference runs, the label "truth"."""

    result: IntegrationResult

    @cached_property
    def truth(self) -> dict[int, MemberRun]:
        """The longest reference run of each index."""
        runs = [*self.result.of(TRUTH), *self.long(TRUTH)]
        return {run.index: run for run in runs}

    @cached_property
    def criteria(self) -> dict[int, Criterion]:
        """Criteria of equilibrium by the window of their rates [years]."""
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

    def pairs(self, runs: Iterable[MemberRun]) -> list[tuple[MemberRun, MemberRun]]:
        """Each run that survived with the reference run of equal index, if there is one."""
        survived = [run for run in runs if run.survived and run.index in self.truth]
        return [(run, self.truth[run.index]) for run in survived]

    def long(self, label: str) -> list[MemberRun]:
        """The long runs of a label."""
        return [run for run in self.result.long_runs if run.label == label]

    def longest(self, label: str) -> list[MemberRun]:
        """The long runs of a label if there are any, else all its runs."""
        return self.long(label) or self.result.of(label)

    @cached_property
    def lengths(self) -> list[float]:
        """Lengths [years] at which labels are compared with the truth, shortest first."""
        years = set(self.result.years.values())
        return sorted(length for length in years if length <= self.result.years[TRUTH])

    def cut(self, label: str, years: float) -> list[MemberRun]:
        """The runs of a label cut at `years`; empty if they are shorter."""
        if self.result.years[label] < years:
            return []
        return [run.until(years) for run in self.result.of(label)]

    def compared(self, years: float) -> dict[str, list[MemberRun]]:
        """By label, the runs cut at `years`, without labels whose runs are shorter."""
        runs = {label: self.cut(label, years) for label in self.result.labels}
        return {label: cut for label, cut in runs.items() if cut}


def pooled(result: IntegrationResult, labels: Mapping[str, str]) -> IntegrationResult:
    """The result with the runs of some labels under other names, as `labels` has them.

    Runs that come to share a label are as long as the shortest of the labels.
    """
    names = {label: labels.get(label, label) for label in result.years}
    years = {
        name: min(result.years[label] for label in names if names[label] == name)
        for name in names.values()
    }
    runs, long_runs = (
        [replace(run, label=names[run.label]) for run in some]
        for some in (result.runs, result.long_runs)
    )
    return IntegrationResult([run.until(years[run.label]) for run in runs], years, long_runs)


def quantities(run: MemberRun, analysis: Analysis) -> dict[str, float]:
    """All quantities of a run; names and units are in `studies.spinup.tables`.

    paired_...: difference from the reference run of equal index, which has the same forcing
    """
    row = {**_drift(run), **_circulation(run), **_first_year(run)}
    truth = analysis.truth.get(run.index)
    if truth is not None and run.label != TRUTH:
        row |= _paired(run, truth.until(run.years))
    for window, criterion in analysis.criteria.items():
        settled = criterion.years_of(run)
        known = criterion.applies_to(run)
        row[f"settled_{window}"] = np.nan if settled is None else settled
        row[f"settled_{window}_percent"] = 100.0 * (settled is not None) if known else np.nan
    return row


def summary(analysis: Analysis) -> list[str]:
    """One sentence on the drift of each label, for each length of the runs."""
    count = len(analysis.result.of(TRUTH))
    if count < LEAST_MEMBERS:
        return [f"{count} reference runs have finished; a range of drift needs {LEAST_MEMBERS}."]
    sentences = []
    for years in analysis.lengths:
        levels = drifts_by_level(analysis, years)
        for label in analysis.compared(years):
            if label != TRUTH:
                sentences.append(_sentence(analysis, label, years, levels[label]))
    return sentences


def _sentence(
    analysis: Analysis, label: str, years: float, levels: Mapping[str, list[dict[str, Any]]]
) -> str:
    runs, depth = analysis.cut(label, years), analysis.result.runs[0].depth
    members = f"{label.replace('_', ' ')}, {len(runs)} members, {years:g} years"
    lost = sum(not run.survived for run in runs)
    if not levels:
        return f"{members}: all diverged."
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
            f"{name} at {len(wet) - len(apart)} of {len(wet)} levels{where}, with {inside:.0f} % "
            "of all members and levels within the range of the truth"
        )
    return (
        f"{members}: {lost} diverged; after the first year the range of drift overlaps that of "
        f"the truth in {'; in '.join(parts)}."
    )


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
    mine, true = _first_year(run), _first_year(truth)
    apart = {field: distance(run, truth, field) for field in FIELDS}
    return {
        **{f"paired_{name}": mine[name] - true[name] for name in FIRST_YEAR},
        "distance_second_year_K": float(apart["temperature"][FIRST]),
        "distance_second_year_salinity": float(apart["salinity"][FIRST]),
        "distance_last_year_K": float(apart["temperature"][-1]),
        "distance_last_year_salinity": float(apart["salinity"][-1]),
    }


def drifts_by_level(analysis: Analysis, years: float) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By label and field, at each level: the range of drift, and its overlap with the truth's."""
    drifts = {
        label: {
            field: np.array([level_drift(run, field) for run in runs if run.survived])
            for field in FIELDS
        }
        for label, runs in analysis.compared(years).items()
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
