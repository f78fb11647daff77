"""Running a perturbed-parameter ensemble of the basin: branching, recording, resuming."""

from __future__ import annotations

import numpy as np
import pytest

from data.basin.design import EnsembleSettings
from data.basin.ensemble import (
    _integrate,
    _start,
    _stops,
    _task,
    finished_file,
    plan_of,
    run_ensemble,
)
from data.errors import UserError

COARSE = {"resolution": 10.0, "levels": 8, "surface_thickness": 100.0, "tracer_step_days": 4.0}


@pytest.fixture
def settings(tmp_path) -> EnsembleSettings:
    pytest.importorskip("veros")
    from data.basin.run import BasinRun

    settings = EnsembleSettings(
        basin=COARSE,
        start=tmp_path / "start.npz",
        finished=tmp_path / "finished",
        reference_years=1,
        ranges={"warming": {"low": 0.0, "high": 4.0, "scale": "linear"}},
        sequence_seed=1,
        forcing_seed=2,
        members=1,
        early_years=[1],
        record_years=0.5,
        record_interval_days=180,
        checkpoint_years=1,
    )
    temperature, salinity = BasinRun(settings.basin, seed=0).state()
    np.savez(settings.start, thetao=temperature, so=salinity, year=np.float64(100.0))
    return settings


