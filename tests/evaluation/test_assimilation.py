"""The command that draws states given observations: on a tiny trained model, from files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.assimilation import Observed, representation_error
from data.archive.reader import StateArchive
from data.errors import UserError
from data.observations import Observations
from evaluation.assimilation import assimilate
from evaluation.innovations import Innovations
from guidance.observations import ObservationOperator
from latent_diffusion.noise import member_generator

DEPTHS = np.array([10.0, 40.0, 120.0])


def observations_of(archive: StateArchive, index: int) -> Observations:
    """Four profiles of temperature of a state, without noise."""
    grid = archive.grid
    lon = grid.longitude[[1, 3, 5, 6]].repeat(3)
    lat = grid.latitude[[3, 9, 7, 10]].repeat(3)
    where = Observations.of_points(
        "temperature",
        np.zeros(12),
        error=0.05,
        longitude=lon,
        latitude=lat,
        depth=np.tile(DEPTHS, 4),
        profile=np.arange(4).repeat(3),
    )
    seen = ObservationOperator(where, grid, sea_level=False)(archive.read([index]))[0].numpy()
    return Observations.of_points(
        "temperature",
        seen,
        error=0.05,
        longitude=lon,
        latitude=lat,
        depth=where.top,
        profile=where.profile,
    )


def write_csv(path: Path, observations: Observations) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["longitude", "latitude", "depth", "temperature", "profile"])
        for row in zip(
            observations.longitude,
            observations.latitude,
            observations.top,
            observations.value,
            observations.profile,
            strict=True,
        ):
            writer.writerow(row)
    return path


@pytest.fixture
def prepared(conditional, tmp_path):
    """A run whose assimilation takes 8 steps, and a file of profiles of a test state."""
    settings = conditional.settings.assimilation.model_copy(
        update={"errors": {"temperature": 0.05}, "steps": 8}
    )
    run = conditional.with_settings(assimilation=settings).with_members(3)
    observations = observations_of(run.archive, int(run.archive.indices("test")[3]))
    return run, write_csv(tmp_path / "profiles.csv", observations)


@pytest.mark.slow
def test_states_are_drawn_near_the_observations(prepared, tmp_path):
    run, file = prepared
    options = {"files": [file], "output": tmp_path / "out", "at": ["age=100"], "withhold": 0.25}
    report = assimilate(run, **options)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    rows = summary["rows"]
    assert list(rows)[:4] == ["prior", "updated", "guided", "guided_adjusted"]
    assert rows["updated"]["misfit"] < 0.75 * rows["prior"]["misfit"]  # hardly trained
    assert rows["guided_adjusted"]["density_error_percent"] == 0
    assert (summary["observations"], summary["kept_back"]) == (9, 3)
    assert set(summary["conditions"]) == {"gm", "season"}
    assert summary["conditions"]["gm"]["units"] == "m2 s-1"
    states = StateArchive.open(tmp_path / "out" / "states.zarr")
    assert len(states) == 3 and set(states.parameters) >= {"gm", "season", "age"}
    with (tmp_path / "out" / "observations.csv").open() as table:
        lines = list(csv.DictReader(table))
    assert len(lines) == 9 and float(lines[0]["prior_spread"]) > 0
    assert report.stat().st_size > 10_000
    assert " m2 s-1, inferred." in report.read_text()

    before = (tmp_path / "out" / "states.zarr" / "zarr.json").stat().st_mtime_ns
    assimilate(run, **options)
    assert (tmp_path / "out" / "states.zarr" / "zarr.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_other_observations_give_another_ensemble(prepared, tmp_path):
    run, file = prepared
    observed = Observed.read(run, [file], codec=run.codec())
    other = replace(observed, observations=observed.observations.at(np.arange(5)))
    assert observed.record != other.record
    assert (
        observed.ensemble(guided=False, conditions=None).record != run.ensemble(guided=False).record
    )


@pytest.mark.slow
def test_the_setting_localises_the_errors_of_the_mean(prepared, trained):
    """With null they are those of the whole ocean; a model without conditions has none."""
    run, file = prepared
    pipeline = run.pipeline()
    means, records = [], []
    for distance in (None, 1e9, 20_000.0):
        settings = run.settings.assimilation.model_copy(update={"localisation_km": distance})
        given = Observed.read(
            run.with_settings(assimilation=settings), [file], codec=pipeline.codec
        )
        posterior = given.posterior(pipeline)
        conditions = given.conditions(pipeline, [], members=2, extrapolate=False)[0]
        generators = [member_generator(0, k) for k in range(2)]
        means.append(pipeline.frame(conditions, generators, posterior=posterior).mean)
        records.append(given.record)
    whole, wide, local = means
    assert torch.allclose(whole, wide, atol=1e-4) and not torch.allclose(whole, local, atol=1e-2)
    assert records[0] != records[1] != records[2]
    other = trained.with_settings(assimilation=settings)
    unconditional = Observed.read(other, [file], codec=trained.codec())
    assert unconditional.posterior(trained.pipeline()).tapers is None


@pytest.mark.slow
def test_errors_include_what_the_codec_does_not_resolve(prepared):
    run, file = prepared
    codec = run.codec()
    observed = Observed.read(run, [file], codec=run.codec())
    error = representation_error(codec, run.archive)
    assert (error.temperature[:2] > 0).all()
    variance = np.diag(observed.error_covariance(observed.observations))
    np.testing.assert_allclose(variance, 0.05**2 + error.at(observed.observations) ** 2)


@pytest.mark.slow
def test_what_does_not_fit_is_refused(prepared, trained, tmp_path):
    run, file = prepared
    with pytest.raises(UserError, match="of one state: give --at for one point"):
        table = tmp_path / "points.csv"
        table.write_text("gm\n500\n900\n")
        Observed.read(run, [file], codec=run.codec()).conditions(
            run.pipeline(), [str(table)], members=2, extrapolate=False
        )
    with pytest.raises(UserError, match="--at says nothing"):
        observed = Observed.read(run, [file], codec=run.codec())
        plain = replace(observed, run=trained)
        plain.conditions(trained.pipeline(), ["gm=500"], members=2, extrapolate=False)
    observed = Observed.read(run, [file], codec=run.codec())
    for share, message in ((0.99, "leaves none"), (1.5, "give 0 or more, below 1")):
        with pytest.raises(UserError, match=message):
            observed.without(share, seed=0)
    table = file.read_text() + "-170.0,80.0,10.0,5.0,9\n"
    file.write_text(table)
    observed = Observed.read(run, [file], codec=run.codec(), leave_out=True)
    assert (len(observed.observations), observed.left_out) == (12, 1)


@pytest.mark.slow
def test_too_many_observations_are_refused_before_anything_is_drawn(
    prepared, tmp_path, monkeypatch
):
    run, file = prepared
    monkeypatch.setattr("latent_diffusion.posterior.MOST_BYTES", 1)
    with pytest.raises(UserError, match=r"^12 values .* give fewer observations"):
        assimilate(run, files=[file], output=tmp_path / "out", at=["gm=700"])
    assert not (tmp_path / "out").exists()


def test_ranks_of_a_fair_ensemble_are_flat_and_of_a_narrow_one_are_not():
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    where = Observations.of_points(
        "temperature",
        truth + 0.5 * random.normal(size=4000),
        error=0.5,
        longitude=np.zeros(4000),
        latitude=np.zeros(4000),
    )
    error = np.full(4000, 0.5)
    fair = Innovations(where, random.normal(size=(15, 4000)), error)
    narrow = Innovations(where, 0.2 * random.normal(size=(15, 4000)), error)
    assert fair.ranks().sum() == 4000
    assert fair.summary()["rank_p"] > 0.01
    assert narrow.summary()["rank_p"] < 1e-6
    assert fair.summary()["spread_error"] == pytest.approx(1.0, abs=0.06)
    assert narrow.summary()["spread_error"] < 0.6
    exact = Innovations(where, np.tile(where.value, (3, 1)), error)
    assert exact.summary()["misfit"] == 0 and exact.summary()["within_two_percent"] == 100
