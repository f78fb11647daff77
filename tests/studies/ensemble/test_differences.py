"""Differences of members: by depth, to continuations, between members, and from rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.state import State
from studies.ensemble.continuation import ContinuedMember, continued_members, worth_rows
from studies.ensemble.depth_ranges import ALL_DEPTHS, depth_ranges, rms_by_range
from studies.ensemble.distances import Distances
from studies.ensemble.members import FinishedEnsemble
from studies.ensemble.rounding import rounded, rounding_rows

STEP = 1 / 512  # K
TAU = 10.0  # years


def test_ranges_of_depth_count_wet_volume_only(tiny_grid):
    grid = tiny_grid()
    field = np.where(grid.wet, 0.0, 99.0)
    field[:3][grid.wet[:3]] = 2.0
    found = rms_by_range(field, grid)
    assert found["0–300 m"] == pytest.approx(2.0)
    assert found["300–1000 m"] == found["below 2000 m"] == 0
    share = grid.volume[:3].sum() / grid.volume.sum()
    assert found[ALL_DEPTHS] == pytest.approx(2.0 * np.sqrt(share))
    assert rms_by_range(np.array([2.0, 2, 2, 0, 0]), grid) == pytest.approx(found)
    assert "1000–2000 m" not in depth_ranges(grid.depth)


def continued(age, anomaly, grid) -> ContinuedMember:
    """States and level means that are uniform."""
    fields = anomaly[:, None, None, None] * grid.wet
    year = np.arange(1.0, 251.0)
    level = np.ones(5) * (0.01 * (year - 0.5))[:, None]
    yearly = {"year": year, "temperature": level, "salinity": level}
    return ContinuedMember(110.0, 10.0, age, fields, fields, yearly)


def test_a_linear_trend_is_change_without_noise(tiny_grid):
    grid = tiny_grid()
    age = np.arange(1.25, 251.0, 1.25)
    member = continued(age, 0.01 * age, grid)
    change, variance = member.change("temperature")
    np.testing.assert_allclose(change[grid.wet], 0.01 * (230 - 110))
    np.testing.assert_allclose(variance, 0, atol=1e-20)
    np.testing.assert_allclose(member.level_change("salinity"), 0.01 * (240 - 110))


def test_the_noise_of_a_change_is_that_of_two_means_of_five(tiny_grid):
    grid = tiny_grid(rows=40, columns=40)
    age = np.arange(10.0, 251.0, 10.0)
    fields = np.random.default_rng(0).normal(size=(age.size, *grid.shape)) * grid.wet
    member = ContinuedMember(110.0, 10.0, age, fields, fields, {})
    change, variance = member.change("temperature")
    assert variance[grid.wet].mean() == pytest.approx(2 / 5, rel=0.05)
    assert change[grid.wet].var() == pytest.approx(2 / 5, rel=0.05)


def test_a_continuation_shows_what_its_member_lacked(settings, finish, tiny_grid):
    finish("m00", gap=4.0, tau=TAU)
    finish("m00_continued", gap=4.0, tau=TAU)
    ensemble = FinishedEnsemble.read(settings, tiny_grid())
    rows = worth_rows(ensemble, continued_members(ensemble))["temperature"]
    around, last = (np.exp(-np.arange(a, b, 5) / TAU).mean() for a, b in ((5, 26), (25, 46)))
    for name in ("m00, 0–300 m", "m00, all depths"):
        assert rows[name]["change"] == pytest.approx(4 * (around - last), abs=STEP)
        assert rows[name]["last_trend_per_century"] < rows[name]["trend_per_century"]


def test_without_its_continuation_a_member_has_its_trend_only(settings, finish, tiny_grid):
    finish("m00", gap=4.0)
    ensemble = FinishedEnsemble.read(settings, tiny_grid())
    assert ensemble.missing_continuations == ("m00_continued",)
    rows = worth_rows(ensemble, continued_members(ensemble))["salinity"]
    assert {*rows["m00, all depths"]} == {"trend_per_century"}


def test_distances_between_members(settings, finish, tiny_grid):
    finish("m00")
    finish("m02", offset=3.0)
    finish("m01", offset=1.0, gap=2.0, tau=TAU)
    finish("m01_replicate", offset=1.5, gap=2.0)
    distances = Distances(FinishedEnsemble.read(settings, tiny_grid()))
    rows = distances.by_member()
    regular = 1 + 2 * np.exp(-np.arange(6.25, 15.5, 1.25) / TAU)
    assert rows["m01"]["nearest"] == "m02"
    assert rows["m01"]["nearest_K"] == pytest.approx(3 - regular.mean(), abs=STEP)
    assert rows["m01_replicate"]["original_K"] == pytest.approx(0.5, abs=STEP)
    assert rows["m00"]["nearest"] == "m02" and rows["m00"]["original_K"] is None
    drift = regular[:2].mean() - regular[-2:].mean()
    assert rows["m01"]["drift_K"] == pytest.approx(drift, abs=STEP)
    assert rows["m00"]["drift_K"] == 0
    total = distances.by_range()["all depths"]
    assert total["between_largest_K"] == pytest.approx(3.0)
    assert total["replicate_median_K"] == pytest.approx(0.5, abs=STEP)
    assert total["nearest_median_K"] == rows["m01"]["nearest_K"]  # the replicate does not count
    assert total["drift_largest_K"] == max(row["drift_K"] for row in rows.values())


def test_a_lone_member_has_no_distances(settings, finish, tiny_grid):
    finish("m00")
    distances = Distances(FinishedEnsemble.read(settings, tiny_grid()))
    assert distances.by_member()["m00"]["nearest"] is None
    assert distances.by_range()["all depths"]["between_median_K"] is None


def test_states_are_rounded_as_in_an_archive(tiny_grid, tiny_states, tmp_path):
    grid = tiny_grid()
    state = tiny_states(grid, batch=2, seed=3)
    path = tmp_path / "rounded.zarr"
    with ArchiveWriter(path, grid=grid, equation_of_state="veros-vallis", rounding=True) as writer:
        writer.append(state, member=0, time=1.0, split=0)
    stored, found = StateArchive.open(path).read(np.arange(2)), rounded(state)
    assert torch.equal(stored.temperature.double(), found.temperature)
    assert torch.equal(stored.salinity.double(), found.salinity)


def test_rounding_hides_an_inversion_that_is_smaller_than_its_step(tiny_grid):
    grid = tiny_grid()
    wet = torch.from_numpy(grid.wet)
    # A linear stratification but for the top two levels, of which the lower is lighter by a trace.
    profile = torch.tensor([20.0, 20.0001, 15.0, 10.0, 5.0], dtype=torch.float64)
    salt = torch.full_like(profile, 35.0)
    state = State(*(f[None, :, None, None] * wet for f in (profile, salt)))
    rows = rounding_rows([state], grid)
    assert rows["exact"]["any_inversion_percent"] > 0
    assert rows["rounded"]["any_inversion_percent"] == 0
    assert rows["exact"]["density_error_percent"] == 0
    change = rows["largest change of a member"]
    assert change["any_inversion_percent"] == rows["exact"]["any_inversion_percent"]
    assert change["near_neutral_pairs_percent"] == 0
