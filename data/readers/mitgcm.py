"""MITgcm output: CF files with partial cells (`drf` and `hfac`), snapshots in blocks."""

from __future__ import annotations

from pathlib import Path

from data.readers.cf import Conventions, ModelOutput, from_dataset, open_dataset


def open_mitgcm(path: Path, *, conventions: Conventions) -> ModelOutput:
    """Open one file; where it has `hfac`, the thickness of a cell is `drf * hfac` [m].

    Raises UserError as `data.readers.cf.open_cf` does.
    """
    dataset = open_dataset(path)
    if {"drf", "hfac"} <= set(dataset.variables) and conventions.variables.thickness is None:
        dataset["cell_height"] = dataset["hfac"] * dataset["drf"]
        variables = conventions.variables.model_copy(update={"thickness": "cell_height"})
        conventions = conventions.model_copy(update={"variables": variables})
    return from_dataset(dataset, path=path, conventions=conventions)
