"""A tiny ensemble whose finished members are made up: uniform anomalies that decay."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from data.basin.design import EnsembleSettings
from data.basin.ensemble import finished_file
from data.basin.member_files import MemberRecord, write_member


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


@pytest.fixture
def finish(settings, tiny_grid, tiny_states, tmp_path) -> Callable[..., None]:
    """Writes a finished member: everywhere `offset` [K] plus `gap` [K], which decays in `tau`."""
    grid = tiny_grid()
    state = tiny_states(grid, batch=1, seed=0)
    base = [field[0].double().numpy() for field in (state.temperature, state.salinity)]

    def write(name: str, *, offset: float = 0.0, gap: float = 0.0, tau: float = 10.0) -> None:
        member = next(one for one in settings.planned if one.name == name)
        start = settings.record_times[-1] if name.endswith("_continued") else 0
        record = MemberRecord(tmp_path / name, grid, plan=member.plan())

        def fields(age: float) -> tuple[np.ndarray, np.ndarray]:
            anomaly = offset + gap * np.exp(-(start + age) / tau)
            return base[0] + anomaly * grid.wet, base[1] + anomaly * grid.wet / 8

        for age in member.record_times:
            record.keep_snapshot(age, *fields(age))
        for year in range(1, round(member.record_times[-1]) + 1):
            record.keep_year(year, *fields(year), kinetic_energy=1e-4, with_fields=False)
        end = SimpleNamespace(
            year=321.0,
            state=lambda: fields(member.record_times[-1]),
            velocities=lambda: (np.zeros(grid.shape),) * 2,
        )
        path = finished_file(settings, name)
        write_member(path, record, end, start_year=310.0, tracer_step_days=2.0)

    return write
