"""Captions of the report's figures: what to see, in sentences made from the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.grid import OceanGrid
from data.salinity import Salinity
from evaluation.checks import number
from evaluation.columns import TRUTH, format_value
from evaluation.differences import Differences, MapDifference, extreme
from evaluation.places import column_name, level_name, row_name
from evaluation.starts import paired_distances
from evaluation.yardsticks import FLOOR, PRODUCT, Rows

MANY_RUNS, LONG_YEARS = 6, 10  # what numbers of integrations can carry
AS_LARGE = 1.1  # ratios nearer to 1 are neither larger nor smaller
# Of their own reference density; others are of seawater.
IDEALISED = ("veros", "linear")
# Words for more and less of a quantity.
WORDS = {
    "temperature": ("warm", "cold"),
    "salinity": ("salty", "fresh"),
    "mixed layer": ("deep", "shallow"),
    "sea level": ("high", "low"),
}


@dataclass(frozen=True)
class Evidence:
    """What captions are made of.

    rows: metrics by row; differences: of the product from the truth; profiles: variance of each row
    relative to the training states, `z` by field; equation_of_state: name of that of the data
    """

    rows: Rows
    differences: Differences
    profiles: Mapping[str, Mapping[str, Sequence[float]]]
    grid: OceanGrid
    salinity: Salinity
    equation_of_state: str

    def unit(self, quantity: str) -> str:
        """Unit of a difference of a quantity."""
        metres = dict.fromkeys(("mixed layer", "sea level"), "m")
        return {"temperature": "K", "salinity": self.salinity.shown, **metres}[quantity]

    def of(self, key: str, row: str = PRODUCT) -> float | None:
        """A metric of a row; None if it is missing or not finite."""
        return number(self.rows, row, key)


def caption(figure: str, evidence: Evidence) -> str:
    """The caption of a figure by the name of its file; its words if there is nothing to say."""
    sentences = _SENTENCES.get(figure)
    if sentences is None and figure.startswith("zonal_mean"):
        sentences = _sections_of_means
    found = [text for text in sentences(evidence) if text] if sentences else []
    return " ".join(found) or figure.replace("_", " ").capitalize() + "."


def length_of_evidence(starts: Mapping[str, Mapping[str, Any]]) -> str:
    """A sentence on integrations that are too few or too short to compare kinds of start.

    starts: `by_start` of their summary; empty for others
    """
    years = max((start.get("years") or 0 for start in starts.values()), default=0)
    runs = max((start.get("members") or 0 for start in starts.values()), default=0)
    if not years or (years >= LONG_YEARS and runs >= MANY_RUNS):
        return ""
    return f"{runs} runs of {years:g} years from a kind of start are a check, not a result."


def integration_caption(summary: Mapping[str, Any]) -> str:
    """The caption of the figure of integrations, from `integration.study.summary`."""
    starts = summary["by_start"]
    lost = {name: start["blown_up"] for name, start in starts.items() if start.get("blown_up")}
    runs = sum(start.get("members") or 0 for start in starts.values())
    sentences = [
        "The ocean model from each kind of start; thin lines are single runs.",
        _diverged(lost, runs),
    ]
    sentences += _distances(starts)
    ratio = starts.get("generated", {}).get("drift_ratio_to_truth")
    if ratio is not None:
        sentences.append(f"They drift {_number(ratio)} times as much as from the truth's states.")
    sentences.append(length_of_evidence(starts))
    return " ".join(filter(None, sentences))


def _distances(starts: Mapping[str, Any]) -> Iterator[str]:
    """How far the runs from generated states end from the truth's, beside those of the nearest."""
    ours = starts.get("generated", {}).get("distance_K")
    if ours is None:
        return
    sentence = f"In the last year the level means are {_number(ours)} K (rms) from the truth's run "
    yield sentence + "after a start from generated states."
    paired = paired_distances(starts, "generated", "nearest_member")
    if paired is not None:
        ours, nearest, runs = paired
        yield (
            f"Over the {runs} runs that both finished it is {_number(ours)} K, and "
            f"{_number(nearest)} K after a start from the nearest training members."
        )


def _diverged(lost: Mapping[str, int], runs: int) -> str:
    """How many of all runs diverged, and from which starts."""
    if not lost:
        return "No run diverged."
    starts = ", ".join(f"{count} from {name.replace('_', ' ')}" for name, count in lost.items())
    return f"{sum(lost.values())} of {runs} runs diverged ({starts}); distances are of the others."


def _surface(quantity: str) -> Callable[[Evidence], list[str]]:
    def sentences(evidence: Evidence) -> list[str]:
        return ["Single states, not means.", _bias(evidence, quantity)]

    return sentences


