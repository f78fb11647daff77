"""Figures of integrations of the ocean model."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evaluation.canvas import depth_ticks, new_figure, row_colours, styled
from integration.drift import rms_over_levels
from integration.integrate import TRUTH, IntegrationResult
from integration.member_run import MemberRun

FloatArray = NDArray[np.float64]


@styled
def integration_drift(result: IntegrationResult) -> Figure:
    """Runs by label: distance from the truth, volume-mean T, kinetic energy, change by level.

    Thin lines are single runs and end at a blow-up; thick lines are means over the runs that
    survived. Runs of equal index have the same forcing, so that the distance of a run from that of
    the truth comes from their start states.
    """
    figure, axes = new_figure(1, 4, panel=(3.4, 3.1))
    for label, colour in row_colours(dict.fromkeys(result.labels)).items():
        runs = result.of(label)
        series = {
            "level-mean T − truth (rms) [K]": [_distance(run, result) for run in runs],
            "volume-mean T − start [K]": [r.mean_temperature - r.mean_temperature[0] for r in runs],
            "kinetic energy [cm² s⁻²]": [1e4 * r.kinetic_energy for r in runs],
        }
        for ax, (title, lines) in zip(axes[0], series.items(), strict=False):
            _runs(ax, runs, lines, colour, label)
            ax.set_xlabel("years after the start")
            ax.set_title(title)
        _level_drift(axes[0, 3], runs, colour)
    axes[0, 3].set_title("change of level-mean T [K]")
    axes[0, 3].set_ylabel("depth [m]")
    axes[0, 0].set_ylim(bottom=0)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle("The ocean model from each kind of start state")
    return figure


def _distance(run: MemberRun, result: IntegrationResult) -> FloatArray:
    """Rms over levels `t` of the difference in level-mean T from the truth's run; NaN without."""
    truth = next((one for one in result.of(TRUTH) if one.index == run.index), None)
    apart = np.full(len(run.time), np.nan)
    if truth is None or run.label == TRUTH:
        return apart
    records = min(len(run.time), len(truth.time))
    difference = run.temperature[:records] - truth.temperature[:records]
    apart[:records] = rms_over_levels(difference, run)
    return apart


def _runs(
    ax: Axes, runs: list[MemberRun], lines: list[FloatArray], colour: str, label: str
) -> None:
    for run, line in zip(runs, lines, strict=True):
        ax.plot(run.time, line, color=colour, alpha=0.35, linewidth=0.6)
    survived = [(run.time, line) for run, line in zip(runs, lines, strict=True) if run.survived]
    if survived:
        ax.plot(
            min((time for time, _ in survived), key=len),
            _mean_of([line for _, line in survived]),
            color=colour,
            label=label.replace("_", " "),
        )
    else:
        name = label.replace("_", " ")
        ax.plot([], [], color=colour, linestyle=":", label=f"{name} (blew up)")


def _mean_of(lines: list[FloatArray]) -> FloatArray:
    """Mean over runs at the times that all of them reached."""
    return np.mean([line[: min(map(len, lines))] for line in lines], axis=0)


def _level_drift(ax: Axes, runs: list[MemberRun], colour: str) -> None:
    survived = [run for run in runs if run.survived]
    if not survived:
        return
    wet = survived[0].level_volume > 0
    root = np.sqrt(survived[0].depth[wet])
    changes = np.array([(run.temperature[-1] - run.temperature[0])[wet] for run in survived])
    ax.plot(changes.T, root, color=colour, alpha=0.35, linewidth=0.6)
    ax.plot(changes.mean(axis=0), root, color=colour)
    ticks = depth_ticks(float(survived[0].thickness[wet].sum()))
    ax.set_yticks(np.sqrt(ticks), [f"{tick:.0f}" for tick in ticks])
    ax.set_ylim(np.sqrt(ticks[-1]), 0)
