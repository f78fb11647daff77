"""From records of members to an archive: packing, certificates, splits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from configs import load_experiment
from data.archive.reader import StateArchive
from data.basin.certificate import Certificate, trend
from data.basin.design import EnsembleSettings
from data.basin.ensemble import finished_file
from data.basin.ensemble_archive import archived, write_ensemble_archive
from data.basin.forcing import PARAMETER_UNITS
from data.basin.member_files import (
    MemberRecord,
    pack,
    read_end,
    read_member,
    unpack,
    write_member,
)
from data.errors import UserError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
STEP = 1 / 512


@pytest.fixture
def settings(tmp_path) -> EnsembleSettings:
    return EnsembleSettings(
        start=tmp_path / "start.npz",
        finished=tmp_path / "finished",
        ranges={"wind_stress_scale": {"low": 0.5, "high": 2.0}},
        sequence_seed=1,
        forcing_seed=2,
        members=3,
        test=[1],
        outside={"windy": {"wind_stress_scale": 1.25}},
        early_years=[1, 2],
        record_years=8.75,
        record_interval_days=450,
    )


@pytest.fixture
def finish(settings, tiny_grid, tiny_states, tmp_path):
    """Writes the file of a finished member; returns the fields that it recorded."""
    grid = tiny_grid()

    def write(name: str):
        plan = next(member.plan() for member in settings.recorded if member.name == name)
        record = MemberRecord(tmp_path / name, grid, plan=plan)
        states = tiny_states(grid, batch=len(settings.record_times), seed=len(name))
        fields = [f.double().numpy() for f in (states.temperature, states.salinity)]
        for index, age in enumerate(settings.record_times):
            record.keep_snapshot(age, fields[0][index], fields[1][index])
        for year in range(1, 12):
            warmer = fields[0][0] + 0.02 * year * grid.wet
            record.keep_year(year, warmer, fields[1][0], kinetic_energy=1e-4, with_fields=year == 2)
        last, flow = (fields[0][-1], fields[1][-1]), (fields[0][0],) * 2
        end = SimpleNamespace(
            year=321.0, state=lambda last=last: last, velocities=lambda flow=flow: flow
        )
        path = finished_file(settings, name)
        write_member(path, record, end, start_year=310.0, tracer_step_days=2.0)
        return fields

    return write


def test_packing_is_exact_to_the_rounding():
    fields = np.random.default_rng(0).normal(15.0, 5.0, (7, 50))
    np.testing.assert_allclose(unpack(pack(fields, step=STEP), step=STEP), fields, atol=STEP / 2)


def test_a_finished_member_is_read_back(settings, finish, tiny_grid):
    temperature, salinity = finish("m00")
    member = read_member(finished_file(settings, "m00"), tiny_grid())
    assert member.age.tolist() == list(settings.record_times)
    np.testing.assert_allclose(member.temperature, temperature, atol=STEP / 2)
    np.testing.assert_allclose(member.salinity, salinity, atol=1 / 8192)
    assert member.mean_year.tolist() == [2]
    warmer = temperature[:1] + 0.04 * tiny_grid().wet
    np.testing.assert_allclose(member.mean_temperature, warmer, atol=STEP / 2)
    np.testing.assert_allclose(member.mean_salinity, salinity[:1], atol=1 / 8192)
    end_temperature, _, velocities, year = read_end(finished_file(settings, "m00"))
    np.testing.assert_allclose(end_temperature, temperature[-1], rtol=1e-6)
    assert velocities is not None
    assert year == 321.0


def test_a_steady_warming_is_certified(settings, finish, tiny_grid):
    finish("m00")
    grid = tiny_grid()
    yearly = read_member(finished_file(settings, "m00"), grid).yearly
    found = Certificate.of(yearly, grid.volume.sum(axis=(1, 2))).as_dict()
    assert found["temperature_K_per_century"] == pytest.approx([2.0] * 5, abs=1e-3)
    assert found["rms_temperature_K_per_century"] == pytest.approx(2.0, abs=1e-3)
    assert found["salinity_per_century"] == pytest.approx([0.0] * 5, abs=1e-3)


def test_a_trend_is_the_slope_a_century():
    year = np.arange(10.0)
    series = np.stack([3 + 0.5 * year, -year], axis=1)
    np.testing.assert_allclose(trend(series, year), [50.0, -100.0])


def test_half_of_the_regular_records_are_archived_in_all_seasons():
    kept = archived(7 + 48, early=7)
    assert kept[:7] == list(range(7))
    assert len(kept) == 7 + 24
    # Records are 1.25 years apart, so four in a row fall into the four seasons.
    seasons = [(k - 7) % 4 for k in kept[7:]]
    assert [seasons.count(season) for season in range(4)] == [6, 6, 6, 6]


def test_the_archive_is_split_by_member_and_knows_age_and_season(
    settings, finish, tiny_grid, tmp_path
):
    for member in settings.recorded:
        finish(member.name)
    path = tmp_path / "ensemble.zarr"
    write_ensemble_archive(settings, grid=tiny_grid(), output=path)
    archive = StateArchive.open(path)
    assert set(archive.member[archive.indices("train")]) == {0, 2}
    assert set(archive.member[archive.indices("test")]) == {1}
    assert set(archive.member[archive.indices("outside")]) == {3}
    first = archive.member == 0
    assert archive.parameters["age"][first][:3].tolist() == [1.0, 2.0, 3.25]
    assert archive.parameters["season"][first][:3].tolist() == [0.0, 0.0, 0.25]
    winds = [member.parameters.wind_stress_scale for member in settings.recorded]
    np.testing.assert_allclose(archive.parameters["wind_stress_scale"][first], winds[0])
    assert set(archive.attributes["certificates"]) == {"m00", "m01", "m02", "windy"}
    assert archive.attributes["tracer_step_days"]["m00"] == 2.0
    assert archive.units["wind_stress_scale"] == archive.units["season"] == "1"
    assert set(archive.units) == set(archive.parameters)


def test_all_parameters_of_the_shipped_ensembles_have_units():
    for name in ("ensemble", "coarse_basin"):
        ensemble = load_experiment(CONFIGS / f"{name}.yaml").data.ensemble
        assert {*ensemble.ranges} <= {*PARAMETER_UNITS}


def test_a_missing_member_is_named(settings, finish, tiny_grid, tmp_path):
    finish("m00")
    with pytest.raises(UserError, match="member m01 is not finished"):
        write_ensemble_archive(settings, grid=tiny_grid(), output=tmp_path / "ensemble.zarr")
    assert not (tmp_path / "ensemble.zarr").exists()


def test_members_of_another_design_are_not_archived(settings, finish, tiny_grid, tmp_path):
    for member in settings.recorded:
        finish(member.name)
    other = EnsembleSettings.model_validate(settings.model_dump() | {"sequence_seed": 2})
    with pytest.raises(UserError, match=r"m00\.npz was simulated with other settings"):
        write_ensemble_archive(other, grid=tiny_grid(), output=tmp_path / "ensemble.zarr")


def test_a_damaged_member_is_refused_in_one_sentence(settings, finish, tiny_grid):
    finish("m00")
    path = finished_file(settings, "m00")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"m00\.npz cannot be read"):
        read_member(path, tiny_grid())


def test_the_output_of_one_member_is_not_continued_by_another(tmp_path, tiny_grid):
    MemberRecord(tmp_path / "m00", tiny_grid(), plan="one")
    MemberRecord(tmp_path / "m00", tiny_grid(), plan="one")
    with pytest.raises(UserError, match="a member with other settings"):
        MemberRecord(tmp_path / "m00", tiny_grid(), plan="another")


def test_what_is_no_member_is_refused(tmp_path, tiny_grid):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="not a finished ensemble member"):
        read_member(tmp_path / "other.npz", tiny_grid())
    with pytest.raises(UserError, match="no run can start from it"):
        read_end(tmp_path / "other.npz")
