"""Figures appear for regular, curvilinear and plane grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.grid import OceanGrid
from data.state import State
from evaluation.canvas import Scale, horizontal_coordinates
from evaluation.figures import (
    meridional_sections,
    mixed_layer_maps,
    save_figure,
    save_figures,
    zonal_mean_sections,
)
from guidance.seawater import equation_of_state

EOS = equation_of_state("linear")


def make_grid(kind: str) -> OceanGrid:
    depth = np.array([10.0, 60.0, 500.0, 2000.0])
    wet = np.ones((4, 5, 10), bool)
    wet[:, 0, :4] = False
    wet[3] = False  # a level without any ocean
    x, y = np.linspace(170, 190, 10), np.linspace(-10, 10, 5)
    if kind == "curvilinear":
        x, y = np.meshgrid((x + 180) % 360 - 180, y)
    return OceanGrid(
        depth=depth,
        thickness=np.broadcast_to([20.0, 80.0, 800.0, 2000.0], (5, 10, 4))
        .transpose(2, 0, 1)
        .copy(),
        area=np.full((5, 10), 1e10),
        wet=wet,
        longitude=x,
        latitude=y,
        horizontal_units="km" if kind == "plane" else "degrees",
    )


def make_rows(grid: OceanGrid, *, sea_level: bool) -> dict[str, State]:
    generator = torch.Generator().manual_seed(0)
    wet = torch.from_numpy(grid.wet)

    def state() -> State:
        noise = torch.randn((3, *grid.shape), generator=generator) * wet
        temperature = wet * torch.tensor([20.0, 15.0, 8.0, 2.0])[:, None, None] + 0.5 * noise
        height = noise[:, 0] if sea_level else None
        return State(temperature, 35.0 * wet + 0.1 * noise, height)

    return {"truth": state(), "latent, guided": state()}


@pytest.mark.slow
def test_all_figures_are_written_as_png(tmp_path):
    grid = make_grid("regular")
    paths = save_figures(make_rows(grid, sea_level=True), grid, EOS, tmp_path / "figures")
    names = {path.stem for path in paths}
    assert {"surface_temperature", "spectra", "sea_level", "zonal_mean_latent__guided"} <= names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    # Nothing half-written lies beside them.
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())


def test_curvilinear_grids_can_be_drawn(tmp_path):
    grid = make_grid("curvilinear")
    rows = make_rows(grid, sea_level=False)
    path = save_figure(meridional_sections(rows, grid, EOS), tmp_path / "section.png")
    assert path.exists()
    assert "column" in meridional_sections(rows, grid, EOS).get_suptitle()


def test_axes_of_a_plane_are_in_km():
    grid = make_grid("plane")
    figure = mixed_layer_maps(make_rows(grid, sea_level=False), grid, EOS)
    assert figure.axes[0].get_xlabel() == "x [km]"


def test_depth_increases_downwards_and_stops_at_the_sea_floor():
    grid = make_grid("regular")
    rows = make_rows(grid, sea_level=False)
    axes = zonal_mean_sections(rows, grid, EOS, generated="latent, guided").axes[0]
    bottom, top = axes.get_ylim()
    assert top == 0.0 and bottom == 20.0 + 80.0 + 800.0  # the wet layers


def test_maps_do_not_jump_at_the_date_line():
    x, _ = horizontal_coordinates(make_grid("curvilinear"))
    assert (np.diff(x, axis=1) > 0).all()


def test_difference_scales_are_symmetric():
    scale = Scale.symmetric([np.array([[-1.0, np.nan, 3.0]])])
    assert scale.low == -scale.high
