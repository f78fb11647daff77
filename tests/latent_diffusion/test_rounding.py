"""Smaller models: what is rounded, what is not, and what fewer patterns keep."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.errors import UserError
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.rounding import _round_file, _truncated


@pytest.fixture
def gaussian() -> MemberGaussians:
    """Four patterns of latents of 12 values."""
    found = MemberGaussians((3, 2, 2), 2, 4)
    basis, _ = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    found.patterns.copy_(basis.T.reshape(4, 3, 2, 2))
    found.variances.copy_(torch.tensor([9.0, 4.0, 2.0, 1.0]))
    found.means.copy_(torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)))
    found.remainder.fill_(0.5)
    return found


def test_fewer_patterns_keep_the_total_variance_and_the_means(gaussian):
    smaller = _truncated(gaussian, 2)
    total = gaussian.variances.sum() + 8 * gaussian.remainder
    assert smaller.variances.sum() + 10 * smaller.remainder == pytest.approx(float(total))
    assert torch.equal(smaller.patterns, gaussian.patterns[:2])
    assert torch.equal(smaller.means, gaussian.means)
    assert float(smaller.remainder) > float(gaussian.remainder)


def test_as_many_patterns_as_there_are_change_nothing_and_none_are_refused(gaussian):
    assert _truncated(gaussian, 4) is gaussian
    with pytest.raises(UserError, match="at least 1"):
        _truncated(gaussian, 0)


def test_only_named_tensors_are_rounded(tmp_path):
    (tmp_path / "unet").mkdir()
    path = tmp_path / "unet" / "weights.safetensors"
    third = torch.full((2,), 1 / 3)
    save_file({"weight": third, "mean": third.clone(), "step": third.double()}, path)
    _round_file(path, {"weight"}, torch.float16, is_required=True)
    found = load_file(path)
    assert found["weight"].dtype == torch.float16
    assert torch.equal(found["mean"], third) and found["step"].dtype == torch.float64


def test_a_weight_beyond_float16_is_refused_in_the_denoiser_and_kept_elsewhere(tmp_path):
    (tmp_path / "unet").mkdir()
    path = tmp_path / "unet" / "weights.safetensors"
    save_file({"weight": torch.tensor([1e5])}, path)
    with pytest.raises(UserError, match="too large for float16: pack with --weights bfloat16"):
        _round_file(path, {"weight"}, torch.float16, is_required=True)
    _round_file(path, {"weight"}, torch.float16, is_required=False)
    assert load_file(path)["weight"].dtype == torch.float32
    _round_file(path, {"weight"}, torch.bfloat16, is_required=True)
    assert load_file(path)["weight"].dtype == torch.bfloat16
