"""Figures by level."""

from __future__ import annotations

import numpy as np

from data.grid import OceanGrid
from evaluation.level_figures import variance_by_level


def test_a_level_without_ocean_and_a_row_of_nan_are_drawn(tmp_path):
    wet = np.ones((3, 2, 2), bool)
    wet[2] = False
    grid = OceanGrid(
        depth=np.array([10.0, 100.0, 1000.0]),
        thickness=np.full(wet.shape, 20.0),
        area=np.ones((2, 2)),
        wet=wet,
        longitude=np.arange(2.0),
        latitude=np.arange(2.0),
    )
    ratios = {"temperature": [0.9, 1.1, np.nan], "salinity": [1.0, 1.0, np.nan]}
    figure = variance_by_level({"truth": ratios, "guided, adjusted": ratios}, grid)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["truth", "guided, adjusted"]
    figure.savefig(tmp_path / "levels.png")
