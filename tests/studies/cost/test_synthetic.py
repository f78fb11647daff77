"""An ocean of any size: its states are functions of their index, and it is an archive."""

from __future__ import annotations

import pytest
import torch

from data.archive.protocol import Archive
from data.errors import UserError
from studies.cost.synthetic import SyntheticArchive, parse_shape, synthetic_grid


@pytest.mark.parametrize("sea_level", [False, True])
def test_states_are_functions_of_their_index(sea_level):
    grid = synthetic_grid(5, 6, 8, periodic_x=True)
    archive: Archive = SyntheticArchive(grid, has_sea_level=sea_level, samples=4, noise=0.0)
    assert archive.indices("train").tolist() == [0, 1, 2]
    assert archive.indices("validation").tolist() == [3]
    states = archive.read([2, 0])
    assert states.temperature.shape == (2, *grid.shape)
    torch.testing.assert_close(states.temperature[0, :, 0, 0], torch.linspace(20, 2, 5))
    assert (states.sea_level is not None) == sea_level
    noisy = SyntheticArchive(grid, has_sea_level=sea_level)
    assert torch.equal(noisy.read([2, 0]).salinity[1:], noisy.read([0]).salinity)
    assert not torch.equal(noisy.read([1]).salinity, noisy.read([0]).salinity)


def test_layers_add_up_to_the_depth_of_the_ocean():
    grid = synthetic_grid(36, 2, 2, periodic_x=False)
    assert grid.thickness[:, 0, 0].sum() == pytest.approx(4000)
    assert grid.wet.all() and not grid.periodic_x


@pytest.mark.parametrize("text", ["36x800", "axbxc", "0x8x8", "3x8x8x8", ""])
def test_a_grid_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="36x800x256"):
        parse_shape(text)
