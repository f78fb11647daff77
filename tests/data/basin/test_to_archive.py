"""Records of a simulated ensemble become an archive."""

from __future__ import annotations

import numpy as np
import pytest

from data.archive.reader import StateArchive
from data.basin import to_archive as simulation_archive
from data.basin.simulate import MemberSettings, SimulationSettings
from data.basin.to_archive import write_simulation_archive
from data.errors import UserError


@pytest.fixture
def ensemble(tmp_path, small_grid, random_state, monkeypatch):
    """Settings and folder of two members with 24 records each on the small grid."""
    monkeypatch.setattr(simulation_archive, "basin_grid", lambda member: small_grid)
    settings = SimulationSettings(
        spin_up=MemberSettings(name="spin_up", seed=0),
        spin_up_years=100.0,
        members=[
            MemberSettings(name="a", seed=1),
            MemberSettings(name="b", seed=2, wind_stress_scale=1.5),
        ],
        adjust_years=30.0,
        record_years=10.0,
    )
    for number, member in enumerate(settings.members):
        folder = tmp_path / "runs" / member.name / "records"
        folder.mkdir(parents=True)
        for record, year in enumerate(settings.record_times):
            state = random_state(small_grid, seed=100 * number + record, sea_level=False)
            np.savez(
                folder / f"{year:09.4f}.npz",
                thetao=state.temperature[0].numpy(),
                so=state.salinity[0].numpy(),
                year=np.float64(100.0 + year),
                kinetic_energy=np.float64(1e-4),
            )
    return settings, tmp_path / "runs"


def test_records_become_an_archive(ensemble, tmp_path):
    settings, directory = ensemble
    write_simulation_archive(
        settings, directory=directory, output=tmp_path / "a.zarr", gap_years=1.0
    )
    archive = StateArchive.open(tmp_path / "a.zarr")
    archive.verify()
    assert len(archive) == 48
    assert archive.equation_of_state == "veros-vallis"
    assert archive.salinity_units == "g/kg"
    assert archive.grid.periodic_x
    np.testing.assert_allclose(archive.time[:24], settings.record_times)
    np.testing.assert_array_equal(archive.parameters["wind_stress_scale"][[0, 24]], [1.0, 1.5])
    assert archive.attributes["members"] == ["a", "b"]
    assert archive.attributes["simulation_settings"]["spin_up_years"] == 100.0
    counts = archive.attributes["independent_states"]
    assert set(counts) == {"10 m", "200 m", "1000 m"}
    assert all(10 < count <= 48 for count in counts.values())  # the records are white noise
    with np.load(directory / "b" / "records" / "0032.5000.npz") as record:
        read = archive.read([24 + 5]).temperature[0].numpy()
        np.testing.assert_allclose(read, record["thetao"], atol=0.5 / 512 + 1e-6)


def test_unfinished_simulation(ensemble, tmp_path):
    settings, directory = ensemble
    (directory / "b" / "records" / "0032.5000.npz").unlink()
    with pytest.raises(UserError, match=r"member b has 23 of 24 records"):
        write_simulation_archive(settings, directory=directory, output=tmp_path / "a.zarr")


def test_damaged_record(ensemble, tmp_path):
    settings, directory = ensemble
    (directory / "b" / "records" / "0032.5000.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"0032.5000.npz is not a readable record"):
        write_simulation_archive(settings, directory=directory, output=tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
