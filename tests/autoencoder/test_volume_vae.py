"""The autoencoder's networks: any design, any size, a finite reach."""

from __future__ import annotations

import pytest
import torch

from autoencoder.linear import ColumnModes, LappedMap, fit
from autoencoder.volume_vae import VolumeVAE
from data.errors import UserError

DESIGNS = {
    "folded": {"patch": 2, "channels": (8, 16)},
    "three stages": {"patch": 1, "channels": (8, 16, 16)},
    "one stage": {"patch": 4, "channels": (16,)},
    "modes": {"patch": 2, "channels": (8, 16), "vertical_modes": 3},
    "linear path": {"patch": 2, "channels": (8, 16), "linear_path": True},
    "modes and linear path": {
        "patch": 4,
        "channels": (8,),
        "vertical_modes": 3,
        "linear_path": True,
    },
}


def _vae(design: str, *, blocks: int = 1) -> VolumeVAE:
    torch.manual_seed(0)
    settings = DESIGNS[design] | {"latent_channels": 5, "blocks": blocks}
    return VolumeVAE(in_channels=6, exchange_channels=3, periodic_x=False, design=settings).eval()


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_encodes_decodes_and_learns(design):
    vae = _vae(design)
    x = torch.randn(2, 6, 16, 12)
    noise = torch.randn(2, 5, 16 // vae.design.factor, 12 // vae.design.factor)
    decoded, mean, log_variance = vae(x, noise)
    fields, exchange = decoded
    assert fields.shape == (2, 6, 16, 12)
    assert exchange.shape == (2, 3, 16, 12)
    assert mean.shape == log_variance.shape == noise.shape
    (fields.square().sum() + exchange.square().sum()).backward()
    silent = [n for n, p in vae.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


@pytest.mark.parametrize("design", DESIGNS)
def test_a_saved_network_comes_back_the_same(design, tmp_path):
    vae = _vae(design)
    vae.save_pretrained(tmp_path)
    again = VolumeVAE.from_pretrained(tmp_path).eval()
    latents = torch.randn(1, 5, 4, 4)
    for ours, theirs in zip(again.decode(latents), vae.decode(latents), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("design", ["three stages", "one stage", "folded"])
def test_no_cell_depends_on_latents_beyond_the_reach(design, blocks):
    vae = _vae(design, blocks=blocks)
    for parameter in [*vae.trunk.parameters(), *vae.head.parameters()]:
        torch.nn.init.normal_(parameter)  # residual blocks start as the identity
    size, middle = 2 * vae.reach + 5, vae.reach + 2
    latents = torch.zeros(1, 5, size, size)
    moved = latents.clone()
    moved[..., middle, middle] = 1.0
    changed = (vae.decode(moved)[0] != vae.decode(latents)[0]).any(dim=1)[0].nonzero()
    changed = changed // vae.design.factor
    distance = (changed - middle).abs().max().item()
    assert distance <= vae.reach
    assert distance >= vae.reach - 1  # the reach is not far too careful either


def test_with_a_linear_path_the_untrained_autoencoder_is_the_linear_one():
    vae = _vae("linear path")
    x = torch.randn(3, 6, 16, 12)
    fit(vae.linear, lambda: [x], 5)
    mean, _ = vae.encode(x)
    torch.testing.assert_close(vae.decode(mean)[0], vae.linear.decode(vae.linear.encode(x)))


def test_fitted_columns_of_low_rank_pass_the_modes_unchanged():
    columns = torch.einsum("cm,bmyx->bcyx", torch.randn(7, 2), torch.randn(4, 2, 5, 6))
    modes = ColumnModes(7, 2)
    fit(modes, lambda: columns.split(1), 2)
    amplitudes = modes.encode(columns)
    torch.testing.assert_close(modes.decode(amplitudes), columns, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(amplitudes.square().mean(dim=(0, 2, 3)), torch.ones(2))


@pytest.mark.parametrize("map_", [ColumnModes(7, 2), LappedMap(7, 2, 2)])
def test_linear_maps_are_in_single_precision_whatever_the_networks_are_in(map_):
    columns = torch.randn(2, 7, 4, 4)
    expected = map_.encode(columns), map_.decode(map_.encode(columns))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        amplitudes = map_.encode(columns)
        found = amplitudes, map_.decode(amplitudes)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_cudnn_rounds_no_linear_map(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    modes, seen = ColumnModes(7, 2), []
    modes.analysis.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    modes.encode(torch.randn(2, 7, 4, 4))
    assert seen == [False] and torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("periodic", [True, False])
def test_a_lapped_map_of_all_components_loses_nothing(periodic, patch):
    torch.manual_seed(0)
    x = torch.randn(40, 2, 4 * patch, 5 * patch)
    count = 2 * (2 * patch) ** 2  # all the numbers of a window
    lapped = LappedMap(2, count, patch, periodic_x=periodic)
    fit(lapped, lambda: [x], count)
    latents = lapped.encode(x)
    assert latents.shape == (40, count, 4, 5)
    again = lapped.decode(latents)
    torch.testing.assert_close(again, x, rtol=1e-3, atol=1e-3)


def test_lapped_fields_have_no_edges_where_windows_end():
    torch.manual_seed(0)
    x = torch.randn(8, 1, 32, 32).cumsum(-1).cumsum(-2)
    lapped = LappedMap(1, 3, 4)
    fit(lapped, lambda: [x], 3)
    jumps = lapped.decode(torch.randn(64, 3, 8, 8)).diff(dim=-1).abs().mean(dim=(0, 1, 2))[4:-4]
    at_edges = jumps[3::4].mean()
    assert (
        at_edges < 2 * jumps.mean()
    )  # of windows side by side: all of the jumps, 4 times the mean


def test_more_modes_than_levels_are_refused_in_a_sentence():
    modes = ColumnModes(7, 9)
    with pytest.raises(UserError, match=r"9 components .* windows of 7 values"):
        fit(modes, lambda: [torch.randn(2, 7, 4, 4)], 9)
