"""A tiny ensemble of seven training members and a test member."""

from __future__ import annotations

import pytest

from data.basin.design import EnsembleSettings


@pytest.fixture
def settings(tmp_path) -> EnsembleSettings:
    """Members of 65 years, of which the last 40 are the equilibrium."""
    return EnsembleSettings(
        start=tmp_path / "start.npz",
        finished=tmp_path / "finished",
        ranges={
            "wind_stress_scale": {"low": 0.5, "high": 2.0},
            "warming": {"low": 0.0, "high": 4.0, "scale": "linear"},
        },
        sequence_seed=1,
        forcing_seed=2,
        members=8,
        test=[1],
        outside={"windy": {"wind_stress_scale": 1.25}},
        replicates=[1],
        early_years=[1, 2, 5, 10],
        record_years=55,
        record_interval_days=450,
    )
