"""Settings of guidance: the list of constraints, and inconsistent options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from configs import load_experiment
from data.errors import UserError
from data.grid import OceanGrid
from data.state import State
from guidance.build import build_guide
from guidance.climatology import Climatology, climatology
from guidance.guide import EstimateGuide, SampleGuide
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.steps import DualAscent
from guidance.term_settings import TermSettings
from guidance.terms import Ocean, Scales

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
KNOWN = {
    *("nearest_stable_state", "unstable_pairs", "physical_bounds"),
    *("mean_profile", "density_profile", "density_steps"),
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"acts_on": "noisy_sample", "every": 2}, "set every to 1"),
        ({"strength": "rising"}, "apply only to acts_on: noisy_sample"),
        ({"rate": 0.3}, "apply only to acts_on: noisy_sample"),
        ({"acts_on": "noisy_sample", "rate": 50}, "rate must be at most 1, found 50"),
        (
            {"acts_on": "noisy_sample", "strength": "rising", "inner_steps": 2},
            "with rising strength, each step is taken once; set inner_steps to 1",
        ),
        (
            {"acts_on": "noisy_sample", "strength": "dual_ascent", "inner_steps": 2},
            "set inner_steps to 1",
        ),
        ({"terms": []}, "there are no terms"),
        ({"terms": [{"unstable_pairs": {"start": 2}}]}, "start"),
        ({"terms": [{"unstable_pairs": {"weight": 0}}]}, "greater than 0"),
        ({"terms": [{"unstable_pairs": {"per": "ensemble"}}]}, "Extra inputs"),
        (
            {"terms": [{"unstable_pairs": {}, "mean_profile": {}}]},
            "a name, optionally with options",
        ),
        ({"terms": [3]}, "found 3"),
        ({"terms": {"0": {"weight": 3}}}, "terms is a list, which is replaced as a whole"),
        ({"step_cap": 0}, "greater than 0"),
        ({"start": 2}, "less than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        GuidanceSettings.model_validate(settings)


def test_an_unknown_constraint_is_refused_in_one_sentence_with_all_names():
    assert TermSettings.known.keys() >= KNOWN
    with pytest.raises(UserError) as caught:
        load_experiment(QUICKSTART, ["--guidance.terms", "[hinge]"])
    sentence = str(caught.value)
    assert "guidance.terms.0: there is no constraint hinge; the names are" in sentence
    assert all(name in sentence for name in KNOWN)
    assert "\n" not in sentence


@pytest.mark.parametrize("key", ["unstable_pairs", "windows", "per", "by", "damped", "budget"])
def test_a_former_key_is_refused_in_one_sentence_with_the_new_form(key):
    with pytest.raises(UserError) as caught:
        load_experiment(QUICKSTART, [f"--guidance.{key}", "0"])
    advice = "terms: [{" if key in ("unstable_pairs", "windows", "per") else "leave it out"
    assert f"guidance: the key {key} is no longer known" in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_an_option_is_named_by_its_place():
    with pytest.raises(
        UserError, match=r"guidance\.terms\.1\.weight: expected more than 0, found -1"
    ):
        overrides = ["--guidance.terms", "[mean_profile, {unstable_pairs: {weight: -1}}]"]
        load_experiment(QUICKSTART, overrides)


def test_constraints_have_names_or_names_with_options():
    written = "[nearest_stable_state, {unstable_pairs: }, {density_steps: {per: ensemble}}]"
    settings = GuidanceSettings.model_validate({"terms": yaml.safe_load(written)})
    assert [term.name for term in settings.terms] == [
        *("nearest_stable_state", "unstable_pairs", "density_steps")
    ]
    assert settings.terms[2].per == "ensemble"


def test_written_settings_are_read_back():
    for settings in (
        GuidanceSettings(),
        GuidanceSettings(terms=["mean_profile", {"unstable_pairs": {"start": 0.5, "weight": 2}}]),
    ):
        written = yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json")))
        assert GuidanceSettings.model_validate(written) == settings


def test_by_default_mixed_layers_are_mixed_first_and_the_rest_is_pulled_apart():
    first, then = GuidanceSettings().terms
    assert (first.name, first.start, first.until) == ("nearest_stable_state", 0.0, "last_step")
    assert (then.name, then.start, then.until) == ("unstable_pairs", "last_step", 1.0)


def test_only_means_of_the_batch_and_its_multiplier_couple_samples():
    assert not GuidanceSettings(terms=["mean_profile"]).couples_samples
    assert GuidanceSettings(terms=[{"mean_profile": {"per": "ensemble"}}]).couples_samples
    assert GuidanceSettings(acts_on="noisy_sample", strength="dual_ascent").couples_samples


@pytest.fixture
def ocean(grid: OceanGrid, noisy_state) -> Ocean:
    states, eos = noisy_state(batch=4, dtype=torch.float64), equation_of_state("nemo-seos")

    def known() -> Climatology:
        return climatology([states], grid=grid, eos=eos)

    mean = State.from_channels(states.to_channels().mean(0, keepdim=True), levels=grid.shape[0])
    scales = Scales(torch.ones(grid.shape[0]), torch.ones(grid.shape[0]))
    return Ocean(grid, eos, scales, mean, known)


@pytest.mark.parametrize("name", sorted(TermSettings.known))
def test_each_constraint_is_built_from_its_name(ocean: Ocean, noisy_state, name: str):
    settings = GuidanceSettings(terms=[{name: {"weight": 2.0, "start": 0.7}}])
    guide = build_guide(settings, ocean)
    assert isinstance(guide, EstimateGuide)
    (term,) = guide.terms
    assert (term.weight, term.window.start) == (2.0, 0.7)
    energy = term(noisy_state(noise=8.0, dtype=torch.float64))
    assert energy.isfinite().all() and (energy >= 0).all()
    torch.testing.assert_close(energy, 2 * term.term(noisy_state(noise=8.0, dtype=torch.float64)))


def test_the_mean_of_the_training_states_holds_the_mean_profiles(ocean: Ocean):
    for name in ("mean_profile", "density_profile"):
        (term,) = build_guide(GuidanceSettings(terms=[name]), ocean).terms
        assert term(ocean.mean).item() < 1e-3


def test_the_noisy_sample_is_guided_as_the_settings_say(ocean: Ocean):
    settings = GuidanceSettings(acts_on="noisy_sample", strength="dual_ascent", rate=3.0)
    guide = build_guide(settings, ocean)
    assert isinstance(guide, SampleGuide)
    assert guide.strength == DualAscent(3.0)
