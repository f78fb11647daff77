"""What may be exported, for which model."""

from __future__ import annotations

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import torch

from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.restarts.formats import FORMATS, build_writer, default_name
from data.restarts.initial_condition import Written
from data.restarts.mitgcm import MitgcmFiles
from data.restarts.nemo import NemoPair
from guidance.balance import balanced_sea_level, balanced_velocities
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from integration.export import export_state, in_balance, parse_reference, require_stable


@pytest.fixture
def archive(tiny_archive) -> StateArchive:
    return StateArchive.open(tiny_archive)


def _temperature(path, grid):
    return torch.from_numpy(np.fromfile(path, ">f4").astype("f4").reshape(grid.shape))


def test_a_state_that_overturns_is_refused_until_it_is_adjusted(archive, tmp_path):
    with pytest.raises(
        UserError, match=r"state 2 of .* under veros-vallis in \d+ pairs .*--adjust"
    ):
        export_state(archive, 2, MitgcmFiles(), path=tmp_path / "start")
    assert list(tmp_path.iterdir()) == []
    written = export_state(archive, 2, MitgcmFiles(), path=tmp_path / "start", adjusted=True)
    stable = adjust(archive.read([2]), eos=equation_of_state("veros-vallis"), grid=archive.grid)
    assert torch.equal(_temperature(written.files[0], archive.grid), stable.temperature[0])
    require_stable(stable, archive.grid, equation_of_state("veros-vallis"), what="it")


def test_stability_is_that_of_the_targets_equation(archive, tmp_path):
    stable = adjust(archive.read([2]), eos=equation_of_state("veros-vallis"), grid=archive.grid)
    cold = stable.map(lambda field: field.clone())
    cold.temperature[0, 0, 3, 3], cold.temperature[0, 1, 3, 3] = 0.5, 2.0  # densest at 4 degC
    cold.salinity[0, :2, 3, 3] = 1.0
    with ArchiveWriter(
        tmp_path / "a.zarr", grid=archive.grid, equation_of_state="jmd95", sea_level=False
    ) as writer:
        writer.append(cold, member=0, time=0.0, split=0)
    fresh = StateArchive.open(tmp_path / "a.zarr")
    with pytest.raises(UserError, match="statically unstable under linear in 1 pairs"):
        export_state(fresh, 0, MitgcmFiles(), path=tmp_path / "b", target="linear")
    only = torch.zeros(fresh.grid.shape[1:], dtype=torch.bool)
    only[3, 3] = True
    column = cold.map(lambda field: field * only)
    require_stable(column, fresh.grid, equation_of_state("jmd95"), what="it")


def test_a_nemo_file_names_the_equation_it_is_stable_under(archive, tmp_path):
    written = export_state(
        archive, 0, NemoPair(), path=tmp_path / "start", target="nemo-seos", adjusted=True
    )
    assert "! made for &nameos ln_seos = .true." in written.namelist
    with netCDF4.Dataset(written.files[0]) as file:
        assert file.equation_of_state == "nemo-seos"
        assert file.member == 0


def test_other_kinds_of_temperature_and_salinity_are_refused(archive, tmp_path):
    with pytest.raises(UserError, match="nemo-teos10 takes sea_water_conservative_temperature"):
        export_state(archive, 0, MitgcmFiles(), path=tmp_path / "a", target="nemo-teos10")


def test_a_flow_in_balance_goes_to_the_writer_with_a_sea_level(archive, tmp_path):
    taken = []

    class Keeps:
        def write(self, initial, *, path):
            taken.append(initial)
            return Written((path,))

    export_state(archive, 0, Keeps(), path=tmp_path / "a", adjusted=True)
    assert taken[0].velocities is None and taken[0].state.sea_level is None
    export_state(archive, 0, Keeps(), path=tmp_path / "a", adjusted=True, balanced=True)
    initial, eos = taken[1], equation_of_state("veros-vallis")
    state = adjust(archive.read([0]), eos=eos, grid=archive.grid)
    level = balanced_sea_level(state, eos=eos, grid=archive.grid)
    assert torch.equal(initial.state.temperature, state.temperature)
    assert torch.equal(initial.state.salinity, state.salinity)
    assert torch.equal(initial.state.sea_level, level)
    _check_balance(initial.velocities, replace(state, sea_level=level), archive.grid)


def test_a_sea_level_of_the_states_own_is_kept_and_balanced(tiny_grid, tiny_states):
    grid, eos = tiny_grid(), equation_of_state("veros-vallis")
    state = tiny_states(grid, batch=1, seed=0, sea_level=True)
    kept, flow = in_balance(state, grid, eos)
    assert torch.equal(kept.sea_level, state.sea_level)
    _check_balance(flow, state, grid)
    still = replace(state, sea_level=balanced_sea_level(state, eos=eos, grid=grid))
    assert np.abs(flow.u - in_balance(still, grid, eos)[1].u).max() > 1e-3


