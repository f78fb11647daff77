"""Copies, new states and states away from the data, for a simulation with a known memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from evaluation.metrics.distances import anomaly_scale, distance_matrix, nearest_neighbours
from evaluation.metrics.labels import Labels
from evaluation.metrics.novelty import (
    COLUMNS,
    IndependentDistances,
    decorrelation_time,
    independent_count,
    novelty_metrics,
)

STEP = 0.5  # years
MEMORY = 2.0  # years


def make_states(
    grid, count: int, *, members: int = 3, memory: float = MEMORY, drift: float = 0.0, seed: int = 0
) -> State:
    """Red noise of `count` records of each member, in every wet cell on its own."""
    random = torch.Generator().manual_seed(seed)
    shape = (members, 2, *grid.shape)
    rho = np.exp(-STEP / memory)
    values = [torch.randn(shape, generator=random)]
    for _ in range(count - 1):
        noise = torch.randn(shape, generator=random)
        values.append(rho * values[-1] + np.sqrt(1 - rho**2) * noise)
    trend = drift * torch.arange(count)[:, None, None, None, None, None]
    fields = (torch.stack(values) + trend).transpose(0, 1).flatten(0, 1)
    fields = fields * torch.from_numpy(grid.wet)
    return State(fields[:, 0] + 10 * torch.from_numpy(grid.wet), fields[:, 1])


def make_labels(count: int, *, members: int = 3) -> Labels:
    time = np.tile(STEP * np.arange(count), members)
    return Labels(np.repeat(np.arange(members), count), time, time % 1)


@pytest.fixture
def training(grid):
    return make_states(grid, 80)


@pytest.fixture
def independent(grid, training):
    return IndependentDistances.of(training, make_labels(80), grid)


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_the_decorrelation_time_is_the_memory_with_and_without_drift(grid, drift):
    states, labels = make_states(grid, 600, drift=drift), make_labels(600)
    scale = anomaly_scale(make_states(grid, 80), grid)
    assert decorrelation_time(states, labels, grid, scale=scale) == pytest.approx(MEMORY, rel=0.1)


def test_independent_states_are_new_and_copies_are_found(grid, training, independent):
    new = make_states(grid, 1, members=20, seed=1)
    values = novelty_metrics(new, training, independent, grid)
    assert set(values) == {column.key for column in COLUMNS}
    assert values["novelty"] == pytest.approx(1.0, abs=0.1)
    assert values["copies_percent"] < 20
    copies = training.map(lambda x: x[::8] + 0.01 * torch.randn_like(x[::8]))
    found = novelty_metrics(copies, training, independent, grid)
    assert found["novelty"] < 0.1
    assert found["copies_percent"] == 100.0
    far = make_states(grid, 1, members=20, seed=1).map(lambda x: 3 * x)
    assert novelty_metrics(far, training, independent, grid)["novelty"] > 2


def test_a_few_copies_do_not_hide_behind_the_median(grid, training, independent):
    new = make_states(grid, 1, members=20, seed=1)
    some = State.cat([new, training.map(lambda x: x[:5])])
    values = novelty_metrics(some, training, independent, grid)
    assert values["copies_percent"] >= 20.0
    assert values["novelty"] > 0.9


def test_neighbours_in_time_are_no_reference(grid, training, independent):
    even, odd = (training.map(lambda x, k=k: x[k::2]) for k in (0, 1))
    consecutive, _ = nearest_neighbours(even, odd, grid)
    assert float(consecutive.median()) < 0.7 * float(independent.distance.median())


def test_land_does_not_count(grid, training, independent):
    dry = ~torch.from_numpy(grid.wet)
    new = make_states(grid, 1, members=6, seed=1)
    filled, other = (x.map(lambda y: y.masked_fill(dry, torch.nan)) for x in (training, new))
    distances = IndependentDistances.of(filled, make_labels(80), grid)
    torch.testing.assert_close(distances.distance, independent.distance)
    expected = novelty_metrics(new, training, independent, grid)
    assert novelty_metrics(other, filled, distances, grid) == pytest.approx(expected)


def test_nothing_is_said_without_independent_states(grid):
    short = make_states(grid, 2, members=1)
    alone = IndependentDistances.of(short, make_labels(2, members=1), grid)
    constant = short.map(lambda x: x[:1].repeat(12, 1, 1, 1))
    same = IndependentDistances.of(constant, make_labels(4), grid)
    for state, distances in ((short, alone), (constant, same)):
        values = novelty_metrics(state, state, distances, grid)
        assert np.isnan([*values.values()]).all()


def test_members_of_one_state_are_independent_of_each_other(grid):
    training = make_states(grid, 1, members=12)
    distances = IndependentDistances.of(training, make_labels(1, members=12), grid)
    assert np.isnan(distances.years)
    assert len(distances.distance) == 12
    new = make_states(grid, 1, members=12, seed=1)
    values = novelty_metrics(new, training, distances, grid)
    assert values["novelty"] == pytest.approx(1.0, abs=0.1)


def test_the_distance_matrix_is_the_weighted_rms_difference(grid):
    a, b = make_states(grid, 1, members=2), make_states(grid, 1, members=3, seed=1)
    scale = torch.full((2, len(grid.depth)), 2.0, dtype=torch.float64)
    difference = np.stack(
        [
            (getattr(a, f)[1] - getattr(b, f)[2]).double().numpy()
            for f in ("temperature", "salinity")
        ]
    )
    volume = np.broadcast_to(grid.volume, difference.shape)
    expected = np.sqrt(np.average((difference / 2) ** 2, weights=volume))
    matrix = distance_matrix(a, b, grid, scale=scale)
    assert matrix.shape == (2, 3)
    assert float(matrix[1, 2]) == pytest.approx(expected)


def test_independent_states_are_of_other_members_or_far_apart_in_time():
    member = np.array([0, 0, 0, 0, 0, 1, 1])
    time = np.array([4.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.5])
    labels = Labels(member, time, time % 1)
    assert independent_count(labels, years=1.5) == 3 + 1  # years 0, 2 and 4
    assert independent_count(labels, years=0.0) == 7
    assert independent_count(labels, years=float("nan")) == 2
    assert independent_count(labels, years=float("inf")) == 2
