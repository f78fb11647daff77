"""Core files of Argo floats: flags, data modes and errors; conversion by TEOS-10."""

from __future__ import annotations

import sys

import gsw
import netCDF4
import numpy as np
import pytest

from data.errors import UserError
from data.readers.profiles import read_observations

DEFAULTS = {"temperature": 0.1, "salinity": 0.02}
PRESSURE = np.array([[5, 500, 1000, 99999.0], [10, 400, 800, 1200]])
TEMPERATURE = np.array([[20, 10, 5, 99999.0], [21, 12, 8, 4]])
SALINITY = np.array([[36, 35.2, 35.0, 99999.0], [36.5, 35.3, 35.1, 34.9]])


def write_argo(path, *, mode="RD", position="11", leave_out=(), flags=None):
    """Two profiles; the adjusted values are higher by 1 dbar, 0.5 K and 0.1."""
    flags = {"TEMP": ["111 ", "1241"], **(flags or {})}
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("N_PROF", 2)
        file.createDimension("N_LEVELS", 4)
        file.createDimension("STRING8", 8)
        platform = file.createVariable("PLATFORM_NUMBER", "S1", ("N_PROF", "STRING8"))
        platform[:] = netCDF4.stringtochar(np.array(["1900001 ", "1900002 "], "S8"))
        write_flags(file, "DATA_MODE", ("N_PROF",), mode)
        write_flags(file, "POSITION_QC", ("N_PROF",), position)
        for name, values in {"LONGITUDE": [-30.0, 140.0], "LATITUDE": [40.0, -10.0]}.items():
            file.createVariable(name, "f8", ("N_PROF",), fill_value=99999.0)[:] = values
        data = {"PRES": (PRESSURE, 1, 2.4), "TEMP": (TEMPERATURE, 0.5, 0.002)}
        data["PSAL"] = SALINITY, 0.1, 0.01
        for name, (values, shift, error) in data.items():
            if name in leave_out:
                continue
            adjusted = np.where(values < 9e4, values + shift, values)
            write_values(file, name, values)
            write_values(file, f"{name}_ADJUSTED", adjusted)
            write_values(file, f"{name}_ADJUSTED_ERROR", np.where(values < 9e4, error, 99999.0))
            for flag in (f"{name}_QC", f"{name}_ADJUSTED_QC"):
                texts = flags.get(name, ["111 ", "1111"])
                write_flags(file, flag, ("N_PROF", "N_LEVELS"), texts)
    return path


def write_values(file, name, values):
    file.createVariable(name, "f4", ("N_PROF", "N_LEVELS"), fill_value=99999.0)[:] = values


def write_flags(file, name, dimensions, texts):
    variable = file.createVariable(name, "S1", dimensions, fill_value=" ")
    variable[:] = np.array([list(text) for text in texts], "S1").reshape(variable.shape)


def read(path, equation="nemo-teos10", *, convert=True):
    return read_observations(path, equation_of_state=equation, errors=DEFAULTS, convert=convert)


def of(observed, quantity):
    return observed.at(observed.quantity == quantity)


def test_good_values_of_each_data_mode_are_converted(tmp_path):
    observed, left_out, units = read(write_argo(tmp_path / "argo.nc"))
    # The fourth flag of the first profile is a fill; the third of the second is 4.
    assert (left_out, units) == (1, "degrees")
    salinity, temperature = of(observed, "salinity"), of(observed, "temperature")
    assert salinity.profile.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert temperature.profile.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(temperature.error, [*[0.1] * 3, *[0.002] * 3], rtol=1e-6)
    np.testing.assert_allclose(salinity.error, [*[0.02] * 3, *[0.01] * 4], rtol=1e-6)
    place = PRESSURE[1] + 1, 140.0, -10.0
    absolute = gsw.SA_from_SP(SALINITY[1] + 0.1, *place)
    conservative = gsw.CT_from_t(absolute, TEMPERATURE[1] + 0.5, place[0])
    depth = -gsw.z_from_p(place[0], -10.0)
    np.testing.assert_allclose(salinity.value[3:], absolute, rtol=1e-6)
    np.testing.assert_allclose(temperature.value[3:], conservative[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(temperature.top[3:], depth[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_array_equal(observed.top, observed.bottom)
    raw = gsw.SA_from_SP(SALINITY[0, :3], PRESSURE[0, :3], -30.0, 40.0)
    np.testing.assert_allclose(salinity.value[:3], raw, rtol=1e-6)


def test_potential_temperature_and_practical_salinity(tmp_path):
    observed = read(write_argo(tmp_path / "argo.nc"), "jmd95").observations
    np.testing.assert_allclose(of(observed, "salinity").value[:3], SALINITY[0, :3], rtol=1e-6)
    absolute = gsw.SA_from_SP(SALINITY[0, :3], PRESSURE[0, :3], -30.0, 40.0)
    potential = gsw.pt0_from_t(absolute, TEMPERATURE[0, :3], PRESSURE[0, :3])
    assert abs(potential - TEMPERATURE[0, :3]).max() > 0.05
    np.testing.assert_allclose(of(observed, "temperature").value[:3], potential, rtol=1e-6)


def test_profiles_without_a_good_position_are_left_out_and_counted(tmp_path):
    observed, left_out, _ = read(write_argo(tmp_path / "argo.nc", position="41"))
    assert set(observed.profile) == {1}
    assert left_out == 1 + 3 + 3


def test_flagged_pressure_takes_its_values_along(tmp_path):
    path = write_argo(tmp_path / "argo.nc", flags={"PRES": ["411 ", "1111"]})
    assert of(read(path).observations, "salinity").profile.tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": ("PRES",)}, "has no PRES, PRES_QC: expected a core file of Argo"),
        ({"leave_out": ("TEMP", "PSAL")}, "has no TEMP"),
        ({"flags": {"TEMP": ["9999", "4444"], "PSAL": ["3333", "4444"]}}, "no observed value"),
    ],
)
def test_unusable_files_are_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        read(write_argo(tmp_path / "argo.nc", **options))


def test_nothing_is_converted_unasked(tmp_path):
    path = write_argo(tmp_path / "argo.nc")
    with pytest.raises(
        UserError,
        match=r"in-situ temperature and practical salinity and pressure .* but nemo-teos10 takes "
        r"conservative temperature and absolute salinity .* --convert",
    ):
        read(path, convert=False)
    with pytest.raises(UserError, match="has in-situ temperature and pressure"):
        read(path, "jmd95", convert=False)


def test_missing_gsw_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gsw", None)
    with pytest.raises(UserError, match=r"pip install 'halocline\[observations\]'"):
        read(write_argo(tmp_path / "argo.nc"))
