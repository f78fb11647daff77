"""Statistics per cell and per level, and the grid they belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.normalisation import Statistics
from data.state import State


@pytest.fixture
def archive(write_archive):
    return StateArchive.open(write_archive())


def test_statistics_are_those_of_numpy(archive, small_grid):
    indices = [0, 1, 4, 8]
    statistics = Statistics.from_archive(archive, indices=indices)
    states = archive.read(indices).to_channels().double().numpy()
    mean = states.mean(axis=0)
    np.testing.assert_allclose(statistics.mean, mean, atol=1e-5)
    wet = np.concatenate([small_grid.wet, small_grid.wet, small_grid.wet[:1]])
    anomalies = states - mean
    expected = [np.sqrt((anomalies[:, c][:, wet[c]] ** 2).mean()) for c in range(9)]
    np.testing.assert_allclose(statistics.std, expected, rtol=1e-5)


def test_normalised_training_states_have_unit_variance(archive, small_grid):
    statistics = Statistics.from_archive(archive, indices=range(10))
    normalised = statistics.normalise(archive.read(range(10)))
    per_level = normalised.square().sum((0, 2, 3))
    cells = 10 * statistics.wet.flatten(1).sum(1)
    torch.testing.assert_close(per_level / cells, torch.ones(9), rtol=1e-4, atol=0)


def test_denormalise_is_the_inverse_and_blanks_land(archive, small_grid):
    statistics = Statistics.from_archive(archive, indices=range(10))
    state = archive.read([2, 6])
    again = statistics.denormalise(statistics.normalise(state))
    torch.testing.assert_close(again.to_channels(), state.to_channels(), rtol=1e-5, atol=1e-4)
    noise = statistics.denormalise(torch.randn(1, 9, 6, 5))
    assert (noise.temperature[:, ~torch.from_numpy(small_grid.wet)] == 0).all()
    on_land = statistics.normalise(state.map(lambda field: field + 3))
    assert (on_land[:, ~statistics.wet] == 0).all()


def quiet_archive(tmp_path, grid, random_state):
    """The deepest temperature level never changes and the third is land."""
    wet = grid.wet.copy()
    wet[2] = False
    grid = replace(grid, wet=wet)
    with ArchiveWriter(tmp_path / "q.zarr", grid=grid, equation_of_state="jmd95") as writer:
        for seed in range(3):
            state = random_state(grid, seed=seed, sea_level=False)
            state.temperature[:, 3] = 2.0
            writer.append(state, member=0, time=seed, split=0)
    return StateArchive.open(tmp_path / "q.zarr")


def test_quiet_levels_are_floored_and_dry_levels_are_neutral(tmp_path, small_grid, random_state):
    archive = quiet_archive(tmp_path, small_grid, random_state)
    statistics = Statistics.from_archive(archive, indices=range(3))
    torch.testing.assert_close(statistics.std[3], 0.01 * statistics.std[:2].max())
    assert statistics.std[2] == 1
    assert statistics.std[6] == 1
    assert (statistics.mean[2] == 0).all()


def test_one_state_has_no_statistics(archive):
    with pytest.raises(UserError, match=r"has 1 states for the statistics"):
        Statistics.from_archive(archive, indices=[0])


def test_another_grid_is_refused(archive, small_grid):
    statistics = Statistics.from_archive(archive, indices=range(4))
    shallow = replace(
        small_grid,
        depth=small_grid.depth[:3],
        thickness=small_grid.thickness[:3],
        wet=small_grid.wet[:3],
    )
    with pytest.raises(
        UserError, match=r"has 3 levels, fewer than the 4 that the model was trained"
    ):
        statistics.check_grid(shallow)
    wet = small_grid.wet.copy()
    wet[0, 2, 2] = False
    with pytest.raises(UserError, match=r"wet mask differs in 1 cells"):
        statistics.check_grid(replace(small_grid, wet=wet))
    with pytest.raises(UserError, match=r"depths differ"):
        statistics.check_grid(replace(small_grid, depth=small_grid.depth + 1))
    with pytest.raises(UserError, match=r"6 x 4 cells"):
        statistics.check_grid(replace(small_grid, wet=small_grid.wet[..., :4]))


def test_works_in_float64(archive):
    statistics = Statistics.from_archive(archive, indices=range(4))
    state: State = archive.read([1]).map(lambda field: field.double())
    assert statistics.normalise(state).dtype == torch.float64
