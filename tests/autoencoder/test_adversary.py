"""The critic of patches and the reversed gradient between it and the reconstruction."""

from __future__ import annotations

import torch

from autoencoder.adversary import Adversary, reverse_gradient


def test_the_gradient_is_reversed_and_nothing_else():
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [-1.0, -2.0, -3.0]


def test_the_critic_cannot_tell_a_field_from_itself():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 16)
    assert abs(Adversary(3).eval()(x, x)) < 1e-6


def test_critic_and_reconstruction_pull_against_each_other():
    """The critic learns to see smoothness; the reconstruction's own step then makes it rougher."""
    torch.manual_seed(0)
    adversary = Adversary(1)
    optimiser = torch.optim.AdamW(adversary.parameters(), lr=1e-2)
    random = torch.Generator().manual_seed(0)
    for _ in range(30):
        rough = torch.randn(4, 1, 16, 16, generator=random)
        loss = adversary(0.3 * rough, torch.randn(4, 1, 16, 16, generator=random))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < -0.1, "true fields score higher"
    smooth = (0.3 * torch.randn(4, 1, 16, 16, generator=random)).requires_grad_()
    truth = torch.randn(4, 1, 16, 16, generator=random)
    adversary.eval()(smooth, truth).backward()
    stepped = smooth - 100 * smooth.grad
    assert adversary(stepped, truth) > adversary(smooth, truth)


def test_the_critic_works_in_mixed_precision():
    adversary, x = Adversary(3), torch.randn(2, 3, 12, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = adversary(x, torch.randn(2, 3, 12, 16))
    score.backward()
    assert score.dtype == torch.float32
    assert x.grad.isfinite().all()
