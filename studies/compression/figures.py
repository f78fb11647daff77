"""The figure of a study of designs: accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.canvas import new_figure, styled
from evaluation.yardsticks import FLOOR, PRODUCT
from studies.autoencoder.figures import looks
from studies.compression.targets import TARGETS, Target
from studies.markdown import readable

COSTS = {
    "guided_seconds_per_state": "processor time of a state [s]",
    "training_minutes": "processor time of training [min]",
}
MARGIN = 1.1  # between the largest cost and the end of its axis
SHOWN = TARGETS[:4]  # the fifth differs from the fourth by a constant, or nearly


class Point(NamedTuple):
    """Cost and deviation from the target of a variant."""

    name: str
    cost: float
    deviation: float


@styled
def accuracy_against_cost(study: Mapping[str, Any]) -> Figure:
    """Deviation from each target against the cost of a state and of training, by variant.

    study: content of study.json. The grey line joins the variants that no other one beats in both
    cost and accuracy; the dashed line is the target, the dotted line the training states.
    """
    figure, axes = new_figure(len(COSTS), len(SHOWN), panel=(3.0, 2.8))
    for line, (cost, label) in zip(axes, COSTS.items(), strict=True):
        for ax, target in zip(line, SHOWN, strict=True):
            _panel(ax, study, cost=cost, target=target)
            ax.set_xlabel(label)
            ax.set_ylabel("factor from 1, less 1" if target.is_ratio else "difference of AUC")
    for ax, target in zip(axes[0], SHOWN, strict=True):
        ax.set_title(target.column.name)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    return figure


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that none of the others beats in both cost and deviation, by rising cost."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.deviation)):
        if not best or point.deviation < best[-1].deviation:
            best.append(point)
    return best


def _panel(ax: Axes, study: Mapping[str, Any], *, cost: str, target: Target) -> None:
    points = _points(study, cost, target)
    shown = looks(list(study["variants"]))
    for point in points:
        look = shown[point.name]
        label = readable(point.name)
        ax.plot(point.cost, point.deviation, look.marker, color=look.colour, label=label)
    best = frontier(points)
    costs, deviations = [p.cost for p in best], [p.deviation for p in best]
    ax.plot(costs, deviations, color="0.6", linewidth=1.0, zorder=0)
    ax.axhline(target.tolerance, color="black", linewidth=0.8, linestyle="--")
    floor = study["yardsticks"].get(FLOOR, {}).get(target.column.key)
    if floor is not None:
        ax.axhline(target.deviation(floor), color="black", linewidth=0.8, linestyle=":")
    ax.set_xlim(0, MARGIN * max((point.cost for point in points), default=1.0))


def _points(study: Mapping[str, Any], cost: str, target: Target) -> list[Point]:
    """The variants that have both values."""
    values = {
        name: (variant["cost"].get(cost), variant["rows"][PRODUCT].get(target.column.key))
        for name, variant in study["variants"].items()
    }
    return [
        Point(name, x, target.deviation(y))
        for name, (x, y) in values.items()
        if x is not None and y is not None
    ]
