"""Linear maps of columns and of patches of columns, fitted to the training states.

Principal components of what a map sees: of all linear maps with as many numbers they lose the
least variance. Amplitudes are scaled to variance 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from einops import rearrange
from torch import Tensor, nn


class ColumnModes(nn.Module):
    """Vertical modes: the levels of each column as a few amplitudes, by one linear map."""

    def __init__(self, fields: int, modes: int, *, trainable: bool) -> None:
        super().__init__()
        self.analysis = nn.Linear(fields, modes, bias=False).requires_grad_(trainable)
        self.synthesis = nn.Linear(modes, fields, bias=False).requires_grad_(trainable)

    def encode(self, x: Tensor) -> Tensor:
        """Normalised fields `b c y x` to amplitudes `b m y x`."""
        return self.analysis(x.movedim(1, -1)).movedim(-1, 1)

    def decode(self, amplitudes: Tensor) -> Tensor:
        """Amplitudes `b m y x` to normalised fields `b c y x`."""
        return self.synthesis(amplitudes.movedim(1, -1)).movedim(-1, 1)


class PatchMap(nn.Module):
    """A linear map of square patches of columns, `patch` cells a side, to latent cells."""

    def __init__(self, fields: int, latent_channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.analysis = nn.Linear(fields * patch**2, latent_channels, bias=False)
        self.synthesis = nn.Linear(latent_channels, fields * patch**2, bias=False)

    def encode(self, x: Tensor) -> Tensor:
        """Normalised fields `b c (h p) (w p)` to latents `b l h w`."""
        return self.analysis(patches(x, self.patch)).movedim(-1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `b l h w` to normalised fields `b c (h p) (w p)`."""
        folded = self.synthesis(latents.movedim(1, -1))
        pattern = "b h w (c p q) -> b c (h p) (w q)"
        return rearrange(folded, pattern, p=self.patch, q=self.patch)


def patches(x: Tensor, size: int) -> Tensor:
    """Square patches of `size` cells a side: `b c (h p) (w q)` to `b h w (c p q)`."""
    return rearrange(x, "b c (h p) (w q) -> b h w (c p q)", p=size, q=size)


@torch.no_grad()
def fit(map_: ColumnModes | PatchMap, inputs: Callable[[], Iterable[Tensor]]) -> None:
    """Set the map to the leading principal components of the `inputs`, batches `b c y x`."""
    size = map_.patch if isinstance(map_, PatchMap) else 1
    values, vectors = torch.linalg.eigh(_covariance(inputs(), size))
    count = map_.analysis.out_features
    scale = values[-count:].flip(0).clamp_min(values[-1] * 1e-9).sqrt()
    components = vectors[:, -count:].flip(1)
    map_.analysis.weight.copy_((components / scale).T)
    map_.synthesis.weight.copy_(components * scale)


def _covariance(inputs: Iterable[Tensor], size: int) -> Tensor:
    """Mean outer product of all patches, float64; normalised fields have no mean to remove."""
    count, total = 0, None
    for x in inputs:
        vectors = patches(x, size).flatten(0, 2)
        products = (vectors.T @ vectors).double()
        total = products if total is None else total + products
        count += len(vectors)
    if total is None:
        raise ValueError("there are no states to fit a linear map to")
    return total / count
