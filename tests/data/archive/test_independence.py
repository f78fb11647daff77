"""Independent states: white noise, red noise of known memory, season and trend."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.independence import anomalies, independent_fields, independent_states


def red_noise(memory: float, count: int, *, seed: int, space: int = 1):
    generator = np.random.default_rng(seed)
    series = np.zeros((count, space))
    for step in range(1, count):
        series[step] = memory * series[step - 1] + generator.standard_normal(space)
    return series if space > 1 else series[:, 0]


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_red_noise_has_its_analytic_count(memory):
    # AR(1): 1 + 2 sum rho^k = (1 + rho) / (1 - rho)
    expected = 4000 * (1 - memory) / (1 + memory)
    found = np.mean([independent_states(red_noise(memory, 4000, seed=s)) for s in range(5)])
    assert found == pytest.approx(expected, rel=0.2)


def test_season_and_trend_do_not_count_as_memory():
    noise = red_noise(0.0, 600, seed=1)
    month = np.arange(600) % 12
    loud = noise + 20 * np.sin(2 * np.pi * month / 12) + 0.1 * np.arange(600)
    assert independent_states(loud) < 200
    assert independent_states(loud, season=month) > 350
    rest = anomalies(loud, season=month)
    assert abs(np.polyfit(np.arange(600), rest, 1)[0]) < 1e-4
    assert max(abs(rest[month == m].mean()) for m in range(12)) < 1e-2


def test_a_constant_series_is_one_state():
    assert independent_states(np.full(50, 3.0)) == 1


def test_fields_follow_their_leading_components():
    slow = np.outer(red_noise(0.9, 2000, seed=2), np.ones(30)) * 3
    fast = red_noise(0.0, 2000, seed=3, space=30)
    found = independent_fields(slow + 0.1 * fast, weights=np.ones(30))
    assert found == pytest.approx(independent_states(slow[:, 0]), rel=0.05)
