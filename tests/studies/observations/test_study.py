"""The study of observations, from a trained model to tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.state import State
from guidance.seawater import equation_of_state
from studies.observations import study
from studies.observations.columns import Judge, summarise
from studies.observations.settings import LABELS, NETWORKS
from studies.observations.study import run
from studies.observations.tables import COLUMNS, GROUPS, observations_table
from studies.twins import truths_of

OPTIONS = {"truths": 2, "members": 6, "steps": 12, "smoother_members": 20}


@pytest.fixture(scope="module")
def result(result_of):
    """The result of the tiny run."""
    return result_of(run, **OPTIONS)


def test_all_methods_are_judged_on_all_networks(result):
    assert set(result["networks"]) == set(NETWORKS)
    for network in result["networks"].values():
        assert set(network["rows"]) == set(LABELS)
        for row in network["rows"].values():
            assert all(np.isfinite(v) for v in row["mean"].values())
    # 120 profiles see all cells of the tiny ocean, so that nothing is left to judge there.
    assert "rmse_temperature" not in result["networks"]["profiles_120"]["rows"]["prior"]["mean"]
    assert [one["member"] for one in result["truths"]] == [4, 5]  # of the test split


def test_observations_help_every_method(result):
    rows = result["networks"]["profiles_12"]["rows"]
    floor = rows["training_states"]["mean"]["crps_temperature"]
    for name in ("optimal_interpolation", "localised_interpolation", "unknown_conditions"):
        assert rows[name]["mean"]["crps_temperature"] < floor
    assert rows["guided_adjusted"]["mean"]["density_error_percent"] == 0


def test_finished_truths_are_not_repeated(result, conditional, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "judge_truth", lambda *_: pytest.fail("judged again"))
    again = run(conditional, output=tmp_path / "again.json", **OPTIONS)
    found, former = (x["networks"]["section"]["rows"]["prior"]["mean"] for x in (again, result))
    assert found == pytest.approx(former)


@pytest.mark.parametrize("group", [None, *GROUPS])
def test_tables_are_small_and_have_all_methods(result, group):
    lines = observations_table(result, group).splitlines()
    assert len(lines) == 2 + len(LABELS)
    assert lines[0].count("|") <= 2 + 8
    if group is None or group.endswith("skill"):
        assert "±" in lines[2]


def test_columns_fit_into_a_table():
    assert all(len(columns) <= 8 for columns in COLUMNS.values())


def test_truths_are_spread_over_members(conditional):
    archive = conditional.archive
    assert archive.member[truths_of(archive, "test", 2)].tolist() == [4, 5]
    many = truths_of(archive, "test", 5)
    assert archive.member[many].tolist() == [4, 4, 4, 5, 5]
    assert np.diff(many[:3]).min() > 3
    assert len(truths_of(archive, "test", 1000)) == 40


def test_a_model_without_conditions_is_judged_too(trained, tmp_path):
    """Its autoencoder has no linear path either."""
    found = run(trained, output=tmp_path / "result.json", networks=["profiles_12"], **OPTIONS)
    rows = found["networks"]["profiles_12"]["rows"]
    assert set(rows) == set(LABELS) - {"known_conditions"}
    assert list(found["networks"]) == ["profiles_12"]
    assert all(np.isfinite(row["mean"]["crps_temperature"]) for row in rows.values())


@pytest.fixture
def judge(tiny_grid):
    grid = tiny_grid()
    return Judge(grid, equation_of_state("veros-vallis"))


class _Seen:
    """A twin whose observations are the temperatures of the top level."""

    def __init__(self, truth: State, error: float) -> None:
        self.truth = truth
        self.covariance = error**2 * np.eye(truth.temperature[0, 0].numel())
        self.observations = self
        self.value = self.operator(truth)[0].numpy()

    def operator(self, states: State) -> torch.Tensor:
        return states.temperature[:, 0].flatten(1).double()

    def seen_cells(self) -> dict[str, torch.Tensor]:
        seen = torch.zeros(self.truth.temperature.shape[1:], dtype=torch.bool)
        surface = seen.clone()
        surface[0] = True
        return {"temperature": surface, "salinity": seen}


def test_errors_are_those_where_nothing_was_observed(judge, tiny_states):
    truth = tiny_states(judge.grid, batch=1, seed=0)
    twin = _Seen(truth, 0.1)
    offset = torch.full_like(truth.temperature, 3.0)
    offset[:, 0] = 100.0
    states = State(truth.temperature + offset, truth.salinity - 0.5)
    scores = judge.scores(State.cat([states, states]), twin)
    assert scores["rmse_temperature"] == pytest.approx(3.0, rel=1e-5)
    assert scores["crps_salinity"] == pytest.approx(0.5, rel=1e-4)
    assert scores["within_two_errors_percent"] < 20  # land has no error here
    assert "square_error_surface_temperature" not in scores
    assert scores["square_error_500_m_temperature"] == pytest.approx(9.0, rel=1e-4)
    assert judge.scores(truth, twin)["mixed_layer_error_percent"] == 0


def test_each_truth_counts_once():
    def of(error: float, spread: float) -> dict[str, object]:
        plain = dict.fromkeys(("density_error_percent", "mixed_layer_error_percent"), error)
        plain |= {"within_two_errors_percent": 95.0, "cpu_seconds": 1.0}
        plain |= {f"{s}_{f}": error for s in ("rmse", "crps") for f in ("temperature", "salinity")}
        surface = "surface_temperature"
        return plain | {
            f"square_error_{surface}": error**2,
            f"square_spread_{surface}": spread**2,
            f"ranks_{surface}": [[0.5, 0.5], [0.5, 0.5]],
        }

    summary = summarise([of(1.0, 1.0), of(3.0, 1.0)])
    assert summary["mean"]["rmse_temperature"] == 2.0
    assert summary["deviation"]["rmse_temperature"] == pytest.approx(2**0.5)
    assert summary["mean"]["spread_surface_temperature"] == pytest.approx((1 / 5) ** 0.5)
    assert "spread_2000_m_salinity" not in summary["mean"]
