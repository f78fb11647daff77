"""True and generated states side by side, chosen at random: `halocline study gallery CONFIG`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.run import Run
from data.archive.reader import StateArchive
from data.salinity import salinity_of
from data.state import State
from evaluation.canvas import save_figure
from evaluation.figures import surface_maps

SEED = 0


def run(run: Run, *, count: int = 10, field: str = "temperature", output: Path) -> None:
    """Draw `count` test states and as many generated ones, and save the figure.

    field: "temperature", "salinity" or "sea_level", at the surface
    """
    archive, samples = run.archive, StateArchive.open(run.samples("guided_adjusted"))
    rows = {
        "truth": _random(archive, archive.indices("test"), count),
        "generated": _random(samples, np.arange(len(samples)), count),
    }
    salinity = salinity_of(archive.equation_of_state)
    save_figure(surface_maps(rows, archive.grid, salinity, field=field, count=count), output)
    print(f"wrote {output}")


def _random(archive: StateArchive, indices: np.ndarray, count: int) -> State:
    """At most `count` states, chosen without looking at them."""
    chosen = np.random.default_rng(SEED).permutation(indices)[:count]
    return archive.read(np.sort(chosen))
