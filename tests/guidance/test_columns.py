"""The compiled adjustment of columns is bitwise equal to that in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from data.equations import EQUATIONS
from data.grid import OceanGrid
from data.state import State
from guidance import compiled, stratification
from guidance.columns import group_means
from guidance.seawater import Depth, EquationOfState, equation_of_state
from guidance.stratification import adjust, adjust_with_gradient

NAMES = EQUATIONS
Build = Callable[..., State]


def adjusted_in_torch(state: State, name: str, grid: OceanGrid, *, tolerance: float = 0.0) -> State:
    return stratification._adjust_in_torch(
        state, eos=equation_of_state(name), grid=grid, tolerance=tolerance
    )


def same(a: State, b: State) -> bool:
    return torch.equal(a.to_channels(), b.to_channels())


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbids the adjustment in torch."""

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("adjusted in torch")

    monkeypatch.setattr(stratification, "_adjust_in_torch", fail)


@pytest.fixture
def deep() -> OceanGrid:
    """40 levels over a slope, with partial cells, where groups of many layers meet."""
    levels, columns = 40, 33
    random = np.random.default_rng(2)
    thickness = np.linspace(5, 150, levels)[:, None, None] * np.ones((levels, 2, columns))
    wet = np.arange(levels)[:, None, None] < random.integers(0, levels + 1, (2, columns))
    thickness *= np.where(wet & ~np.roll(wet, -1, axis=0), 0.4, 1.0)
    return OceanGrid(
        depth=np.cumsum(np.linspace(5, 150, levels)) - 2.5,
        thickness=thickness,
        area=np.ones((2, columns)),
        wet=wet,
        longitude=np.arange(columns, dtype=float),
        latitude=np.arange(2, dtype=float),
    )


def noise(grid: OceanGrid, *, dtype: torch.dtype, size: float = 2.0) -> State:
    """Two states with noise on a downward cooling, also on land."""
    random = torch.Generator().manual_seed(3)
    t, s = torch.randn(2, 2, *grid.shape, generator=random, dtype=torch.float64)
    profile = torch.linspace(20, 2, grid.shape[0])[:, None, None]
    return State((profile + size * t).to(dtype), (35 + 0.1 * size * s).to(dtype))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_give_the_same_numbers(name: str, dtype: torch.dtype, deep: OceanGrid) -> None:
    for size, tolerance in ((2.0, 0.0), (0.3, 0.0), (2.0, 0.2)):
        state = noise(deep, dtype=dtype, size=size)
        adjusted = adjust(state, eos=equation_of_state(name), grid=deep, tolerance=tolerance)
        assert same(adjusted, adjusted_in_torch(state, name, deep, tolerance=tolerance))
        assert not same(adjusted, state)


@pytest.mark.usefixtures("no_torch")
def test_on_the_cpu_columns_are_adjusted_by_compiled_code(deep: OceanGrid) -> None:
    eos = equation_of_state("nemo-seos")
    adjust(noise(deep, dtype=torch.float32), eos=eos, grid=deep)
    adjust(noise(deep, dtype=torch.float64), eos=eos, grid=deep)
    with pytest.raises(AssertionError, match="in torch"):
        adjust(noise(deep, dtype=torch.bfloat16), eos=eos, grid=deep)


def test_views_are_adjusted_like_copies(deep: OceanGrid) -> None:
    state = noise(deep, dtype=torch.float32)
    views = State.from_channels(state.to_channels(), levels=deep.shape[0])
    assert not views.temperature.is_contiguous()
    eos = equation_of_state("nemo-seos")
    assert same(adjust(views, eos=eos, grid=deep), adjust(state, eos=eos, grid=deep))
    part, rows = deep.part(slice(1, 2)), state.map(lambda field: field[:, :, 1:])
    expected = adjust(state, eos=eos, grid=deep).map(lambda field: field[:, :, 1:])
    assert same(adjust(rows, eos=eos, grid=part), expected)


def test_fields_of_another_grid_are_refused(deep: OceanGrid) -> None:
    state = noise(deep, dtype=torch.float32)
    with pytest.raises(ValueError, match="on a grid of"):
        adjust(state, eos=equation_of_state("linear"), grid=deep.part(slice(0, 1)))


def test_columns_without_numbers_are_left_alone(deep: OceanGrid) -> None:
    state = noise(deep, dtype=torch.float32)
    state.temperature[0, 3, 0] = torch.nan
    adjusted = adjust(state, eos=equation_of_state("jmd95"), grid=deep)
    expected = adjusted_in_torch(state, "jmd95", deep)
    torch.testing.assert_close(
        adjusted.to_channels(), expected.to_channels(), rtol=0, atol=0, equal_nan=True
    )


def test_threads_share_the_rows(deep: OceanGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    state, eos = noise(deep, dtype=torch.float32), equation_of_state("nemo-seos")
    alone = adjust(state, eos=eos, grid=deep)
    monkeypatch.setattr(compiled, "CELLS_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert same(adjust(state, eos=eos, grid=deep), alone)


def test_stretches_make_up_all_rows_and_errors_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    stretches: list[tuple[int, int]] = []
    compiled.in_threads(lambda *rows: stretches.append(rows), 10, cells=10**9)
    assert sorted(stretches) == [(0, 3), (3, 6), (6, 10)]
    compiled.in_threads(lambda *rows: stretches.append(rows), 10, cells=10)
    assert stretches[3:] == [(0, 10)]
    with pytest.raises(ZeroDivisionError):
        compiled.in_threads(lambda first, last: first // 0, 10, cells=10**9)


def test_the_gradient_is_that_of_torch(deep: OceanGrid) -> None:
    random = torch.Generator().manual_seed(4)
    gradients = []
    for way in (adjust_with_gradient, stratification._adjust_in_torch):
        state = noise(deep, dtype=torch.float32).map(Tensor.requires_grad_)
        eos = equation_of_state("nemo-seos")
        adjusted = way(state, eos=eos, grid=deep, tolerance=0.0).to_channels()
        weights = torch.randn(adjusted.shape, generator=random.manual_seed(4))
        (adjusted * weights).sum().backward()
        gradients.append((state.temperature.grad, state.salinity.grad))
    torch.testing.assert_close(*gradients)


def test_group_means_differentiate_like_finite_differences() -> None:
    random = torch.Generator().manual_seed(5)
    values = torch.randn(2, 6, 2, 3, generator=random, dtype=torch.float64, requires_grad=True)
    thickness = torch.rand(6, 2, 3, generator=random, dtype=torch.float64).numpy()
    joined = torch.rand(2, 5, 2, 3, generator=random) < 0.5
    assert torch.autograd.gradcheck(lambda x: group_means(x, thickness, joined), values)


@dataclass(frozen=True)
class Exponential(EquationOfState):
    """Thermal expansion that grows exponentially with temperature; cannot be compiled."""

    name: ClassVar[str] = "exponential"

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        return -0.1 * (0.1 * temperature).exp(), torch.full_like(salinity, 0.8)


def test_a_formula_that_cannot_be_compiled_is_adjusted_in_torch(
    deep: OceanGrid, noisy_state: Build, grid: OceanGrid
) -> None:
    adjusted = adjust(noisy_state(), eos=Exponential(), grid=grid)
    assert not same(adjusted, noisy_state())
    assert adjust(adjusted, eos=Exponential(), grid=grid) is adjusted