def _bias(evidence: Evidence, quantity: str) -> str:
    """Where the mean of the generated states is most wrong, and by how much in all."""
    if quantity not in evidence.differences.maps:
        return ""
    field = evidence.differences.maps[quantity]
    largest = extreme(field.bias)
    if largest is None:
        return ""
    unit, place = evidence.unit(quantity), column_name(evidence.grid, *largest.index)
    if abs(largest.value) < 1e-9:
        return f"The mean {_at_surface(quantity)} is that of the truth everywhere."
    return (
        f"The mean {_at_surface(quantity)} is furthest from the truth's at {place}: "
        f"{_too_much(largest.value, quantity, unit)} (rms of all places: "
        f"{_number(field.rms)} {unit})."
    )


def _at_surface(quantity: str) -> str:
    return f"surface {quantity}" if quantity in ("temperature", "salinity") else quantity


def _too_much(value: float, quantity: str, unit: str) -> str:
    more, less = WORDS[quantity]
    return f"{_number(abs(value))} {unit} too {more if value > 0 else less}"


def _spread(evidence: Evidence, quantity: str) -> str:
    """How large the spread is at the surface, where it is missed and where there is too much."""
    field = evidence.differences.maps[quantity]
    ratio = _variance_ratio(field)
    if not math.isfinite(ratio):
        return ""
    text = f"Variance of {_at_surface(quantity)}: {_number(ratio)} times the truth's"
    pattern = evidence.of(f"variance_pattern_surface_{quantity}")
    if pattern is not None:
        text += f"; the maps of the standard deviation correlate by {_number(pattern)}"
    missing, excess = (field.band(of_excess=of_excess) for of_excess in (False, True))
    if missing and missing.ratio < 1 / AS_LARGE:
        text += f". Most is missing near {row_name(evidence.grid, missing.row)} "
        text += f"({_number(missing.ratio)} times the truth's)"
    if excess and excess.ratio > AS_LARGE:
        text += f". Most is in excess near {row_name(evidence.grid, excess.row)} "
        text += f"({_number(excess.ratio)} times the truth's)"
    return f"{text}."


def _variance_ratio(field: MapDifference) -> float:
    """Area-weighted mean variance, generated / true; NaN if there is none."""
    known = np.isfinite(field.variance) & np.isfinite(field.true_variance)
    area = np.where(known, field.area, 0.0)
    ours, truth = (
        float((np.where(known, one, 0.0) * area).sum())
        for one in (field.variance, field.true_variance)
    )
    return ours / truth if truth > 0 else math.nan


def _differences(evidence: Evidence) -> list[str]:
    quantities = ("temperature", "salinity", "mixed layer")
    return [
        "Generated minus truth at the surface: the mean (above), and the standard deviation over "
        "the states (below), where blue is too little.",
        *(_bias(evidence, quantity) for quantity in quantities),
    ]


def _variances(evidence: Evidence) -> list[str]:
    return [_spread(evidence, quantity) for quantity in ("temperature", "salinity")]


def _sections_of_states(evidence: Evidence) -> list[str]:
    ours, truth = (evidence.of("density_error_percent", row) for row in (PRODUCT, TRUTH))
    text = "Single states, not means: look for noise from cell to cell and for dense above light "
    sentences = [f"{text}water."]
    if ours is not None and truth is not None:
        sentences.append(
            f"{_number(ours)} % of the volume overturns, {_number(truth)} % in the truth."
        )
    return [*sentences, _rough(evidence), _of_own_density(evidence)]


def _rough(evidence: Evidence) -> str:
    ratio = evidence.of("spectra_ratio_small_scales")
    floor = evidence.of("spectra_ratio_small_scales", FLOOR)
    if ratio is None:
        return ""
    text = f"Temperature has {_number(ratio)} times the truth's power in the shortest third of the "
    text += f"zonal waves: the states are {_smooth_or_rough(ratio)}"
    return f"{text} (training states: {_number(floor)})." if floor is not None else f"{text}."


def _smooth_or_rough(ratio: float) -> str:
    if ratio > 1.25:
        return "rougher than the truth"
    return "smoother than the truth" if ratio < 0.8 else "as rough as the truth"


def _of_own_density(evidence: Evidence) -> str:
    name = evidence.equation_of_state
    if not name.startswith(IDEALISED):
        return ""
    return (
        f"σ₀ is that of the data's equation of state, {name}, which has a reference of its own: "
        "compare differences, not values, with those of seawater."
    )


def _mixed_layers(evidence: Evidence) -> list[str]:
    text = _against_truth(evidence, "mixed_layer_depth_mean_m", "Mean mixed-layer depth", "m")
    return [text, _bias(evidence, "mixed layer")]


