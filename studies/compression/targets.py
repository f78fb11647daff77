"""What a generated state must reach so that an oceanographer cannot tell it from the model's.

Five numbers, each the worst of a group: variance by level, spectra by band and depth, percentiles
of gradients, and the classifier compared with training states and with classical statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.columns import Column
from evaluation.metrics.fronts import PERCENTILES
from evaluation.yardsticks import FLOOR

Metrics = Mapping[str, float | None]
Profiles = Mapping[str, Sequence[float | None]]  # by variable, a value for each level

EOF_GAUSSIAN = "eof_gaussian"
SPECTRA = tuple(
    f"power_ratio_{place}_third_{third}"
    for place in ("surface", "thermocline")
    for third in (1, 2, 3)
)
GRADIENTS = tuple(
    f"front_ratio_{place}_p{percentile}"
    for place in ("surface", "subsurface")
    for percentile in PERCENTILES
)
AUC = ("auc_surface", "auc_all_levels")


@dataclass(frozen=True)
class Target:
    """A quantity and the largest deviation from its ideal value that counts as none.

    column: its key, name and description; a ratio is ideal at 1 and deviates by its factor from it,
    in either direction; any other quantity is ideal as far below `tolerance` as possible
    """

    column: Column
    tolerance: float
    is_ratio: bool = True

    def deviation(self, value: float) -> float:
        """Factor from 1, less 1, of a ratio; any other value itself."""
        if not self.is_ratio:
            return value
        return math.exp(abs(math.log(value))) - 1 if value > 0 else math.inf


TARGETS = (
    Target(
        Column(
            "worst_variance", "variance, worst level", "",
            "variance of T or S over the states, relative to the training states, at the level "
            "where it is furthest from 1; target: 0.95 to 1.05",
        ),
        0.05,
    ),
    Target(
        Column(
            "worst_spectrum", "spectra, worst band", "",
            "power of T, generated / held-out, in the third of the wavenumbers and at the depth "
            "(surface, 400 m) where it is furthest from 1; target: 0.9 to 1.1",
        ),
        0.1,
    ),
    Target(
        Column(
            "worst_gradient", "gradients, worst percentile", "",
            "percentile 50, 90 or 99 of the horizontal gradient of T, generated / held-out, at the "
            "surface or at 100-500 m, whichever is furthest from 1; target: 0.9 to 1.1",
        ),
        0.1,
    ),
    Target(
        Column(
            "auc_above_training", "AUC − training states'", "",
            "how much better a network tells these than training states from held-out states, at "
            "the surface or by all levels, whichever is larger; target: at most 0.1",
        ),
        0.1,
        is_ratio=False,
    ),
    Target(
        Column(
            "auc_above_eof_gaussian", "AUC − EOF-Gaussian's", "",
            "as before, compared with EOF-Gaussian states; target: at most −0.2",
        ),
        -0.2,
        is_ratio=False,
    ),
)  # fmt: skip


def scores(row: str, rows: Mapping[str, Metrics], profiles: Profiles) -> dict[str, float | None]:
    """The value of each target for a row of a run; None where a metric is missing.

    rows: metrics by row, as in metrics.json; profiles: variance of the row relative to the training
    states by variable, a value for each level
    """
    metrics = rows[row]
    variances = [value for levels in profiles.values() for value in levels]
    return {
        "worst_variance": furthest_from_1(variances),
        "worst_spectrum": furthest_from_1(metrics.get(key) for key in SPECTRA),
        "worst_gradient": furthest_from_1(metrics.get(key) for key in GRADIENTS),
        "auc_above_training": _largest_excess(metrics, rows.get(FLOOR, {})),
        "auc_above_eof_gaussian": _largest_excess(metrics, rows.get(EOF_GAUSSIAN, {})),
    }


def furthest_from_1(ratios: Iterable[float | None]) -> float | None:
    """The ratio that is largest, or smallest, by factor; None if there is none."""
    known = [ratio for ratio in ratios if ratio is not None and math.isfinite(ratio)]
    return max(
        known, key=lambda ratio: abs(math.log(ratio)) if ratio > 0 else math.inf, default=None
    )


def _largest_excess(metrics: Metrics, others: Metrics) -> float | None:
    """By how much the AUC is above that of another row, the larger of surface and all levels."""
    differences = [
        ours - theirs
        for key in AUC
        if (ours := metrics.get(key)) is not None and (theirs := others.get(key)) is not None
    ]
    known = [difference for difference in differences if math.isfinite(difference)]
    return max(known, default=None)
