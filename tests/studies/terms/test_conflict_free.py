"""ConFIG of two gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from studies.terms.conflict_free import conflict_free, with_conflict_free_gradient


def pair(seed: int) -> torch.Tensor:
    """Two gradients of very different lengths, in conflict for about every second seed."""
    lengths = torch.tensor([[1.0], [1e-3]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    return lengths * torch.randn(2, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(8))
def test_the_update_has_equal_positive_cosines_with_both_gradients(seed):
    gradients = pair(seed)
    cosines = cosine_similarity(conflict_free(*gradients)[None], gradients)
    assert cosines[0] == pytest.approx(float(cosines[1]))
    assert cosines[0] > 0


@pytest.mark.parametrize("seed", range(8))
def test_the_update_is_that_of_the_paper(seed):
    one, other = pair(seed)

    def orthogonal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return b - (a @ b) / (a @ a) * a

    parts = [normalize(orthogonal(*ab), dim=0) for ab in ((one, other), (other, one))]
    direction = normalize(parts[0] + parts[1], dim=0)
    expected = (one @ direction + other @ direction) * direction
    torch.testing.assert_close(conflict_free(one, other), expected)


def test_equal_directions_add_and_opposite_ones_cancel():
    one = pair(0)[0]
    torch.testing.assert_close(conflict_free(one, 0.1 * one), 1.1 * one)
    torch.testing.assert_close(conflict_free(one, 0 * one), one)
    assert conflict_free(one, -one).norm() < 1e-12


def test_a_loss_carries_the_combined_gradient_and_the_value_of_the_sum():
    parameters = [torch.tensor([[1.0, 2.0]], requires_grad=True)]
    parameters.append(torch.tensor([3.0], requires_grad=True))
    one = parameters[0].square().sum()
    other = (parameters[1] * parameters[0].sum() - 1).square().sum()
    gradients = [
        torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(
                    loss, parameters, retain_graph=True, materialize_grads=True
                )
            ]
        )
        for loss in (one, other)
    ]
    total = with_conflict_free_gradient(one, other, parameters)
    assert float(total) == pytest.approx(float(one + other))
    total.backward()
    found = torch.cat([p.grad.flatten() for p in parameters])
    torch.testing.assert_close(found, conflict_free(*gradients))
