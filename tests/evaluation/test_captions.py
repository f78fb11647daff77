"""Captions and differences say where generated states are wrong, and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.grid import OceanGrid
from data.salinity import salinity_of
from data.state import State
from evaluation.captions import Evidence, caption, integration_caption
from evaluation.difference_figures import difference_maps
from evaluation.differences import Differences, extreme
from evaluation.places import column_name, row_name
from guidance.seawater import equation_of_state

EOS = equation_of_state("linear")
DEPTH = torch.tensor([20.0, 15.0, 8.0])[:, None, None]  # degC


@pytest.fixture
def grid() -> OceanGrid:
    """Four rows of six columns; the first row is land, the last level has no ocean."""
    wet = np.ones((3, 4, 6), bool)
    wet[:, 0] = False
    wet[2] = False
    return OceanGrid(
        depth=np.array([10.0, 60.0, 500.0]),
        thickness=np.broadcast_to([20.0, 80.0, 800.0], (4, 6, 3)).transpose(2, 0, 1).copy(),
        area=np.array([1.0, 1.0, 2.0, 3.0])[:, None] * np.ones(6),
        wet=wet,
        longitude=np.linspace(160, 210, 6),
        latitude=np.array([-60.0, -40.0, 0.0, 40.0]),
    )


def truth_on(grid: OceanGrid) -> State:
    noise = torch.randn((8, *grid.shape), generator=torch.Generator().manual_seed(0))
    wet = torch.from_numpy(grid.wet)
    return State((DEPTH + noise) * wet, (35 + 0.1 * noise) * wet)


def evidence(truth: State, generated: State, grid: OceanGrid, **changes: object) -> Evidence:
    made = Evidence(
        rows={},
        differences=Differences.between(truth, generated, grid, EOS),
        profiles={},
        grid=grid,
        salinity=salinity_of("linear"),
        equation_of_state="linear",
    )
    return replace(made, **changes)


def test_the_largest_bias_is_named_with_its_place(grid):
    truth = truth_on(grid)
    temperature = truth.temperature.clone()
    temperature[:, 0, 1, 4] -= 2.5
    text = caption("surface_temperature", evidence(truth, State(temperature, truth.salinity), grid))
    assert "at 40°S, 160°W: 2.5 K too cold (rms of all places: 0.42 K)" in text


def test_a_bias_at_depth_is_found_in_sections_and_profiles(grid):
    truth = truth_on(grid)
    salinity = truth.salinity.clone()
    salinity[:, 1, 3] += 0.2
    found = evidence(truth, State(truth.temperature, salinity), grid)
    assert "bias of salinity is at 60 m, 40°N: 0.2 10⁻³ too salty" in caption(
        "zonal_mean_generated", found
    )
    assert "mean salinity is furthest from the truth's at 60 m: 0.1 10⁻³ too salty" in caption(
        "mean_profiles", found
    )


def test_missing_and_excessive_variance_are_named_with_their_rows(grid):
    truth = truth_on(grid)
    anomaly = truth.temperature - truth.temperature.mean(dim=0)
    factor = torch.tensor([1.0, 1.0, 0.5, 2.0])[:, None]  # of the standard deviation
    generated = State(truth.temperature + (factor - 1) * anomaly, truth.salinity)
    rows = {"guided_adjusted": {"variance_pattern_surface_temperature": 0.8432}}
    text = caption("surface_variance", evidence(truth, generated, grid, rows=rows))
    assert "correlate by 0.84" in text
    assert "Most is missing near the equator (0.25 times the truth's)" in text
    assert "Most is in excess near 40°N (4 times the truth's)" in text
    assert "Variance of surface salinity: 1 times the truth's." in text


def test_a_single_state_has_no_spread_and_equal_states_no_bias(grid):
    truth = truth_on(grid)
    single = evidence(truth, truth.map(lambda field: field[:1]), grid)
    assert caption("surface_variance", single) == "Surface variance."
    assert "truth everywhere" in caption("surface_salinity", evidence(truth, truth, grid))


def test_levels_of_least_and_most_variance_are_relative_to_the_truth(grid):
    profiles = {
        "truth": {"temperature": [1.0, 2.0, np.nan]},
        "guided_adjusted": {"temperature": [0.9, 0.5, np.nan]},
    }
    found = evidence(truth_on(grid), truth_on(grid), grid, profiles=profiles)
    assert "least at 60 m (0.25), most at 10 m (0.9)" in caption("variance_by_level", found)


def test_numbers_of_the_metrics_are_in_the_captions(grid):
    rows = {
        "truth": {"mixed_layer_depth_mean_m": 100.0, "density_error_percent": 0.2},
        "training": {"spectra_ratio_small_scales": 1.0},
        "guided_adjusted": {
            "mixed_layer_depth_mean_m": 88.0,
            "density_error_percent": 0.0,
            "spectra_ratio_small_scales": 3.76,
        },
    }
    found = evidence(truth_on(grid), truth_on(grid), grid, rows=rows)
    assert "depth: 88 m, truth 100 m (−12 %)" in caption("mixed_layer_depth", found)
    text = caption("meridional_sections", found)
    assert "0 % of the volume overturns, 0.2 % in the truth" in text
    assert "rougher than the truth (training states: 1)" in text
    assert "linear, which has a reference of its own" in text
    ocean = evidence(truth_on(grid), truth_on(grid), grid, rows=rows, equation_of_state="nemo-seos")
    assert "reference of its own" not in caption("meridional_sections", ocean)
    assert caption("something_else", found) == "Something else."


def test_integrations_are_told_by_what_was_run():
    starts = {
        "truth": {"members": 4, "blown_up": 0},
        "generated": {
            "members": 4,
            "blown_up": 1,
            "distance_K": 0.4504,
            "distances_K": [0.4, 0.6, None, 0.3512],
        },
        "nearest_member": {"members": 4, "blown_up": 1, "distances_K": [0.6, None, 9.0, 0.8]},
    }
    text = integration_caption({"by_start": starts})
    assert "2 of 12 runs diverged (1 from generated, 1 from nearest member); distances are" in text
    assert "0.45 K (rms)" in text
    assert "Over the 2 runs that both finished it is 0.38 K, and 0.7 K after a start" in text
    assert "drift" not in text
    assert "No run diverged." in integration_caption({"by_start": {"truth": {"members": 4}}})


@pytest.mark.parametrize(("members", "years", "few"), [(4, 2, True), (4, 20, True), (6, 10, False)])
def test_few_or_short_integrations_are_called_a_check(members, years, few):
    caption = integration_caption({"by_start": {"truth": {"members": members, "years": years}}})
    assert caption.endswith("are a check, not a result.") == few


def test_places_on_a_plane_and_on_a_curved_grid_have_names(grid):
    plane = replace(grid, horizontal_units="km", latitude=np.array([0.0, 20.0, 40.0, 60.0]))
    assert row_name(plane, 2) == "y = 40 km"
    assert column_name(plane, 2, 0) == "x = 160 km, y = 40 km"
    x, y = np.meshgrid(grid.longitude, grid.latitude)
    wet = grid.wet.copy()
    wet[0, 1, :3] = False
    y[1, :3] = 10.0  # on land: does not count
    curved = replace(grid, longitude=x, latitude=y, wet=wet)
    assert row_name(curved, 1) == "40°S"


def test_land_counts_neither_as_extreme_nor_in_means(grid):
    truth = truth_on(grid)
    generated = State(truth.temperature.clone(), truth.salinity)
    generated.temperature[:, :, 0] = 1e3  # land
    differences = Differences.between(truth, generated, grid, EOS)
    assert differences.maps["temperature"].rms == 0
    assert extreme(differences.sections["temperature"]).value == pytest.approx(0)
    assert extreme(np.full(3, np.nan)) is None


def test_differences_are_drawn_with_and_without_a_spread(grid):
    truth = truth_on(grid)
    maps = difference_maps(
        Differences.between(truth, truth, grid, EOS), grid, salinity_of("linear")
    )
    titles = {ax.get_title() for ax in maps.axes}
    assert {"temperature,\nmean [K]", "mixed layer,\nstandard deviation [m]"} <= titles
    assert len(maps.axes) == 12  # two maps of three quantities, each with its colour bar
    single = Differences.between(truth, truth.map(lambda f: f[:1]), grid, EOS)
    assert len(difference_maps(single, grid, salinity_of("linear")).axes) == 6
