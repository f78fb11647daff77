"""Residual blocks that are computed again in the backward pass."""

from __future__ import annotations

import torch

from autoencoder.volume_vae import VolumeVAE


def test_checkpointing_computes_blocks_again_and_changes_no_gradient():
    torch.manual_seed(0)
    design = {"latent_channels": 3, "patch": 2, "channels": (8, 16), "blocks": 1}
    vae = VolumeVAE(in_channels=4, exchange_channels=1, periodic_x=True, design=design).train()
    calls = []
    vae.trunk[0].register_forward_hook(lambda *_: calls.append("once"))
    for block in (m for m in vae.trunk.modules() if hasattr(m, "gradient_checkpointing")):
        block.body.register_forward_pre_hook(lambda *_: calls.append("block"))
    x, noise = torch.randn(2, 4, 16, 16), torch.randn(2, 3, 4, 4)

    def gradients() -> list[torch.Tensor]:
        calls.clear()
        vae.zero_grad()
        (fields, exchange), *_ = vae(x, noise)
        (fields.square().sum() + exchange.square().sum()).backward()
        return [p.grad.clone() for p in vae.parameters()]

    kept = gradients()
    assert calls == ["once", "block", "block"]
    vae.enable_gradient_checkpointing()
    again = gradients()
    assert calls.count("block") == 4 and calls.count("once") == 1
    for ours, theirs in zip(again, kept, strict=True):
        assert torch.equal(ours, theirs)
