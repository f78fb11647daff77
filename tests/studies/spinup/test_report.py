"""The report of a spin-up study, on made-up integrations."""

from __future__ import annotations

import json

import pytest

from data.errors import UserError
from guidance.settings import GuidanceSettings
from halocline import main
from integration.integrate import IntegrationResult
from integration.settings import IntegrationSettings, StartSettings
from studies.spinup import report as spinup
from studies.spinup.accounting import Account, PublishedModel
from studies.spinup.analysis import pooled
from studies.spinup.tables import NOTHING_YET, duration, spinup_table
from tests.studies.spinup.made_up import LEVELS, make_run

YEARS = {"truth": 20.0, "generated": 20.0, "training_mean": 10.0, "analytic": 10.0}


@pytest.fixture
def result() -> IntegrationResult:
    runs = [make_run(label, k, years) for label, years in YEARS.items() for k in range(3)]
    long_runs = [make_run("truth", 0, 60.0), make_run("analytic", 0, 80.0)]
    return IntegrationResult(runs, YEARS, long_runs)


@pytest.fixture
def run(basin_run):
    kinds = {"truth": "own", "generated": "generated", "training_mean": "training_mean"}
    starts = {
        label: StartSettings(states=kinds.get(label, label), members=3, years=years)
        for label, years in YEARS.items()
    }
    return basin_run.with_settings(integration=IntegrationSettings(starts=starts))


@pytest.fixture
def cost(run):
    """Made-up costs of the runs."""
    folder = run.directory
    (folder / "integration").mkdir(parents=True)
    seconds = {"autoencoder_seconds": 100.0, "diffusion_seconds": 200.0}
    (folder / "cost.json").write_text(json.dumps(seconds))
    measured = {"seconds_per_state": 0.5, "states": 16}
    (folder / "integration" / "sampling_cost.json").write_text(json.dumps(measured))


