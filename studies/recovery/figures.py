"""Figure of the study of recovered parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from data.parameters import axis_label
from evaluation.canvas import ROW_COLOURS, new_figure, styled
from studies.markdown import readable
from studies.recovery.settings import INTERPOLATED, OURS

SHOWN = {INTERPOLATED: (ROW_COLOURS[1], 0.012), OURS: (ROW_COLOURS[0], -0.012)}
WIDE = 3.0  # factor between true values


@styled
def recovered_parameters(result: Mapping[str, Any]) -> Figure:
    """Medians and ranges of each parameter against the true values."""
    names = list(result["parameters"])
    figure, axes = new_figure(1, len(names), panel=(2.7, 2.9))
    for ax, name in zip(axes[0], names, strict=True):
        _panel(ax, result, name)
    axes[0, 0].set_ylabel(f"inferred, median and {100 * result['share']:g} % range")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(SHOWN))
    return figure


def _panel(ax: Axes, result: Mapping[str, Any], name: str) -> None:
    parameter = result["parameters"][name]
    true = np.array([truth["true"][name] for truth in result["truths"]])
    for row, (colour, shift) in SHOWN.items():
        low, median, high = (
            np.array([truth["rows"][row][bound][name] for truth in result["truths"]])
            for bound in ("low", "median", "high")
        )
        # Beside each other, not on top.
        x = _physical(true + shift * parameter["width"], parameter)
        lowest, highest = (_physical(bound, parameter) for bound in (low, high))
        ax.vlines(x, lowest, highest, color=colour, alpha=0.6, lw=1)
        middle = _physical(median, parameter)
        ax.plot(x, middle, ".", color=colour, label=result["labels"][row])
    ends = _physical(np.array([true.min(), true.max()]), parameter)
    ax.plot(ends, ends, color="0.6", zorder=0)
    # A narrower range has too few round numbers for a logarithmic axis.
    if parameter["scale"] == "log" and ends[1] > WIDE * ends[0]:
        _logarithmic(ax)
    ax.set_title(readable(axis_label(name, {name: parameter["unit"]})))
    ax.set_xlabel("true")


def _logarithmic(ax: Axes) -> None:
    for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())


def _physical(point: NDArray[np.float64], parameter: Mapping[str, Any]) -> NDArray[np.float64]:
    """Values of a parameter from standardised ones."""
    value = parameter["centre"] + parameter["spread"] * point
    return np.exp(value) if parameter["scale"] == "log" else value
