"""The study of the sampling chain."""

from __future__ import annotations

import json

import pytest
import torch

from data.errors import UserError
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


def test_a_conditional_model_is_refused(conditional):
    with pytest.raises(UserError, match="study the chain of a model without the section cond"):
        run(conditional)
