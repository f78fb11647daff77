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
        ({"strength": "rising"}, "'rising' belongs to acts_on: noisy_sample"),
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
    assert settings.windows["nearest_stable_state"][1] == settings.windows["unstable_pairs"][0]
    assert not settings.couples_samples
    assert GuidanceSettings(per="ensemble", budget=1.0).couples_samples
