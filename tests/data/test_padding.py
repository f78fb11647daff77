"""Padding for networks: exact round trips, and no seam on a periodic axis."""

from __future__ import annotations

import pytest
import torch

from data.grid import Padding


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(7, 10), (8, 16), (5, 11)])
def test_crop_undoes_pad(shape, periodic):
    padding = Padding(*shape, multiple=8, periodic_x=periodic)
    field = torch.randn(2, 3, *shape, dtype=torch.float64)
    padded = padding.pad(field)
    assert padded.shape[-2:] == padding.padded_shape
    assert padded.shape[-1] % 8 == padded.shape[-2] % 8 == 0
    assert torch.equal(padding.crop(padded), field)


def test_a_periodic_axis_is_continued_and_others_are_land():
    padding = Padding(4, 6, multiple=8, periodic_x=True)
    padded = padding.pad(torch.arange(6.0).expand(4, 6) + 1)
    assert padded[2].tolist() == [6, 1, 2, 3, 4, 5, 6, 1]
    assert padded[0].abs().max() == 0


def test_copies_that_disagree_meet_at_the_seam():
    padding = Padding(16, 12, multiple=16, periodic_x=True)
    x = torch.linspace(0, 1, 16).expand(16, 16)  # continuous in the network, not around the globe
    cropped = padding.crop(x)
    jump_without_blending = abs(x[0, 13] - x[0, 2])
    assert abs(cropped[0, -1] - cropped[0, 0]) < 0.2 * jump_without_blending
    torch.testing.assert_close(cropped[:, 2:-2], x[:, 4:12])


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(7, 10), (8, 16), (5, 11)])
def test_sources_and_seam_describe_what_pad_and_crop_do(shape, periodic):
    padding = Padding(*shape, multiple=8, periodic_x=periodic)
    field = torch.randn(shape, dtype=torch.float64)
    rows, columns = (torch.from_numpy(numbers) for numbers in padding.sources)
    land = (rows < 0)[:, None] | (columns < 0)
    assert torch.equal(field[rows[:, None], columns].masked_fill(land, 0), padding.pad(field))
    output = torch.randn(padding.padded_shape, dtype=torch.float64)
    blended = output
    for partners, weights in zip(*map(torch.from_numpy, padding.seam), strict=True):
        blended = torch.lerp(blended, blended[:, partners], weights)
    own = torch.from_numpy(padding.is_own)
    torch.testing.assert_close(blended[own].reshape(shape), padding.crop(output))