@pytest.mark.slow
def test_members_branch_are_recorded_and_resume_exactly(settings, tmp_path):
    run_ensemble(settings, directory=tmp_path / "whole", workers=1)
    path = finished_file(settings, "m00")
    whole = dict(np.load(path))
    assert whole["age"].tolist() == [1.0, 1.5]
    assert whole["start_year"] == 101.0
    assert whole["mean_year"].tolist() == [1.0]
    assert whole["year"].tolist() == [1.0, 2.0]

    path.unlink()
    task = _task(settings, settings.recorded[0], tmp_path / "parted")

    def interrupt(years: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _integrate(task, interrupt)
    assert not path.exists()
    _integrate(task, lambda years: None)
    parted = dict(np.load(path))
    assert whole.keys() == parted.keys()
    different = [name for name in whole if not np.array_equal(whole[name], parted[name])]
    assert different == []


@pytest.mark.slow
def test_a_member_that_diverges_is_run_again_with_half_the_tracer_step(
    settings, tmp_path, monkeypatch
):
    from data.basin.run import BasinRun, BlowUp

    advance = BasinRun.advance_to

    def diverge(run, year, **options):
        if run._setup.parameters.tracer_step_days == 4.0:
            raise BlowUp("the basin blew up")
        advance(run, run.year, **options)
        options["after_step"]()
        run.set_year(year)

    monkeypatch.setattr(BasinRun, "advance_to", diverge)
    _integrate(_task(settings, settings.reference, tmp_path), lambda years: None)
    stored = np.load(finished_file(settings, "reference"))
    assert float(stored["tracer_step_days"]) == 2.0
    assert str(stored["plan"]) == plan_of(settings, settings.reference)


@pytest.mark.slow
def test_a_member_that_oscillates_is_run_again_with_half_the_tracer_step(
    settings, tmp_path, monkeypatch
):
    judged = []

    def once(temperatures, grid) -> bool:
        judged.append(len(temperatures))
        return len(judged) == 1

    monkeypatch.setattr("data.basin.ensemble.oscillates", once)
    _integrate(_task(settings, settings.reference, tmp_path), lambda years: None)
    assert float(np.load(finished_file(settings, "reference"))["tracer_step_days"]) == 2.0
    assert judged == [1] * (1 + len(settings.reference.record_times)), "only states of one step"


@pytest.mark.slow
def test_a_member_that_diverges_twice_is_named(settings, tmp_path, monkeypatch):
    from data.basin.run import BasinRun, BlowUp

    def diverge(run, year, **options):
        raise BlowUp("the basin blew up in model year 1.00")

    monkeypatch.setattr(BasinRun, "advance_to", diverge)
    with pytest.raises(UserError, match=r"^reference: the basin blew up in model year 1\.00"):
        _integrate(_task(settings, settings.reference, tmp_path), lambda years: None)


@pytest.mark.slow
def test_finished_members_are_not_run_again(settings, tmp_path, monkeypatch):
    settings.finished.mkdir()
    for member in (settings.reference, *settings.planned):
        np.savez(finished_file(settings, member.name), plan=np.array(plan_of(settings, member)))
    monkeypatch.setattr("data.basin.ensemble.run_side_by_side", lambda *_, **__: pytest.fail("ran"))
    run_ensemble(settings, directory=tmp_path, workers=1)


def test_members_of_another_design_are_not_taken_for_finished(settings, tmp_path):
    settings.finished.mkdir()
    for member in (settings.reference, *settings.planned):
        np.savez(finished_file(settings, member.name), plan=np.array(plan_of(settings, member)))
    other = EnsembleSettings.model_validate(settings.model_dump() | {"forcing_seed": 3})
    with pytest.raises(UserError, match=r"reference\.npz was simulated with other settings"):
        run_ensemble(other, directory=tmp_path, workers=1)


def test_an_ensemble_that_cannot_start_is_refused_at_once(settings, tmp_path):
    with pytest.raises(UserError, match="give --workers 1 or more"):
        run_ensemble(settings, directory=tmp_path, workers=0)
    settings.start.unlink()
    with pytest.raises(UserError, match="the start state of the ensemble, does not exist"):
        run_ensemble(settings, directory=tmp_path, workers=1)


def test_a_year_is_stopped_at_each_record_in_it():
    assert _stops([1.0, 1.5, 2.25], 1) == [1.0]
    assert _stops([1.0, 1.5, 2.25], 2) == [1.5, 2.0]
    assert _stops([1.0, 1.5, 2.25], 3) == [2.25, 3.0]


def test_diffusivities_too_large_for_the_grid_are_refused(settings, tmp_path):
    steep = settings.basin.model_copy(update={"gm_diffusivity": 1e6})
    task = _task(settings, settings.reference, tmp_path).model_copy(update={"parameters": steep})
    with pytest.raises(UserError, match=r"reference: .*isoneutral"):
        _integrate(task, lambda years: None)


def test_the_warming_is_stronger_towards_the_poles(settings):
    latitude = np.array([0.0, 35.26, 69.0])
    warm, _ = settings.basin.model_copy(update={"warming": 2.0}).restoring_targets(latitude, 0.0)
    cold, _ = settings.basin.restoring_targets(latitude, 0.0)
    np.testing.assert_allclose((warm - cold)[0], [1.5, 2.0, 2.807], atol=1e-3)


def test_a_run_of_joined_cells_begins_with_the_means_of_a_finer_start(settings):
    """In the year that the design says."""
    from data.basin.run import BasinRun

    finer = settings.basin.model_copy(update={"resolution": 5.0, "tracer_step_days": 1.0})
    fine = BasinRun(finer, seed=0)
    temperature, salinity = fine.state()
    np.savez(settings.start, thetao=temperature, so=salinity, year=np.float64(100.0))
    basin = settings.basin.model_copy(update={"topography_resolution": 5.0})
    coarse = settings.model_copy(update={"basin": basin, "start_year": 90.0})
    task = _task(coarse, coarse.reference, settings.finished)
    assert '90"' in task.plan
    run = BasinRun(basin, seed=0)
    assert _start(run, task) == run.year == 90.0
    heat = [(one.state()[0] * one.grid().volume).sum() for one in (run, fine)]
    water = [one.grid().volume.sum() for one in (run, fine)]
    assert heat[0] / water[0] == pytest.approx(heat[1] / water[1], rel=0.05)


def test_a_start_of_another_grid_is_refused(settings):
    from data.basin.run import BasinRun

    basin = settings.basin.model_copy(update={"resolution": 5.0, "tracer_step_days": 1.0})
    other = settings.model_copy(update={"basin": basin})
    with pytest.raises(UserError, match="give another start"):
        _start(BasinRun(basin, seed=0), _task(other, other.reference, settings.finished))
