"""A tiny ensemble."""

from __future__ import annotations

import pytest

from data.basin.design import EnsembleSettings


@pytest.fixture
def settings(tmp_path) -> EnsembleSettings:
    """Three points, of which one is for testing, with a replicate; the first is continued."""
    return EnsembleSettings(
        start=tmp_path / "start.npz",
        finished=tmp_path / "finished",
        ranges={"wind_stress_scale": {"low": 0.5, "high": 2.0}, "warming": {"low": 0.5, "high": 4}},
        sequence_seed=1,
        forcing_seed=2,
        members=3,
        test=[1],
        outside={"windy": {"wind_stress_scale": 1.25}},
        replicates=[1],
        continued=[0],
        continued_years=45,
        continued_interval=5,
        early_years=[1, 5],
        record_years=10,
        record_interval_days=450,
    )
