"""Conflict-free combination of the gradients of two losses (ConFIG).

Liu, Chu & Thuerey 2024, "ConFIG: Towards conflict-free training of physics informed neural
networks", arXiv 2408.11104, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def conflict_free(one: Tensor, other: Tensor) -> Tensor:
    """The ConFIG update `d` of two gradients `d`: equal, positive cosine with both.

    For two losses the paper has g = (g1.gv + g2.gv) gv with gv = U[U(O(g1, g2)) + U(O(g2, g1))],
    where U scales to unit length and O(a, b) is the part of b orthogonal to a. In the plane of g1
    and g2 this gv is the bisector U[U(g1) + U(g2)], which is used here because it stays defined
    where the orthogonal parts vanish. Of a gradient and 0 it is the gradient; of opposite gradients
    it is 0, because nothing lowers both losses.
    """
    direction = _unit(_unit(one) + _unit(other))
    return ((one + other) @ direction) * direction


def with_conflict_free_gradient(one: Tensor, other: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The sum of two losses, with their conflict-free gradient instead of the gradient of the sum.

    So a trainer that knows only one loss makes the conflict-free step.
    """
    combined = conflict_free(*(_gradient(loss, parameters) for loss in (one, other)))
    parts = combined.split([parameter.numel() for parameter in parameters])
    pairs = zip(parameters, parts, strict=True)
    linear = torch.stack([(parameter.flatten() * part).sum() for parameter, part in pairs]).sum()
    return linear - linear.detach() + (one + other).detach()


def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Gradient `d` of a loss with respect to all parameters."""
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def _unit(vector: Tensor) -> Tensor:
    """The vector with length 1; 0 remains 0."""
    length = vector.norm()
    return vector / length if length > 0 else vector
