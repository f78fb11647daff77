"""The expectation at given conditions, against latents whose mean is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from data.conditions import Conditions, ConditionSettings, ConditionSpace
from latent_diffusion.expectation import Expectation
from latent_diffusion.noise import member_generator

SHAPE = (2, 3, 4)
SETTINGS = ConditionSettings(parameters={"gm": "log"}, season=True, age=True)
GM = np.geomspace(500, 2000, 12)


def space() -> ConditionSpace:
    age = np.linspace(50, 110, len(GM))
    values = {"gm": GM, "season": np.linspace(0, 0.9, len(GM)), "age": age}
    return ConditionSpace.of(Conditions(values), np.arange(len(GM)), SETTINGS)


def courses(*, noise: float = 0.0) -> torch.Tensor:
    """Coefficients `m t c h w` that are linear functions of log GM."""
    generator = torch.Generator().manual_seed(0)
    constant, slope = torch.randn(2, 6, *SHAPE, generator=generator)
    point = torch.from_numpy((np.log(GM) - np.log(GM).mean()) / np.log(GM).std()).float()
    noises = noise * torch.randn(len(GM), 6, *SHAPE, generator=generator)
    return constant + point[:, None, None, None, None] * slope + noises


def expectation(*, noise: float = 0.0) -> Expectation:
    found = space()
    members = Conditions({"gm": GM, "season": GM, "age": GM})
    return Expectation.of(
        courses(noise=noise), found.point(members), space=found, scale=torch.ones(2, 1, 1)
    )


def at(**values: float) -> Conditions:
    given = {"gm": 1234.0, "season": 0.1, "age": np.inf} | values
    return Conditions({name: np.array([value]) for name, value in given.items()})


def test_it_interpolates_between_members_season_and_age_included():
    conditions = at(age=70.0)
    found = space()
    whole = torch.from_numpy(found.course(conditions)[0]).float()
    weight = float(found.point(conditions)[0, 0])
    ends = courses()[[0, -1]]
    first, last = found.point(Conditions({"gm": GM[[0, -1]], "season": GM, "age": GM}))[:, 0]
    between = ends[0] + (weight - first) / (last - first) * (ends[1] - ends[0])
    expected = torch.einsum("t,tchw->chw", whole, between)
    torch.testing.assert_close(expectation().mean(conditions)[0], expected, atol=0.02, rtol=0)


def test_a_saved_expectation_does_not_confuse_its_parameters(tmp_path):
    """Their names are not in the order of the alphabet, in which JSON files keep them."""
    wind = np.random.default_rng(0).permutation(np.geomspace(0.5, 2.0, len(GM)))
    values = {"wind": wind, "gm": GM}
    settings = ConditionSettings(parameters={"wind": "log", "gm": "log"})
    found = ConditionSpace.of(Conditions(values), np.arange(len(GM)), settings)
    response = torch.from_numpy(np.log(GM)).float()[:, None, None, None, None]
    model = Expectation.of(
        response.expand(-1, 1, *SHAPE),
        found.point(Conditions(values)),
        space=found,
        scale=torch.ones(2, 1, 1),
    )
    model.save_pretrained(tmp_path)
    conditions = Conditions({"wind": np.array([0.6]), "gm": np.array([1800.0])})
    again = Expectation.from_pretrained(tmp_path).mean(conditions)
    torch.testing.assert_close(again, model.mean(conditions))
    torch.testing.assert_close(again, torch.full_like(again, np.log(1800.0)), atol=0.05, rtol=0)


def test_draws_have_the_predicted_mean_and_the_spread_of_a_new_member():
    model, conditions = expectation(noise=0.5), at().at([0] * 2000)
    drawn = model.draw(conditions, [member_generator(0, m) for m in range(2000)])
    torch.testing.assert_close(drawn.mean(dim=0), model.mean(at())[0], atol=0.15, rtol=0)
    error = (expectation().mean(at()) - model.mean(at())).square().mean()
    new_member = 0.5**2 * np.square(space().course(at())).sum()
    assert 0.7 < drawn.var(dim=0).mean() / (error + new_member) < 1.5


def test_a_draw_does_not_depend_on_its_batch():
    model = expectation(noise=0.5)
    alone = model.draw(at(), [member_generator(0, 1)])
    batch = model.draw(at().at([0, 0]), [member_generator(0, m) for m in (0, 1)])
    torch.testing.assert_close(batch[1], alone[0])


def test_it_survives_a_file(tmp_path):
    model = expectation(noise=0.5)
    model.save_pretrained(tmp_path)
    again = Expectation.from_pretrained(tmp_path)
    assert again.space == model.space
    torch.testing.assert_close(again.mean(at()), model.mean(at()), atol=0, rtol=0)
    torch.testing.assert_close(
        again.draw(at(), [member_generator(0, 0)]), model.draw(at(), [member_generator(0, 0)])
    )


def test_a_file_from_before_there_were_units_is_read(tmp_path):
    model = expectation()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["space"].pop("units") == {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Expectation.from_pretrained(tmp_path).space == model.space


def test_unknown_conditions_are_those_of_training_members_at_equilibrium():
    unknown = expectation().unknown([member_generator(0, m) for m in range(64)])
    found = {float(f"{value:.6g}") for value in unknown.values["gm"]}
    assert found <= {float(f"{value:.6g}") for value in GM}
    assert len(found) > 6
    assert (unknown.values["age"] == np.inf).all()
    assert 0 <= unknown.values["season"].min() < 0.2 < 0.8 < unknown.values["season"].max() < 1


def test_half_precision_networks_leave_the_regression_as_it_is():
    model = expectation(noise=0.5)
    exact = model.mean(at())
    assert model.half().mean(at()).float() == pytest.approx(exact, abs=0.02)


def test_no_training_member_is_out_of_its_own_range():
    """Standardising and going back rounds."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        gm = generator.uniform(100, 2000, 12)
        season = np.linspace(0, 0.9, 12)
        conditions = Conditions({"gm": gm, "season": season, "age": np.linspace(50, 110, 12)})
        found = ConditionSpace.of(conditions, np.arange(12), SETTINGS)
        model = Expectation.of(
            courses(), found.point(conditions), space=found, scale=torch.ones(2, 1, 1)
        )
        unknown = model.unknown([member_generator(0, m) for m in range(40)])
        found.check(unknown, extrapolate=False)
