"""Made-up records: of the members of a tiny ensemble, and of integrations."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from configs.run import Run
from data.basin.ensemble import finished_file
from data.basin.member_files import MemberRecord, write_member
from integration.member_run import MemberRun
from integration.recording import SERIES
from latent_diffusion import inference

TIME = np.arange(49) * 15 / 360  # years, of integrations


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
            with_fields = year in member.mean_years
            record.keep_year(year, *fields(year), kinetic_energy=1e-4, with_fields=with_fields)
        end = SimpleNamespace(
            year=321.0,
            state=lambda: fields(member.record_times[-1]),
            velocities=lambda: (np.zeros(grid.shape),) * 2,
        )
        path = finished_file(settings, name)
        write_member(path, record, end, start_year=310.0, tracer_step_days=2.0)

    return write


@pytest.fixture(scope="module")
def result_of(
    conditional: Run, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """Runs a study on the tiny conditional run, with few candidates for the conditions."""

    def result(study: Callable[..., object], **options: Any) -> dict[str, Any]:
        path = tmp_path_factory.mktemp("study") / "result.json"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inference, "CANDIDATES", 64)
            patch.setattr(inference, "ROUNDS", 2)
            study(conditional, output=path, **options)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    return result


@pytest.fixture
def made() -> Callable[..., MemberRun]:
    """Two years; the kinetic energy is `energy` times 2 after the start, which has none."""

    def run(
        label: str, energy: float, *, warming: float = 0.0, blow_up_year: float | None = None
    ) -> MemberRun:
        kinetic = energy * np.where(TIME > 0, 2.0, 0.0)
        return MemberRun(
            label=label,
            index=0,
            time=TIME,
            temperature=np.outer(warming * TIME / 2, np.ones(2)),
            salinity=np.zeros((len(TIME), 2)),
            series=dict.fromkeys(SERIES, kinetic),
            level_volume=np.ones(2),
            depth=np.array([50.0, 150.0]),
            thickness=np.full(2, 100.0),
            blow_up_year=blow_up_year,
        )

    return run
