"""Figures of cost: of a state by size of the grid, and of sampling by number of members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from evaluation.canvas import ROW_COLOURS, new_figure, styled

QUANTITIES = {
    "seconds": "time per state [s]",
    "memory_MB": "memory beyond the networks [MB]",
    "states_per_second": "states per second at the best batch size",
}
LINES = {"unguided": "o--", "guided": "s-"}


@styled
def cost_by_resolution(benchmarks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Time, memory and throughput of every system against the number of cells.

    benchmarks: by experiment and grid, as `studies.cost.benchmark` writes them
    """
    figure, axes = new_figure(1, len(QUANTITIES), panel=(3.8, 3.6))
    sizes = sorted(benchmarks.values(), key=lambda benchmark: benchmark["cells"])
    systems = list(dict.fromkeys(name for one in sizes for name in one["systems"]))
    for ax, (quantity, title) in zip(axes[0], QUANTITIES.items(), strict=True):
        for system, colour in zip(systems, ROW_COLOURS, strict=False):
            _lines(ax, sizes, system, quantity, colour)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("number of grid cells")
        ax.set_ylabel(title)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _lines(
    ax: Axes, sizes: list[Mapping[str, Any]], system: str, quantity: str, colour: str
) -> None:
    """Values of a system on all grids: unguided dashed with circles, guided solid with squares."""
    for how, style in LINES.items():
        points = [
            (one["cells"], one["systems"][system][how][quantity])
            for one in sizes
            if system in one["systems"]
        ]
        label = f"{system}, {how}"
        ax.plot(*zip(*points, strict=True), style, color=colour, label=label)


@styled
def memory_of_members(result: Mapping[str, Any]) -> Figure:
    """Memory of sampling, and its wall time, against the members for which each work is done.

    result: as `studies.cost.members` writes it
    """
    figure, axes = new_figure(1, 2, panel=(4.2, 3.4))
    memory, seconds = axes[0]
    for (work, trace), colour in zip(result["traces"].items(), ROW_COLOURS, strict=False):
        members = trace["members"]
        memory.plot(members, trace["resident_MiB"], color=colour, label=work)
        memory.plot(members, trace["peak_MiB"], ":", color=colour)
        minutes = [(second - trace["seconds"][0]) / 60 for second in trace["seconds"]]
        seconds.plot(members, minutes, color=colour)
    memory.set_ylim(bottom=0)
    memory.set_ylabel("resident memory [MiB]\n(dotted: peak of the process so far)")
    seconds.set_ylabel("wall time [min]")
    seconds.set_ylim(bottom=0)
    for ax in axes[0]:
        ax.set_xlim(0, result["members"])
        ax.set_xlabel("members")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    return figure
