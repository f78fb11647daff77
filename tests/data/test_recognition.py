"""What headers say: the model, the files with states, the equation of state."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

from data.errors import UserError
from data.findings import Finding
from data.readers.settings import Variables
from data.recognition import Recognised, equation_of_state, pattern_of, recognised


def of(model, *, attributes=None, temperature=None, salinity=None):
    fields = {"temperature": {"thetao": temperature or {}}, "salinity": {"so": salinity or {}}}
    return Recognised(Finding(model, ""), [], fields=fields, attributes=attributes or {})


POTENTIAL = {"standard_name": "sea_water_potential_temperature"}
CONSERVATIVE = {"standard_name": "sea_water_conservative_temperature"}
PRACTICAL = {"standard_name": "sea_water_practical_salinity"}
ABSOLUTE = {"standard_name": "sea_water_absolute_salinity"}
OPEN = {"standard_name": "sea_water_salinity"}


@pytest.mark.parametrize(
    ("found", "name", "check"),
    [
        (of("cf", attributes={"equation_of_state": "JMD95 (MITgcm)"}), "jmd95", False),
        (of("nemo", attributes={"eos": "simplified EOS"}), "nemo-seos", False),
        (of("cf", attributes={"equation_of_state": "veros-gsw"}), "veros-gsw", False),
        (of("nemo", temperature=CONSERVATIVE, salinity=ABSOLUTE), "nemo-teos10", True),
        (of("cf", temperature=CONSERVATIVE, salinity=OPEN), "nemo-teos10", True),
        (of("nemo", temperature=POTENTIAL, salinity=OPEN), "nemo-eos80", True),
        (of("mitgcm", temperature=POTENTIAL, salinity=PRACTICAL), "jmd95", False),
        (of("mitgcm-mds"), "jmd95", True),
        (of("veros", salinity=ABSOLUTE), "veros-gsw", True),
        (of("cf", attributes={"videos": "teos-10"}), "nemo-eos80", True),
    ],
)
def test_the_equation_of_state_is_what_the_files_say_or_marked(found, name, check):
    finding = equation_of_state(found)
    assert (finding.value, finding.check) == (name, check)


def test_fewest_patterns_that_match_exactly(tmp_path):
    names = ("A_1_grid_T.nc", "A_2_grid_T.nc", "A_1_grid_U.nc", "mesh.nc")
    paths = {name: tmp_path / name for name in names}
    for path in paths.values():
        path.touch()
    everything, states = [*paths.values()], [paths[name] for name in names[:2]]
    assert pattern_of(everything, [f"{tmp_path}/*.nc"]) == [f"{tmp_path}/*.nc"]
    assert pattern_of(states, [f"{tmp_path}/*.nc"]) == [f"{tmp_path}/A_*_grid_T.nc"]
    assert pattern_of(states[::-1], []) == [str(path) for path in states[::-1]]
    some = [paths["A_1_grid_T.nc"], paths["mesh.nc"]]
    assert pattern_of(some, []) == [*map(str, some)]


def test_mitgcm_runs_are_folders_with_their_time_step(tmp_path):
    (tmp_path / "T.0000000010.meta").write_text("nDims = [ 3 ];")
    (tmp_path / "data").write_text(" &PARM03\n deltaTmom=1800.,\n deltaTtracer= 86400.,\n &\n")
    for given in ([tmp_path], [tmp_path / "T.0000000010.meta"]):
        found = recognised(given, Variables())
        assert (found.reader.value, found.states) == ("mitgcm-mds", [tmp_path])
        assert found.options["time_step"].value == 86400


def test_files_without_states_are_refused_with_their_names(tmp_path):
    path = tmp_path / "flow.nc"
    xr.Dataset({"uo": (("time", "y", "x"), [[[1.0]]])}).to_netcdf(path)
    with pytest.raises(UserError, match=r"neither temperature nor salinity .* found uo"):
        recognised([Path(path)], Variables())
