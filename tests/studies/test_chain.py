"""The study of the sampling chain."""

from __future__ import annotations

import json

import pytest
import torch

from latent_diffusion.pipeline import StatePipeline
from studies.chain import LatentBasis, chain_table, run


def test_the_basis_finds_lost_variance_and_noise_outside():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(80, 3, 8, 8, generator=generator)
    basis = LatentBasis.of(latents)
    own = basis.variances(latents)
    assert own["pc_1_4"] == pytest.approx(1) and own["outside_percent"] == pytest.approx(0)
    mean = latents.mean(dim=0)
    halved = basis.variances(mean + 0.5 * (latents - mean))
    assert halved["pc_5_16"] == pytest.approx(0.25) and halved["outside_percent"] < 1e-6
    other = torch.randn(80, 3, 8, 8, generator=generator)
    assert basis.variances(other)["outside_percent"] == pytest.approx(100 * (1 - 79 / 192), abs=5)


@pytest.mark.slow
def test_more_steps_and_the_errors_of_both_parts_are_reported(trained, tmp_path):
    output = tmp_path / "chain.json"
    result = run(trained, members=4, steps=(3, 6), output=output)
    rows = ["training states", "with posterior noise", "autoencoded", "3 steps", "6 steps"]
    assert list(result["rows"]) == rows
    assert result["rows"]["training states"]["mean_temperature"] == pytest.approx(1)
    assert len(result["largest_change_percent"]) == 1
    stored = json.loads(output.read_text())
    assert "| 6 steps |" in chain_table(stored, None)
    assert "training, closed form" in chain_table(stored, "errors")


def test_a_model_with_conditions_is_drawn_at_those_of_one_state(conditional, monkeypatch):
    drawn = []
    draw = StatePipeline.draw
    monkeypatch.setattr(
        StatePipeline,
        "draw",
        lambda *args, **kw: (drawn.append(kw["conditions"]), draw(*args, **kw))[1],
    )
    result = run(conditional, members=4, steps=(3, 6))
    assert list(result["rows"]) == ["3 steps", "6 steps"]
    assert "outside_percent" not in result["rows"]["3 steps"] and not result["errors"]
    assert len(result["largest_change_percent"]) == 1 and result["largest_change_percent"][0] > 0
    for conditions in drawn:
        assert conditions.certain and len(conditions) == 4
        assert all(len(set(values)) == 1 for values in conditions.values.values())
