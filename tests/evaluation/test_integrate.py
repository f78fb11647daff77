"""A-posteriori integration: tiny runs of the basin in spawned processes."""

from __future__ import annotations

import numpy as np
import pytest

from data.basin_forcing import BasinParameters
from data.errors import UserError
from evaluation.figures import integration_drift
from evaluation.integrate import IntegrationResult, MemberRun, _plausible, integrate_states

PARAMETERS = BasinParameters(resolution=5.0, tracer_step_days=2.0)
SHAPE = (15, 28, 10)


def integrate(starts, directory, **changes) -> IntegrationResult:
    settings = {"parameters": PARAMETERS, "years": 0.05, "seed": 1, "start_year": 2.0, "workers": 2}
    return integrate_states(starts, directory=directory, **{**settings, **changes})


def make_run(label: str, change: float, *, blow_up_year: float | None = None) -> MemberRun:
    temperature = np.array([[10.0, 5.0, 0.0], [10.0 + change, 5.0, 0.0]])
    return MemberRun(
        label=label,
        index=0,
        time=np.array([0.0, 1.0]),
        temperature=temperature,
        salinity=0 * temperature + 35.0,
        kinetic_energy=np.array([0.0, 1e-4]),
        level_volume=np.array([1.0, 3.0, 0.0]),  # the deepest level is dry
        depth=np.array([50.0, 250.0, 600.0]),
        thickness=np.array([100.0, 300.0, 400.0]),
        blow_up_year=blow_up_year,
    )


def test_runs_are_recorded_kept_and_not_repeated(tmp_path):
    unstable = np.random.default_rng(0).normal(size=SHAPE) * 1e4
    starts = {"analytic": [None], "broken": [(unstable, 0 * unstable)]}
    result = integrate(starts, tmp_path)
    summary = result.summary()
    assert summary["analytic"]["blown_up"] == 0 and summary["broken"]["blown_up"] == 1
    assert summary["broken"]["drift_K"] is None
    run = result.of("analytic")[0]
    assert run.time.tolist() == [0.0, 0.05]
    assert run.kinetic_energy[0] < run.kinetic_energy[-1]
    assert 0.0 < run.drift < 1.0

    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = integrate(starts, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert again.summary() == summary

    other = integrate({"analytic": [None]}, tmp_path, seed=2)
    assert other.of("analytic")[0].temperature[-1].tolist() != run.temperature[-1].tolist()
    assert integration_drift(result).axes


def test_balanced_starts_move_from_the_first_day_and_need_not_hold(tmp_path):
    unstable = np.random.default_rng(0).normal(size=SHAPE) * 1e4
    starts = {"analytic": [None], "broken": [(unstable, 0 * unstable)]}
    result = integrate(starts, tmp_path, velocities="balanced", record_days=6.0)
    at_rest = integrate({"analytic": [None]}, tmp_path, record_days=6.0).of("analytic")[0]
    run, broken = result.of("analytic")[0], result.of("broken")[0]
    np.testing.assert_allclose(run.time, [0, 6 / 360, 12 / 360, 0.05])
    assert run.kinetic_energy[0] > 5 * at_rest.kinetic_energy[0]
    assert np.ptp(run.kinetic_energy) < np.ptp(at_rest.kinetic_energy)
    assert not broken.held


def test_drift_is_weighted_by_thickness_of_wet_levels():
    assert make_run("truth", 0.2).drift == pytest.approx(0.2 * np.sqrt(100 / 400))
    assert make_run("truth", 0.2).mean_temperature[1] == pytest.approx(6.3)


def test_summary_compares_with_the_truth_and_leaves_blown_up_runs_out():
    runs = [make_run("truth", 0.1), make_run("generated", 0.2)]
    runs.append(make_run("generated", 9.0, blow_up_year=0.5))
    summary = IntegrationResult(runs, 1.0).summary()
    assert summary["generated"]["drift_ratio_to_truth"] == pytest.approx(2.0)
    assert summary["generated"]["members"] == 2 and summary["generated"]["blown_up"] == 1


def test_no_ratio_without_drift_of_the_truth():
    still = IntegrationResult([make_run("truth", 0.0), make_run("generated", 0.2)], 1.0)
    assert still.summary()["generated"]["drift_ratio_to_truth"] is None
    alone = IntegrationResult([make_run("generated", 0.2)], 1.0)
    assert alone.summary()["generated"]["drift_ratio_to_truth"] is None


def test_starts_that_do_not_fit_are_refused(tmp_path):
    wrong = np.zeros((15, 28, 11))
    with pytest.raises(UserError, match="shape"):
        integrate({"generated": [(wrong, wrong)]}, tmp_path)
    missing = np.full(SHAPE, np.nan)
    with pytest.raises(UserError, match="not finite"):
        integrate({"generated": [(missing, missing)]}, tmp_path)
    with pytest.raises(UserError, match="sets of basin parameters"):
        integrate({"analytic": [None, None]}, tmp_path, parameters=[PARAMETERS])


@pytest.mark.parametrize(("kelvin", "salt"), [(-60.0, 0.0), (60.0, 0.0), (0.0, 40.0), (0.0, -50.0)])
def test_values_of_no_ocean_count_as_blown_up(kelvin, salt):
    temperature, salinity = np.full((2, 3, 3), 10.0), np.full((2, 3, 3), 35.0)
    assert _plausible(temperature, salinity)
    temperature[1, 1, 1] += kelvin
    salinity[1, 1, 1] += salt
    assert not _plausible(temperature, salinity)
    temperature[1, 1, 1] = np.nan
    assert not _plausible(temperature, np.full((2, 3, 3), 35.0))
