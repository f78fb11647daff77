"""What a change of conditions does, from paired states."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data.errors import UserError
from evaluation.sensitivity import sensitivity


@pytest.mark.slow
def test_pairs_show_the_effect_of_a_parameter(conditional, tmp_path):
    """Water is warmer by 2 log(900 / 600) = 0.81 K; salinity does not depend on gm."""
    paths = sensitivity(conditional, at=["gm=600", "season=0"], to=["gm=900"], output=tmp_path)
    assert [path.name for path in paths] == ["difference.nc", "difference.png"]
    wet = conditional.archive.grid.wet
    with xr.open_dataset(paths[0]) as data:
        warming = data.thetao_difference.values
        assert np.isnan(warming[~wet]).all()
        assert 0.6 < warming[wet].mean() < 1.0
        assert np.abs(data.so_difference.values[wet]).mean() < 0.05
        assert data.thetao_deviation.values[wet].mean() < 0.3
        assert data.thetao_difference.units == "K"
        assert data.attrs["pairs"] == 3
        assert data.change == "gm=600 m2 s-1 season=0 to gm=900 m2 s-1"


@pytest.mark.parametrize(("at", "to"), [((), ()), (("points.csv",), ("gm=900",))])
def test_two_points_are_needed(tiny_run, tmp_path, at, to):
    with pytest.raises(UserError, match="give --at and --to NAME=VALUE"):
        sensitivity(tiny_run(), at=at, to=to, output=tmp_path)
