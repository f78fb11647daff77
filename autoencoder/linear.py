"""Linear maps of water columns and of windows of columns, fitted to the training states.

Both use principal components, which retain the most variance of a column or a weighted window.
Amplitudes are scaled to variance 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from autoencoder.precision import single_or_better
from data.errors import UserError


class ColumnModes(nn.Module):
    """Vertical modes: a linear map from each column's `c` channels to `m` amplitudes, and back.

    Computed in float32 or better, independent of the precision of the networks.
    """

    def __init__(self, fields: int, modes: int) -> None:
        super().__init__()
        self.analysis = nn.Conv2d(fields, modes, 1, bias=False)
        self.synthesis = nn.Conv2d(modes, fields, 1, bias=False)

    def encode(self, x: Tensor) -> Tensor:
        """Normalised fields `b c y x` to amplitudes `b m y x`."""
        with _full_precision(x.device):
            return self.analysis(single_or_better(x))

    def decode(self, amplitudes: Tensor) -> Tensor:
        """Amplitudes `b m y x` to normalised fields `b c y x`."""
        with _full_precision(amplitudes.device):
            return self.synthesis(single_or_better(amplitudes))

    def windows(self, x: Tensor) -> Tensor:
        """The columns of `x` `b c y x` as vectors, `n c`."""
        return rearrange(x, "b c y x -> (b y x) c")

    def adopt(self, analysis: Tensor, synthesis: Tensor) -> None:
        """Copy the maps of columns, each `m c`."""
        self.analysis.weight.copy_(analysis[..., None, None])
        self.synthesis.weight.copy_(synthesis.T[..., None, None])


class LappedMap(nn.Module):
    """A linear map from overlapping square windows of columns to latent cells, and back.

    Windows are two latent cells wide and one apart. Encoding and decoding both weight them by the
    square root of a Hann window, so decoded fields have no seams at window edges (lapped
    transforms, Malvar and Staelin 1989). Cells near a closed edge lie in fewer windows and are
    rescaled accordingly. `patch` is the width of a latent cell in grid cells. Computed in float32
    or better, independent of the precision of the networks.
    """

    def __init__(
        self, fields: int, latent_channels: int, patch: int, *, periodic_x: bool = False
    ) -> None:
        super().__init__()
        self.patch, self.periodic_x = patch, periodic_x
        shape = (latent_channels, fields, 2 * patch, 2 * patch)
        self.analysis = nn.Parameter(torch.randn(shape) / math.sqrt(math.prod(shape[1:])))
        self.synthesis = nn.Parameter(torch.randn(shape) / math.sqrt(latent_channels))

    def encode(self, x: Tensor) -> Tensor:
        """Normalised fields `b c (h p) (w p)` to latents `b l h w`."""
        with _full_precision(x.device):
            wider = self._half_a_window_wider(single_or_better(x))
            return F.conv2d(wider, self.analysis, stride=self.patch)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `b l h w` to normalised fields `b c (h p) (w p)`."""
        with _full_precision(latents.device):
            around = self._padded(single_or_better(latents), 1, 1)
            fields = F.conv_transpose2d(around, self.synthesis, stride=self.patch)
        first = self.patch + self.patch // 2
        rows, columns = (self.patch * size for size in latents.shape[2:])
        fields = fields[..., first : first + rows, first : first + columns]
        fields = fields / self._coverage(rows)[:, None]
        return fields if self.periodic_x else fields / self._coverage(columns)

    def windows(self, x: Tensor) -> Tensor:
        """The weighted windows of `x` `b c y x` as vectors, `n (c p q)`."""
        size = 2 * self.patch
        unfolded = F.unfold(self._half_a_window_wider(x), size, stride=self.patch)
        vectors = rearrange(unfolded, "b k n -> (b n) k")
        return vectors.mul_(self._weights().flatten().repeat(x.shape[1]))

    def adopt(self, analysis: Tensor, synthesis: Tensor) -> None:
        """Copy the maps of weighted windows, each `l (c p q)`."""
        for weights, fitted in ((self.analysis, analysis), (self.synthesis, synthesis)):
            weights.copy_(fitted.reshape(weights.shape) * self._weights())

    def _half_a_window_wider(self, x: Tensor) -> Tensor:
        """`x` padded to the extent of the outermost windows."""
        return self._padded(x, self.patch // 2, self.patch - self.patch // 2)

    def _padded(self, x: Tensor, before: int, after: int) -> Tensor:
        mode = "circular" if self.periodic_x else "constant"
        return F.pad(F.pad(x, (before, after, 0, 0), mode=mode), (0, 0, before, after))

    def _coverage(self, cells: int) -> Tensor:
        """Sum of the squared windows at each of `cells` between two closed edges."""
        squares, half = self._root().square(), self.patch // 2
        first, last = squares[half : self.patch], squares[self.patch : self.patch + half]
        inner = torch.ones(cells - self.patch, device=squares.device)
        return torch.cat([first, inner, last])

    def _weights(self) -> Tensor:
        """Square root of a Hann window, `p q`: the squares of overlapping windows add up to 1."""
        root = self._root()
        return root[:, None] * root

    def _root(self) -> Tensor:
        cells = torch.arange(2 * self.patch, device=self.analysis.device) + 0.5
        return torch.sin(math.pi * cells / (2 * self.patch))


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """A context without autocast, which the meta device does not have, and without TF32.

    By default cuDNN rounds the inputs of convolutions in float32 to the 10 bits of TF32.
    """
    has_autocast = torch.amp.is_autocast_available(device.type)
    without = torch.autocast(device.type, enabled=False) if has_autocast else nullcontext()
    allowed = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = False
        with without:
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


@torch.no_grad()
def fit(map_: ColumnModes | LappedMap, inputs: Callable[[], Iterable[Tensor]], count: int) -> None:
    """Set the map to the leading `count` principal components of `inputs`, batches `b c y x`.

    Raises `UserError` if a column or window has fewer than `count` values.
    """
    values, vectors = torch.linalg.eigh(_covariance(map_.windows(x) for x in inputs()))
    if count > len(values):
        raise UserError(
            f"cannot compute {count} components from columns or windows of {len(values)} values; "
            "lower autoencoder.vertical_modes or latent_channels"
        )
    scale = values[-count:].flip(0).clamp_min(values[-1] * 1e-9).sqrt()
    components = vectors[:, -count:].flip(1).T
    map_.adopt(components / scale[:, None], components * scale[:, None])


def _covariance(vectors: Iterable[Tensor]) -> Tensor:
    """Mean outer product of vectors `n k`, float64; normalised fields have mean 0."""
    count, total = 0, None
    for part in vectors:
        products = (part.T @ part).double()
        total = products if total is None else total + products
        count += len(part)
    if total is None:
        raise UserError("there are no training states to fit a linear map to")
    return total / count
