"""Settings that contradict each other are refused before anything runs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from configs.schema import GuidanceSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"acts_on": "noisy_sample", "by": "network"}, "guidance of the noisy sample takes by"),
        ({"acts_on": "noisy_sample", "every": 2}, "every: 1"),
        ({"strength": "rising"}, "belong to acts_on: noisy_sample"),
        ({"rate": 0.3}, "belong to acts_on: noisy_sample"),
        ({"acts_on": "noisy_sample", "rate": 50}, "at most all is taken: rate 1, found 50"),
        ({"nearest_stable_state": 0, "unstable_pairs": 0}, "no constraint has a weight"),
        ({"windows": {"unstable_pairs": [0.9, 0.5]}}, "ends at 0.5, before it begins at 0.9"),
        ({"by": "encoder"}, "found nearest_stable_state, unstable_pairs; set the weights"),
        ({"windows": {"hinge": [0, 1]}}, "windows"),
        ({"windows": {"unstable_pairs": [0, 2]}}, "windows"),
    ],
)
def test_ways_to_guide_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        GuidanceSettings.model_validate(settings)


def test_by_default_mixed_layers_are_mixed_first_and_the_rest_is_pulled_apart():
    settings = GuidanceSettings()
    used = {name for name, weight in settings.weights.items() if weight}
    assert used == {"nearest_stable_state", "unstable_pairs"}
    assert settings.window("nearest_stable_state")[1] == settings.window("unstable_pairs")[0] < 1
    assert not settings.couples_samples
    assert GuidanceSettings(per="ensemble", budget=1.0).couples_samples


def test_one_of_the_two_alone_counts_to_the_end():
    assert GuidanceSettings(unstable_pairs=0).window("nearest_stable_state") == (0, 1)
    assert GuidanceSettings(nearest_stable_state=0).window("unstable_pairs") == (0, 1)
    own = GuidanceSettings(windows={"unstable_pairs": (0.5, 1.0)})
    assert own.window("unstable_pairs") == (0.5, 1.0)
    assert own.window("nearest_stable_state")[1] < 1, "the other keeps its own"