@pytest.mark.parametrize("reference", ["floor", 300.0])
def test_a_reference_makes_the_sea_level_that_stills_it(tiny_grid, tiny_states, reference):
    grid, eos = tiny_grid(), equation_of_state("veros-vallis")
    state = tiny_states(grid, batch=1, seed=0, sea_level=True)
    high = replace(state, sea_level=(state.sea_level + 0.4) * torch.from_numpy(grid.wet[0]))
    moved, flow = in_balance(high, grid, eos, reference=reference)
    depth = np.inf if reference == "floor" else reference
    level = balanced_sea_level(state, eos=eos, grid=grid, depth=depth)
    area = torch.from_numpy(grid.area * grid.wet[0])
    means = [
        float((field * area).sum() / area.sum()) for field in (high.sea_level, moved.sea_level)
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    rise = (moved.sea_level - level)[:, grid.wet[0]]
    assert float(rise.std()) < 1e-6
    _check_balance(flow, replace(state, sea_level=level), grid, tolerance=1e-6)


def test_the_reference_is_the_states_sea_level_where_it_has_one(tiny_grid, tiny_states):
    grid, eos = tiny_grid(), equation_of_state("veros-vallis")
    state = tiny_states(grid, batch=1, seed=0, sea_level=True)
    own = in_balance(state, grid, eos, reference="sea_level")[1]
    np.testing.assert_array_equal(in_balance(state, grid, eos)[1].u, own.u)
    flat = replace(state, sea_level=None)
    floor = in_balance(flat, grid, eos, reference="floor")
    np.testing.assert_array_equal(in_balance(flat, grid, eos)[1].u, floor[1].u)
    with pytest.raises(UserError, match="no sea level as a reference of velocities"):
        in_balance(flat, grid, eos, reference="sea_level")


def test_references_as_a_user_types_them(archive, tmp_path):
    assert parse_reference("floor") == "floor" and parse_reference("1500") == 1500
    for wrong in ("bottom", "-5", "0", "nan", "inf"):
        with pytest.raises(UserError, match=f"unknown reference {wrong}; use floor"):
            parse_reference(wrong)
    with pytest.raises(UserError, match="use --velocities balanced"):
        export_state(archive, 0, NemoPair(), path=tmp_path / "a", adjusted=True, reference="floor")


def test_on_a_plane_the_user_is_told_to_start_at_rest(tiny_grid, tiny_states):
    degrees = tiny_grid()
    plane = replace(degrees, horizontal_units="km")
    state = tiny_states(degrees, batch=1, seed=0)
    with pytest.raises(UserError, match=r"on a plane \(in km\).* at rest \(--velocities rest\)"):
        in_balance(state, plane, equation_of_state("veros-vallis"))


def _check_balance(flow, state, grid, *, tolerance=0.0):
    """The flow is that of the state's sea level and density, number by number."""
    eos = equation_of_state("veros-vallis")
    expected = balanced_velocities(state, eos=eos, grid=grid, reference="sea_level")
    for values, wanted in zip(flow, expected, strict=True):
        assert float(wanted.abs().max()) > 0
        np.testing.assert_allclose(values, wanted[0].numpy(), rtol=0, atol=tolerance)


def test_formats_do_not_share_a_default_name():
    assert default_name("cf", 3) == "initial_condition_3.nc"
    assert default_name("nemo-restart", 3) == "initial_condition_3_nemo-restart.nc"
    assert default_name("mitgcm", 3).endswith(".bin")
    assert len({default_name(name, 3) for name in FORMATS}) == len(FORMATS)


def test_formats_take_their_own_options_only(tmp_path):
    templates = {
        name: tmp_path / "restart.nc" if name.endswith("restart") else None for name in FORMATS
    }
    writers = {
        type(build_writer(name, template=template, precision=None))
        for name, template in templates.items()
    }
    assert len(writers) == len(FORMATS)
    assert build_writer("mitgcm", precision="double") == MitgcmFiles(precision="double")
    with pytest.raises(UserError, match="mitgcm does not take --mesh-mask"):
        build_writer("mitgcm", mesh_mask=tmp_path)
    with pytest.raises(UserError, match="nemo-restart does not take --precision"):
        build_writer("nemo-restart", template=tmp_path, precision="single")
    with pytest.raises(UserError, match="nemo-restart needs --template"):
        build_writer("nemo-restart", velocities="rest")
    with pytest.raises(UserError, match="no format grib: use one of cf"):
        build_writer("grib")
