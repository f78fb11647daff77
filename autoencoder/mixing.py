"""The last layer of the decoder: vertical mixing, as in an ocean model.

Mixed layers are uniform to a thousandth of a kelvin. Convolutions cannot reproduce this: they leave
noise, and half of it is statically unstable. The network therefore also predicts the exchange of
water between neighbouring levels, and one implicit step of vertical diffusion applies it. Strong
exchange makes a layer uniform; zero exchange changes nothing. Column heat and salt are conserved.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable

from autoencoder import tridiagonal
from data.state import State
from guidance.compiled import runs_compiled
from guidance.stratification import wet_pairs

LOG_EXCHANGE_RANGE = (-8.0, 7.0)
INITIAL_LOG_EXCHANGE = -4.0


def mixed_state(physical: Tensor, raw: Tensor, thickness: Tensor, wet: Tensor) -> State:
    """The state of decoded channels `b c y x` in physical units, mixed by the raw exchange.

    raw: the network's output `b z-1 y x`; thickness: `z y x` [m]; wet: `c y x`
    """
    levels = len(thickness)
    tracers, rest = physical.split([2 * levels, physical.shape[1] - 2 * levels], dim=1)
    exchange = exchange_thickness(raw, thickness, wet_pairs(wet[:levels]))
    mixed = mix(tracers.unflatten(1, (2, levels)), exchange, thickness)
    temperature, salinity = mixed.unbind(1)
    return State(temperature, salinity, rest[:, 0] if rest.shape[1] else None)


def exchange_thickness(raw: Tensor, thickness: Tensor, pairs: Tensor) -> Tensor:
    """Water exchanged across each interface [m], `b z-1 y x`; 0 at the sea floor and on land.

    raw: the network's output `b z-1 y x`; thickness: `z y x` [m]; pairs: wet ones, `z-1 y x`
    """
    between = 0.5 * (thickness[:-1] + thickness[1:])
    strength = (raw + INITIAL_LOG_EXCHANGE).clamp(*LOG_EXCHANGE_RANGE).exp()
    return strength * (between * pairs)


def mix(tracers: Tensor, exchange: Tensor, thickness: Tensor) -> Tensor:
    """Temperature and salinity `b t z y x` after one implicit step of vertical diffusion.

    Solves `h_k (x_k - d_k) = c_{k-1} (x_{k-1} - x_k) + c_k (x_{k+1} - x_k)` for each column, with
    `h` the thickness `z y x` [m], `c` the exchange `b z-1 y x` [m] and `d` the tracers before.
    """
    return _ImplicitDiffusion.apply(tracers, exchange, torch.where(thickness > 0, thickness, 1.0))


class _ImplicitDiffusion(torch.autograd.Function):
    """Solves `M x = h d`, `M` symmetric tridiagonal, for all tracers `b t z y x`.

    The gradient needs one more solution of the same system, `M l = g`: `dE/dd = h l` and
    `dE/dc_k = -(l_k - l_{k+1}) (x_k - x_{k+1})`, summed over tracers. Automatic differentiation
    would keep the intermediate fields of every level.
    """

    @staticmethod
    def forward(ctx: Any, before: Tensor, exchange: Tensor, height: Tensor) -> Tensor:
        if runs_compiled(before, exchange, height):
            mixed = tridiagonal.solve(before, exchange, height)
        else:
            mixed = _solve(before, exchange, height, content=True)
        ctx.save_for_backward(mixed, exchange, height)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        mixed, exchange, height = ctx.saved_tensors
        if runs_compiled(gradient, mixed, exchange, height):
            return *tridiagonal.adjoint(gradient, mixed, exchange, height), None
        return *_adjoint(gradient, mixed, exchange, height), None


def _adjoint(
    gradient: Tensor, mixed: Tensor, exchange: Tensor, height: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to the initial tracers and the exchange, on any device."""
    adjoint = _solve(gradient, exchange, height)
    return adjoint * height, -(adjoint.diff(dim=2) * mixed.diff(dim=2)).sum(dim=1)


def _solve(right: Tensor, exchange: Tensor, height: Tensor, *, content: bool = False) -> Tensor:
    """Gaussian elimination for right-hand sides `b t z y x`, on any device.

    content: multiply `right` by the layer thickness first
    """
    right = rearrange(right, "b t z y x -> z t b y x")
    c = rearrange(exchange, "b z y x -> z b y x")
    x = right * height[:, None, None] if content else right.clone()
    levels = len(x)
    pivots = height[:, None].expand(levels, *c.shape[1:]).clone()
    ratios = torch.empty(c.shape, dtype=c.dtype, device=c.device)
    for k in range(1, levels):
        torch.div(c[k - 1], pivots[k - 1] + c[k - 1], out=ratios[k - 1])
        # Equal to c - c * ratio, without its cancellation for strong exchange.
        pivots[k].addcmul_(pivots[k - 1], ratios[k - 1])
        pivots[k - 1] += c[k - 1]
        x[k].addcmul_(ratios[k - 1], x[k - 1])
    x[-1] /= pivots[-1]
    for k in range(levels - 2, -1, -1):
        x[k].div_(pivots[k]).addcmul_(ratios[k], x[k + 1])
    return rearrange(x, "z t b y x -> b t z y x")
