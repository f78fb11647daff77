"""The last layer of the decoder: vertical mixing, as an ocean model does it.

Mixed layers are uniform to a thousandth of a kelvin, which no convolution reproduces: what it
leaves in them is noise, half of it statically unstable. So the network predicts, beside temperature
and salinity, how strongly neighbouring levels exchange water, and one implicit step of vertical
diffusion mixes them. Where it predicts strong exchange the column comes out uniform, whatever the
noise; where it predicts none, nothing changes. Heat and salt of the column are conserved.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.state import State

LOG_EXCHANGE_RANGE = (-8.0, 7.0)
INITIAL_LOG_EXCHANGE = -4.0


def exchange_thickness(raw: Tensor, thickness: Tensor, wet_pairs: Tensor) -> Tensor:
    """Water exchanged across each interface [m], `b z-1 y x`, 0 at the sea floor and on land.

    raw: the network's output `b z-1 y x`; thickness: `z y x` [m]; wet_pairs: `z-1 y x`
    """
    between = 0.5 * (thickness[:-1] + thickness[1:])
    strength = (raw + INITIAL_LOG_EXCHANGE).clamp(*LOG_EXCHANGE_RANGE).exp()
    return strength * (between * wet_pairs)


def mix(state: State, exchange: Tensor, thickness: Tensor) -> State:
    """One implicit step of vertical diffusion of temperature and salinity.

    Solves `h_k (x_k - d_k) = c_{k-1} (x_{k-1} - x_k) + c_k (x_{k+1} - x_k)` for each column, with
    `h` the thickness `z y x` [m], `c` the exchange `b z-1 y x` [m] and `d` the state before.
    """
    height = torch.where(thickness > 0, thickness, 1.0)
    solve = _ColumnSolver(height, exchange)
    return State(solve(state.temperature), solve(state.salinity), state.sea_level)


class _ColumnSolver:
    """Gaussian elimination of the tridiagonal system, factorised once for all tracers."""

    def __init__(self, height: Tensor, exchange: Tensor) -> None:
        self._height, self._exchange = height, exchange
        closed = torch.zeros_like(exchange[:, :1])
        above = torch.cat([closed, exchange], dim=1)
        diagonal = height + above + torch.cat([exchange, closed], dim=1)
        self._pivots = [diagonal[:, 0]]
        self._ratios: list[Tensor] = []
        for level in range(1, len(height)):
            coupling = exchange[:, level - 1]
            self._ratios.append(coupling / self._pivots[-1])
            self._pivots.append(diagonal[:, level] - coupling * self._ratios[-1])

    def __call__(self, before: Tensor) -> Tensor:
        content = before * self._height
        forward = [content[:, 0] / self._pivots[0]]
        for level in range(1, len(self._height)):
            carried = self._exchange[:, level - 1] * forward[-1]
            forward.append((content[:, level] + carried) / self._pivots[level])
        mixed = [forward[-1]]
        for level in range(len(self._height) - 2, -1, -1):
            mixed.append(forward[level] + self._ratios[level] * mixed[-1])
        return torch.stack(mixed[::-1], dim=1)
