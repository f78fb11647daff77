"""The study of the coarse basin on a tiny model, with made-up integrations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.regrid import Regridding, coarsened
from data.state import State
from integration.integrate import IntegrationResult
from studies.coarse_basin import settings as s
from studies.coarse_basin import study
from studies.coarse_basin.rows import pairs_of

BIAS = 0.5  # K
TRAINING, TEST = 1, 4  # members of the tiny archive


@pytest.fixture
def source(conditional, tmp_path) -> StateArchive:
    """States of a training and of a test member at half the resolution, too warm everywhere."""
    archive = conditional.archive
    grid = coarsened(archive.grid, 2)
    regridding, wet = Regridding(archive.grid, grid), torch.from_numpy(grid.wet)
    attributes = {"members": ["a", "b"], "certificates": {"a": {}, "b": {"rms": 0.1}}}
    with ArchiveWriter(
        tmp_path / "coarse.zarr",
        grid=grid,
        equation_of_state=archive.equation_of_state,
        attributes=attributes,
    ) as writer:
        for number, member in enumerate((TRAINING, TEST)):
            for row in np.flatnonzero(archive.member == member):
                state = regridding(archive.read([row])).state
                values = {key: float(archive.parameters[key][row]) for key in archive.parameters}
                writer.append(
                    State(state.temperature + BIAS * wet, state.salinity),
                    member=number,
                    time=0.0,
                    split=SPLITS["test" if member == TEST else "train"],
                    parameters=values,
                )
    return StateArchive.open(tmp_path / "coarse.zarr")


@pytest.mark.slow
def test_a_pair_is_of_one_age_and_the_last_comes_last(conditional, source):
    (pairs,) = pairs_of(conditional, source, s.CoarseSettings(states=3))
    assert [pair.member for pair in pairs] == [TEST] * 3
    ages = [float(source.parameters["age"][pair.coarse]) for pair in pairs]
    assert ages == [float(conditional.archive.parameters["age"][pair.fine]) for pair in pairs]
    assert ages == sorted(ages) and ages[-1] == source.parameters["age"].max()
    with pytest.raises(UserError, match="1 test members of the same parameters"):
        pairs_of(conditional, source, s.CoarseSettings(points=2))


@pytest.mark.slow
def test_all_rows_are_judged_and_drawn(conditional, source, made, tmp_path, monkeypatch):
    runs = [made(name, 1.0) for name in s.STARTED]
    result = IntegrationResult(runs, dict.fromkeys(s.STARTED, 2.0))
    monkeypatch.setattr(study, "_integrated", lambda *args: result)
    output = tmp_path / "result.json"
    study.run(
        conditional,
        source=source.path,
        output=output,
        figures=tmp_path / "figures",
        states=1,
        members=2,
        steps=12,
    )
    found = json.loads(output.read_text())
    rows = found["rows"]
    assert [*rows] == [*s.LABELS]
    assert rows[s.TRUTH]["bias_K"] == 0 and rows[s.TRUTH]["power_surface"] == 1
    assert rows[s.INTERPOLATED]["bias_K"] == pytest.approx(BIAS, abs=0.1)
    assert rows[s.INTERPOLATED]["bias_left_percent"] == pytest.approx(100, abs=10)
    # The maps know the bias from the training member that both archives have.
    assert rows[s.MAPPED]["bias_K"] < 0.5 * rows[s.INTERPOLATED]["bias_K"]
    assert rows[s.DOWNSCALED]["misfit"] < rows[s.GENERATED]["misfit"]
    assert rows[s.DOWNSCALED]["density_error_percent"] == 0
    assert found["coarse"]["bias_K"] == pytest.approx(BIAS, abs=0.05)
    assert found["members"] == ["b"]
    assert len(list((tmp_path / "figures").glob("coarse_basin_*.png"))) == 4


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="states is 0: give at least 1"):
        s.CoarseSettings(states=0)
    with pytest.raises(UserError, match="there is no row ours"):
        s.CoarseSettings(started=["ours"])
