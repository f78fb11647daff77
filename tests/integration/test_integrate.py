"""A-posteriori integration: tiny runs of the basin in spawned processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.basin.forcing import BasinParameters
from data.errors import UserError
from integration import integrate as module
from integration.figures import integration_drift
from integration.integrate import (
    Conditions,
    IntegrationResult,
    Integrations,
    Starts,
    finished,
    integrate_states,
)
from integration.member_run import MemberRun, load_arrays
from integration.recording import SERIES, plausible
from integration.study import summary as study_summary

PARAMETERS = BasinParameters(resolution=5.0, tracer_step_days=2.0)
SHAPE = (15, 28, 10)
DAY = 1 / 360
ANALYTIC = Starts([None], years=18 * DAY)


def plan(directory, starts=None, **changes) -> Integrations:
    """A study of a few days from the analytic state, or from other starts."""
    study = Integrations(
        starts={"analytic": ANALYTIC} if starts is None else starts,
        conditions=[Conditions(PARAMETERS, seed=k, start_year=2.0) for k in (1, 2)],
        directory=directory,
    )
    return replace(study, **changes)


def run_plan(directory, starts=None, **changes) -> IntegrationResult:
    return integrate_states(plan(directory, starts, **changes), workers=2)


def run_here(study: Integrations) -> IntegrationResult:
    """The same in this process, which spares the seconds that new ones take to begin."""
    for tasks in module._tasks(study):
        for task in tasks:
            module._integrate(task, lambda years: None)
    return finished(study)


def broken_starts() -> Starts:
    unstable = np.random.default_rng(0).normal(size=SHAPE) * 1e4
    return Starts([(unstable, 0 * unstable)], years=18 * DAY)


def make_run(label: str, change: float, *, blow_up_year: float | None = None) -> MemberRun:
    temperature = np.array([[10.0, 5.0, 0.0], [10.0 + change, 5.0, 0.0]])
    return MemberRun(
        label=label,
        index=0,
        time=np.array([0.0, 1.0]),
        temperature=temperature,
        salinity=0 * temperature + 35.0,
        series={"kinetic_energy": np.array([0.0, 1e-4])},
        level_volume=np.array([1.0, 3.0, 0.0]),  # the deepest level is dry
        depth=np.array([50.0, 250.0, 600.0]),
        thickness=np.array([100.0, 300.0, 400.0]),
        blow_up_year=blow_up_year,
    )


def result_of(*runs: MemberRun) -> IntegrationResult:
    return IntegrationResult(list(runs), {run.label: 1.0 for run in runs})


@pytest.mark.slow
def test_runs_are_recorded_kept_and_not_repeated(tmp_path):
    starts = {"analytic": ANALYTIC, "broken": broken_starts()}
    assert finished(plan(tmp_path, starts)).runs == []
    result = run_plan(tmp_path, starts)
    summary = result.summary()
    assert summary["analytic"]["blown_up"] == 0 and summary["broken"]["blown_up"] == 1
    assert summary["broken"]["drift_K"] is None
    run = result.of("analytic")[0]
    np.testing.assert_allclose(run.time, [0.0, 18 * DAY])
    assert run.kinetic_energy[0] < run.kinetic_energy[-1]
    assert 0.0 < run.drift < 1.0

    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    before = [path.stat().st_mtime_ns for path in files]
    again = run_plan(tmp_path, starts)
    assert [path.stat().st_mtime_ns for path in files] == before
    assert again.summary() == summary

    other = [Conditions(PARAMETERS, seed=3, start_year=2.0)]
    changed = run_here(plan(tmp_path, conditions=other)).of("analytic")[0]
    assert changed.temperature[-1].tolist() != run.temperature[-1].tolist()
    assert integration_drift(result).axes


def test_what_is_recorded_of_a_run(tmp_path):
    run = run_here(plan(tmp_path, record_days=6.0)).of("analytic")[0]
    assert set(run.series) == set(SERIES)
    assert all(np.isfinite(values).all() for values in run.series.values())
    assert (np.diff(run.series["processor_seconds"]) > 0).all()
    assert run.series["processor_seconds"][0] == pytest.approx(0, abs=0.1)
    assert (run.temperature_change[0] == 0).all() and (run.temperature_change[-1] > 0).any()
    (state,) = tmp_path.rglob("state_*.npz")
    volume = load_arrays(state)["thetao"]
    assert volume.shape == SHAPE and volume.dtype == np.float32


@pytest.mark.slow
def test_an_interrupted_run_continues_bit_for_bit(tmp_path, monkeypatch):
    """Stopped after day 12, saved on day 8: the days from 8 on are done again."""
    settings = {"record_days": 4.0, "checkpoint_years": 8 * DAY}
    study = plan(tmp_path / "interrupted", **settings)
    (task,), _ = module._tasks(study)

    def interrupt(years: float) -> None:
        if years > 11 * DAY:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module._integrate(task, interrupt)
    assert load_arrays(task.record)["time"][-1] == pytest.approx(8 * DAY)
    assert finished(study).runs == []
    (continued,) = run_here(study).runs
    (uninterrupted,) = run_here(plan(tmp_path / "not", **settings)).runs
    assert_same(continued, uninterrupted)
    assert not list(task.folder.glob("model_*"))


@pytest.mark.slow
def test_a_long_run_continues_the_short_one_bit_for_bit(tmp_path):
    starts = {"analytic": Starts([None], 8 * DAY, long_members=1, long_years=16 * DAY)}
    settings = {"record_days": 4.0}
    result = run_here(plan(tmp_path / "in_two", starts, **settings))
    (short,), (long,) = result.runs, result.long_runs
    assert short.years == pytest.approx(8 * DAY) and long.years == pytest.approx(16 * DAY)
    at_once = {"analytic": Starts([None], 16 * DAY)}
    (uninterrupted,) = run_here(plan(tmp_path / "at_once", at_once, **settings)).runs
    assert_same(long, uninterrupted)
    assert_same(short, uninterrupted.until(8 * DAY))


def assert_same(one: MemberRun, other: MemberRun) -> None:
    for name in ("time", "temperature", "salinity", "temperature_change", "salinity_change"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in set(SERIES) - {"processor_seconds"}:
        np.testing.assert_array_equal(one.series[name], other.series[name])
    np.testing.assert_array_equal(one.overturning, other.overturning)


def test_first_members_of_all_labels_come_first_and_long_runs_last(tmp_path):
    long = Starts([None, None], 1.0, long_members=1, long_years=3.0)
    tasks, long_tasks = module._tasks(plan(tmp_path, {"one": long, "two": Starts([None], 2.0)}))
    names = [(task.name, task.years) for task in (*tasks, *long_tasks)]
    assert names == [("one_000", 1.0), ("two_000", 2.0), ("one_001", 1.0), ("one_000", 3.0)]
    assert [task.continues for task in tasks] == [True, False, False]


@pytest.mark.slow
def test_balanced_starts_move_from_the_first_day_and_need_not_hold(tmp_path):
    starts = {"analytic": ANALYTIC, "broken": broken_starts()}
    result = run_plan(tmp_path, starts, velocities="balanced", record_days=6.0)
    at_rest = run_here(plan(tmp_path, record_days=6.0)).of("analytic")[0]
    run, broken = result.of("analytic")[0], result.of("broken")[0]
    np.testing.assert_allclose(run.time, [0, 6 * DAY, 12 * DAY, 18 * DAY])
    assert run.kinetic_energy[0] > 5 * at_rest.kinetic_energy[0]
    assert np.ptp(run.kinetic_energy) < np.ptp(at_rest.kinetic_energy)
    assert not broken.survived


def test_drift_is_weighted_by_thickness_of_wet_levels():
    assert make_run("truth", 0.2).drift == pytest.approx(0.2 * np.sqrt(100 / 400))
    assert make_run("truth", 0.2).mean_temperature[1] == pytest.approx(6.3)


def test_summary_compares_with_the_truth_and_leaves_blown_up_runs_out():
    runs = [make_run("truth", 0.1), make_run("generated", 0.2)]
    runs.append(make_run("generated", 9.0, blow_up_year=0.5))
    summary = result_of(*runs).summary()
    assert summary["generated"]["drift_ratio_to_truth"] == pytest.approx(2.0)
    assert summary["generated"]["members"] == 2 and summary["generated"]["blown_up"] == 1


def test_no_ratio_without_drift_of_the_truth_over_as_many_years():
    still = result_of(make_run("truth", 0.0), make_run("generated", 0.2))
    assert still.summary()["generated"]["drift_ratio_to_truth"] is None
    alone = result_of(make_run("generated", 0.2))
    assert alone.summary()["generated"]["drift_ratio_to_truth"] is None
    runs = [make_run("truth", 0.1), make_run("generated", 0.2)]
    shorter = IntegrationResult(runs, {"truth": 0.5, "generated": 1.0})
    assert shorter.summary()["generated"]["drift_ratio_to_truth"] is None


def test_the_distance_from_the_truth_is_that_of_runs_of_equal_number():
    runs = [make_run("truth", 0.1), make_run("generated", 0.2), make_run("nearest", 0.1)]
    runs.append(make_run("broken", 0.2, blow_up_year=0.5))
    result = result_of(*runs, replace(make_run("generated", 0.7), index=1))
    found = study_summary(result)["by_start"]
    assert found["generated"]["distance_K"] == pytest.approx(0.1 * np.sqrt(100 / 400))
    assert found["nearest"]["distance_K"] == 0.0
    assert found["broken"]["distance_K"] is None and found["truth"]["distance_K"] is None
    # The second generated run has no truth of its number.
    assert found["generated"]["distances_K"] == [found["generated"]["distance_K"], None]
    assert found["broken"]["distances_K"] == [None] and found["truth"]["distances_K"] == []


def test_a_run_as_it_stood_before_it_blew_up():
    run = make_run("generated", 0.2, blow_up_year=0.5)
    assert not run.survived and run.until(0.4).survived and run.until(0.4).years == 0.0


def test_starts_that_do_not_fit_are_refused(tmp_path):
    wrong = np.zeros((15, 28, 11))
    with pytest.raises(UserError, match="shape"):
        run_plan(tmp_path, {"generated": Starts([(wrong, wrong)], 1.0)})
    missing = np.full(SHAPE, np.nan)
    with pytest.raises(UserError, match="non-finite"):
        run_plan(tmp_path, {"generated": Starts([(missing, missing)], 1.0)})
    with pytest.raises(UserError, match="conditions for 2 of 3 starts"):
        run_plan(tmp_path, {"analytic": Starts([None] * 3, 1.0)})


@pytest.mark.parametrize(("kelvin", "salt"), [(-60.0, 0.0), (60.0, 0.0), (0.0, 40.0), (0.0, -50.0)])
def test_values_of_no_ocean_count_as_blown_up(kelvin, salt):
    temperature, salinity = np.full((2, 3, 3), 10.0), np.full((2, 3, 3), 35.0)
    assert plausible(temperature, salinity)
    temperature[1, 1, 1] += kelvin
    salinity[1, 1, 1] += salt
    assert not plausible(temperature, salinity)
    temperature[1, 1, 1] = np.nan
    assert not plausible(temperature, np.full((2, 3, 3), 35.0))