def _deepest_mixed_layers(evidence: Evidence) -> list[str]:
    text = _against_truth(
        evidence, "mixed_layer_depth_p90_m", "The deepest tenth of the mixed layers begins at", "m"
    )
    return [text, "Look at the tail on the right: it is where water masses form."]


def _against_truth(evidence: Evidence, key: str, name: str, unit: str) -> str:
    ours, truth = (evidence.of(key, row) for row in (PRODUCT, TRUTH))
    if ours is None or truth is None:
        return ""
    change = f" ({_percent(ours / truth - 1)})" if truth > 0 else ""
    colon = "" if name.endswith(" at") else ":"
    return f"{name}{colon} {_number(ours)} {unit}, truth {_number(truth)} {unit}{change}."


def _profiles(evidence: Evidence) -> list[str]:
    found = []
    for quantity, profile in evidence.differences.profiles.items():
        largest = extreme(profile)
        if largest is not None:
            depth = level_name(evidence.grid, largest.index[0])
            amount = _too_much(largest.value, quantity, evidence.unit(quantity))
            found.append(f"The mean {quantity} is furthest from the truth's at {depth}: {amount}.")
    return [*found, _of_own_density(evidence)]


def _sections_of_means(evidence: Evidence) -> list[str]:
    found = []
    for quantity, section in evidence.differences.sections.items():
        largest = extreme(section)
        if largest is not None:
            level, row = largest.index
            place = f"{level_name(evidence.grid, level)}, {row_name(evidence.grid, row)}"
            amount = _too_much(largest.value, quantity, evidence.unit(quantity))
            found.append(f"The largest bias of {quantity} is at {place}: {amount}.")
    return ["Means over longitude and states, and their difference (right).", *found]


def _diagram(evidence: Evidence) -> list[str]:
    ours, floor = (evidence.of("ts_misplaced_percent", row) for row in (PRODUCT, FLOOR))
    if ours is None:
        return [_of_own_density(evidence)]
    text = f"{_number(ours)} % of the volume is in another class of temperature and salinity than "
    text += "in the truth" + (
        f" (training states: {_number(floor)} %)." if floor is not None else "."
    )
    return [text, _of_own_density(evidence)]


def _spectra(evidence: Evidence) -> list[str]:
    powers = [evidence.of(f"power_surface_third_{third}_K2") for third in (1, 2, 3)]
    shares = [power for power in powers if power is not None]
    sentences = [_rough(evidence)]
    if len(shares) == len(powers) and sum(shares) > 0:
        share = 100 * shares[-1] / sum(shares)
        sentences.append(
            f"At the surface these waves (grey) hold {_number(share)} % of the generated variance "
            "along rows."
        )
    return sentences


def _variance_by_level(evidence: Evidence) -> list[str]:
    return [
        _levels_of_variance(evidence, quantity, profile)
        for quantity, profile in evidence.profiles.get(PRODUCT, {}).items()
    ]


def _levels_of_variance(evidence: Evidence, quantity: str, profile: Sequence[float]) -> str:
    """Where the variance is smallest relative to the truth's at the same level."""
    truth = evidence.profiles.get(TRUTH, {}).get(quantity)
    ours = np.array(profile, dtype=float)
    if truth is None or not np.isfinite(ours).any():
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ours / np.array(truth, dtype=float)
    ratio = np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nan)
    if np.isnan(ratio).all():
        return ""
    low, high = int(np.nanargmin(ratio)), int(np.nanargmax(ratio))
    return (
        f"Variance of {quantity}, relative to the truth's at the same depth: least at "
        f"{level_name(evidence.grid, low)} ({_number(ratio[low])}), most at "
        f"{level_name(evidence.grid, high)} ({_number(ratio[high])})."
    )


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %".replace("-", "−")


def _number(value: float) -> str:
    """A number with two significant figures."""
    if value == 0 or not math.isfinite(value):
        return format_value(value)
    digits = 1 - math.floor(math.log10(abs(value)))
    return format_value(round(value, digits) if digits > 0 else float(round(value)))


_SENTENCES: dict[str, Callable[[Evidence], list[str]]] = {
    "meridional_sections": _sections_of_states,
    "mixed_layer_depth": _mixed_layers,
    "mixed_layer_distribution": _deepest_mixed_layers,
    "differences": _differences,
    "surface_temperature": _surface("temperature"),
    "surface_salinity": _surface("salinity"),
    "sea_level": _surface("sea level"),
    "surface_variance": _variances,
    "mean_profiles": _profiles,
    "temperature_salinity_diagram": _diagram,
    "spectra": _spectra,
    "variance_by_level": _variance_by_level,
}
