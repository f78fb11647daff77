"""Numbers that are held beside those of nemo-spinup-evaluation."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from data.archive.reader import StateArchive
from data.errors import UserError
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.state import State
from evaluation.spinup_metrics import COLUMNS, spinup_metrics, write_spinup_csv


def test_boxes_and_the_level_are_those_of_the_definition(tiny_grid):
    """Each region has a temperature of its own, which its mean must find."""
    grid = replace(tiny_grid(), latitude=np.linspace(-50.0, 50.0, 12))
    tropical = (np.abs(grid.latitude) < 30)[:, None] & np.ones(8, dtype=bool)
    depth = grid.depth[:, None, None]
    deep = (depth > 500) & (depth < 3000) & tropical
    level = np.abs(grid.depth - 500).argmin()
    field = np.where(deep, 4.0, 9.0)
    field[level] = np.where(tropical, 7.0, 9.0)
    temperature = torch.from_numpy(field)[None].float()
    found = spinup_metrics(State(temperature, torch.full_like(temperature, 35.0)), grid)
    inside = grid.volume * deep
    expected = (inside * field).sum() / inside.sum()
    assert found["temperature_DWbox_metric"].item() == pytest.approx(expected, rel=1e-6)
    assert found["temperature_500m_30NS_metric"].item() == 7.0
    outside = grid.volume * ~((depth < 3000) & tropical)
    expected = (outside * field).sum() / outside.sum()
    assert found["temperature_BWbox_metric"].item() == pytest.approx(expected, rel=1e-6)


def test_overturning_points_count_among_all_points(tiny_grid):
    grid = tiny_grid()
    temperature = torch.tensor([20.0, 15.0, 10.0, 5.0, 2.0])[:, None, None].expand(grid.shape)
    state = State(temperature[None].clone(), torch.full((1, *grid.shape), 35.0))
    assert spinup_metrics(state, grid)["check_density_computed"].item() == 0.0
    state.temperature[0, 0, 1, :3] = 1.0  # colder than the water below: three points
    found = spinup_metrics(state, grid)["check_density_computed"].item()
    assert found == pytest.approx(3 / np.prod(grid.shape))


def test_the_csv_has_a_line_for_each_state(tiny_grid, tiny_states, tmp_path):
    grid = tiny_grid()
    rows = {
        "truth": tiny_states(grid, batch=2, seed=0),
        "guided": tiny_states(grid, batch=1, seed=1),
    }
    write_spinup_csv(tmp_path / "numbers.csv", rows, grid)
    with (tmp_path / "numbers.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["state"]) for line in lines] == [
        ("truth", "0"), ("truth", "1"), ("guided", "0")
    ]  # fmt: skip
    expected = spinup_metrics(rows["truth"], grid)
    for column in COLUMNS:
        assert float(lines[1][column]) == pytest.approx(expected[column][1].item(), nan_ok=True)


def test_a_plane_is_refused(tiny_grid, tiny_states):
    grid = replace(tiny_grid(), horizontal_units="km")
    with pytest.raises(UserError, match="without --csv"):
        spinup_metrics(tiny_states(tiny_grid(), batch=1, seed=0), grid)


@pytest.mark.slow
def test_the_sample_of_dino_has_the_values_of_the_definition_on_its_mesh(shared_data, tmp_path):
    """The expected numbers were computed with the functions of nemo-spinup-evaluation (f601030)."""
    folder = shared_data / "nemo_dino4deg"
    short = xr.open_dataset(folder / "nemo_dino_4deg.nc").isel(time=[0, 119])
    short.to_netcdf(tmp_path / "short.nc")
    settings = IngestSettings(
        reader="nemo",
        files=[str(tmp_path / "short.nc")],
        mesh_mask=folder / "mesh_mask.nc",
        equation_of_state="nemo-seos",
        periodic_x=True,
        split="all_test",
    )
    ingest(settings, output=tmp_path / "dino.zarr")
    archive = StateArchive.open(tmp_path / "dino.zarr")
    assert set(archive.split.tolist()) == {2}
    found = spinup_metrics(archive.read([0, 1]), archive.grid)
    theirs = {
        "check_density_computed": (0.00513539, 0.00120604),
        "temperature_500m_30NS_metric": (11.89083017, 10.56593495),
        "temperature_BWbox_metric": (4.8466625, 5.21374209),
        "temperature_DWbox_metric": (5.54823282, 5.24642349),
    }
    for column, values in theirs.items():
        np.testing.assert_allclose(found[column].numpy(), values, rtol=2e-6)
