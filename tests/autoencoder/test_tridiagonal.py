"""The compiled solution of columns and its adjoint agree with those in torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autoencoder import mixing, tridiagonal
from guidance import compiled as kernels

DTYPES = [torch.float32, torch.float64]


def system(dtype: torch.dtype, *, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tracers and a gradient `b t z y x`, exchange `b z-1 y x`, height `z y x`; 7 x 90 columns."""
    random = torch.Generator().manual_seed(0)
    shape = (7, 90)
    assert shape[0] * shape[1] > tridiagonal.COLUMNS_TOGETHER
    before, gradient = torch.randn(2, batch, 2, 5, *shape, generator=random, dtype=torch.float64)
    exchange = (3 * torch.randn(batch, 4, *shape, generator=random, dtype=torch.float64)).exp()
    exchange[:, 2, 0] = 0
    height = 10 + 90 * torch.rand(5, *shape, generator=random, dtype=torch.float64)
    return before.to(dtype), gradient.to(dtype), exchange.to(dtype), height.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_solution_and_its_adjoint_are_those_of_torch(dtype: torch.dtype) -> None:
    before, gradient, exchange, height = (field.to(dtype) for field in system(torch.float64))
    exact = [field.double() for field in (before, gradient, exchange, height)]
    mixed = mixing._solve(exact[0], *exact[2:], content=True)
    adjoint = mixing._adjoint(exact[1], mixed, *exact[2:])
    computed = tridiagonal.solve(before, exchange, height)
    tolerance = 100 * torch.finfo(dtype).eps
    for field, reference in zip(
        (computed, *tridiagonal.adjoint(gradient, mixed.to(dtype), exchange, height)),
        (mixed, *adjoint),
        strict=True,
    ):
        assert field.dtype == dtype
        torch.testing.assert_close(field.double(), reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("compiled", [True, False])
def test_strong_exchange_keeps_the_content_of_columns(compiled: bool) -> None:
    before, _, exchange, height = system(torch.float32)
    if compiled:
        mixed = tridiagonal.solve(before, 1e6 * exchange, height)
    else:
        mixed = mixing._solve(before, 1e6 * exchange, height, content=True)
    change = (height.double() * (mixed.double() - before.double())).sum(2)
    assert (change / height.sum(0)).abs().max() < 1e-6


def test_views_are_solved_like_copies() -> None:
    before, gradient, exchange, height = system(torch.float32)
    rows = (before[..., 1:5, 3:], gradient[..., 1:5, 3:], exchange[:, :, 1:5, 3:])
    rows = (*rows, height[:, 1:5, 3:])
    copies = [field.contiguous() for field in rows]
    for given in (rows, copies):
        tracers, g, c, h = (field.detach() for field in given)
        tracers.requires_grad_(), c.requires_grad_()
        mixed = mixing.mix(tracers, c, h)
        mixed.backward(g)
        if given is rows:
            expected = (mixed, tracers.grad, c.grad)
    assert all(map(torch.equal, (mixed, tracers.grad, c.grad), expected))


def test_on_the_cpu_columns_are_mixed_by_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise AssertionError("solved in torch")

    monkeypatch.setattr(mixing, "_solve", fail)
    before, _, exchange, height = system(torch.float32)
    before.requires_grad_(), exchange.requires_grad_()
    mixing.mix(before, exchange, height).sum().backward()
    assert before.grad is not None and exchange.grad is not None
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu")):
        with context:
            assert mixing.mix(before, exchange, height).dtype == torch.float32
    with pytest.raises(AssertionError, match="in torch"):
        mixing.mix(before.bfloat16(), exchange.bfloat16(), height.bfloat16())


def test_threads_share_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    before, gradient, exchange, height = system(torch.float32)
    alone = tridiagonal.solve(before, exchange, height)
    back = tridiagonal.adjoint(gradient, alone, exchange, height)
    monkeypatch.setattr(kernels, "CELLS_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(tridiagonal.solve(before, exchange, height), alone)
    assert all(map(torch.equal, tridiagonal.adjoint(gradient, alone, exchange, height), back))


def test_one_height_for_all_columns_and_none_of_other_columns() -> None:
    before, _, exchange, height = system(torch.float32)
    profile = height[:, :1, :1]
    expected = tridiagonal.solve(before, exchange, profile.expand_as(height))
    assert torch.equal(tridiagonal.solve(before, exchange, profile), expected)
    with pytest.raises(RuntimeError, match="expand"):
        tridiagonal.solve(before, exchange[:, :, 1:], height)
