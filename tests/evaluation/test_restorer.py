"""The comparison of decoded and restored states."""

from __future__ import annotations

import json

from autoencoder.train import train_codec
from autoencoder.train_restorer import train_restorer
from evaluation.restorer import main
from latent_diffusion.train import train_denoiser


def test_states_and_samples_are_judged_decoded_and_restored(
    tiny_experiment, tiny_config, restorer_overrides, tmp_path
):
    experiment = tiny_experiment(*restorer_overrides)
    for stage in (train_codec, train_restorer, train_denoiser):
        stage(experiment)
    output = tmp_path / "restorer.json"
    main([str(tiny_config), "--split", "test", "--output", str(output), *restorer_overrides])
    result = json.loads(output.read_text())
    names = ["decoded", "noise", *(f"restored, {n} step{'s' * (n > 1)}" for n in (1, 2, 4, 8))]
    assert list(result["variants"]) == list(result["samples"]) == names
    decoded = result["variants"]["decoded"]
    assert all(decoded.keys() == row.keys() for row in result["variants"].values())
    assert -1 <= decoded["energy_correlation_surface"] <= 1
    assert result["variants"]["noise"] != decoded
    assert {row["truth_density_error_percent"] for row in result["variants"].values()} == {
        decoded["truth_density_error_percent"]
    }