@pytest.mark.slow
def test_the_command_writes_results_and_figures_and_no_page(
    run, cost, result, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("studies.command_line.load_run", lambda config, overrides: run)
    monkeypatch.setattr(spinup, "finished_study", lambda run: result)
    monkeypatch.chdir(tmp_path)
    main(["study", "spinup", "report", "some.yaml"])
    docs = tmp_path / "docs"
    assert len(list((docs / "figures").glob("spinup_*.png"))) == 6
    assert {path.name for path in docs.rglob("*") if path.is_file()} == {
        "spinup.json",
        *(path.name for path in (docs / "figures").iterdir()),
    }
    assert "generated, 3 members, 20 years: 0 diverged" in capsys.readouterr().out
    content = json.loads((docs / "results" / "spinup.json").read_text())["spinup"]
    account = content["accounts"]["basin, rates over 5 years"]
    assert account["cold_settled"] and account["cold_years"] > 20
    assert account["training_seconds"] == 600.0
    assert account["data_seconds"] == pytest.approx(200 * account["year_seconds"])
    assert content["after"]["20"]["generated"]["members"] == 3
    assert "training_mean" not in content["after"]["20"]
    whole = {"spinup": content}
    assert "| truth | 3 | 3 | 20 | 0 |" in spinup_table(whole, "runs")
    assert "| analytic 0 | 80 |" in spinup_table(whole, "long")


def test_figures_show_all_seeds_under_one_label(run, result):
    unguided = GuidanceSettings(enabled=False, adjust=False)
    starts = {
        **run.settings.integration.starts,
        "generated_seed_1": StartSettings(states="generated", seed=1),
        "generated_unguided": StartSettings(states="generated", guidance=unguided),
    }
    settings = IntegrationSettings(starts=starts)
    renamed = spinup._seeds_as_one(run.with_settings(integration=settings))
    assert renamed == {"generated": "generated", "generated_seed_1": "generated"}
    more = [make_run("generated_seed_1", k, 15.0) for k in range(3)]
    years = {**YEARS, "generated_seed_1": 15.0}
    shown = pooled(IntegrationResult([*result.runs, *more], years, result.long_runs), renamed)
    assert shown.years == {**YEARS, "generated": 15.0}
    assert [run.years for run in shown.of("generated")] == [15.0] * 6
    assert len(shown.of("truth")) == 3 and len(shown.long_runs) == 2


@pytest.mark.slow
def test_output_and_figures_options_set_the_paths(run, cost, result, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.command_line.load_run", lambda config, overrides: run)
    monkeypatch.setattr(spinup, "finished_study", lambda run: result)
    output, figures = tmp_path / "mine.json", tmp_path / "drawn"
    words = ["some.yaml", "--output", str(output), "--figures", str(figures)]
    main(["study", "spinup", "report", *words])
    assert "runs" in json.loads(output.read_text())["spinup"]
    assert (figures / "spinup_cost.png").is_file()


def test_an_unfinished_study_is_reported(run, cost, result):
    """The plan and the published models; with one reference run also its results."""
    empty = spinup.report(run, IntegrationResult([], YEARS))
    assert empty["spinup"]["runs"]["truth"]["finished"] == 0
    assert list(empty["spinup"]["accounts"]) == ["DINO 1 degree", "DINO 1/4 degree"]
    for group in ("criterion", "drift_10", "long"):
        assert spinup_table(empty, group) == f"{NOTHING_YET}\n"
    one = spinup.report(run, IntegrationResult(result.of("truth")[:1], YEARS))
    assert "| truth | 1 |" in spinup_table(one, "drift_20")
    assert len(one["spinup"]["levels"]["20"]["truth"]["temperature"]) == LEVELS


def test_runs_that_are_too_short_to_drift_are_refused(run):
    with pytest.raises(UserError, match="to at least 3"):
        spinup.report(run, IntegrationResult([], {"truth": 2.0}))


def test_a_cold_start_that_has_not_settled_is_a_lower_bound():
    cold = spinup._cold([(None, 50.0), (12.0, 50.0)])
    assert cold == (50.0, False)
    assert spinup._cold([(10.0, 50.0), (20.0, 50.0)]) == (15.0, True)
    assert spinup._median([1.0, None, 2.0]) == 2.0
    assert spinup._median([1.0, None, None]) is None


def test_costs_are_amortised():
    account = Account(
        year_seconds=10.0,
        cold_years=100.0,
        cold_seconds=1000.0,
        cold_settled=True,
        sampling_seconds=1.0,
        adjustment_years=1.0,
        training_seconds=989.0,
        data_seconds=9890.0,
    )
    assert account.generated_seconds == 11.0
    assert account.ratio == pytest.approx(1000 / 11)
    assert account.pays_after(account.training_seconds) == 1
    assert account.pays_after(account.training_seconds + 1) == 2
    assert account.pays_after(float("nan")) is None
    figures = account.as_dict()
    assert figures["pays_training_and_data_after"] == 11
    assert figures["ratio_of_100_with_training"] == pytest.approx(100_000 / (989 + 1100))
    bound = {"after": {}, "accounts": {"basin": figures | {"cold_settled": False}}}
    shown = spinup_table({"spinup": bound}, "accounts")
    assert "| cold start / generated state | > 90.9 |" in shown


def test_a_published_model_has_an_account():
    account = PublishedModel(((3000.0, 2.0), (400.0, 120.0)), 50.0, 10.0, 24.0, 1e5).account()
    assert account.cold_seconds == 54_000 * 3600
    assert account.adjustment_seconds == 1200 * 3600
    assert account.data_seconds == 60_000 * 3600


def test_durations_and_unknown_tables():
    assert duration(12.0) == "12 CPU-s" and duration(7200.0) == "2 CPU-h"
    with pytest.raises(UserError, match="there is no table 'drifts_7'"):
        spinup_table({"spinup": {"after": {}}}, "drifts_7")
