"""Compiled density steps are bitwise equal to those of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from data.equations import EQUATIONS
from guidance.seawater import Depth, EquationOfState, Linear, NemoSimplified, equation_of_state
from guidance.tracing import compiled_density_step

EQUATIONS = [
    *map(equation_of_state, EQUATIONS),
    NemoSimplified(lambda2=7.4914e-4, mu2=1.1090e-5, nu=2.4341e-3),
]


@dataclass(frozen=True)
class Bent(EquationOfState):
    """Equations with the `kind` of function of temperature; they cannot be compiled."""

    name: ClassVar[str] = "bent"
    kind: str

    def slopes(self, temperature: Tensor, salinity: Tensor, depth: Depth) -> tuple[Tensor, Tensor]:
        if self.kind == "exponential":
            return -temperature.exp(), salinity
        if self.kind == "cubic":
            return -(temperature**3), salinity
        if self.kind == "function":
            return -torch.tanh(temperature), salinity
        if self.kind == "decision":
            return (temperature if temperature else salinity), salinity
        return temperature * torch.ones(1), salinity


@pytest.mark.parametrize("eos", EQUATIONS, ids=repr)
def test_the_compiled_step_is_that_of_torch_to_the_last_bit(eos: EquationOfState) -> None:
    random = torch.Generator().manual_seed(0)
    lowest, highest = torch.tensor([[-3.0, 0, -3, 0, 0], [35.0, 42, 35, 42, 6000]]).double()
    points = lowest + (highest - lowest) * torch.rand(2001, 5, generator=random).double()
    step = compiled_density_step(eos)
    assert step is not None
    compiled = torch.tensor([step(*point) for point in points.tolist()], dtype=torch.float64)
    assert torch.equal(compiled, eos.density_step(*points.T))


def test_equal_layers_have_no_step_and_no_number_stays_none() -> None:
    for eos in EQUATIONS:
        step = compiled_density_step(eos)
        assert step(4.1, 35.3, 4.1, 35.3, 100.0) == 0
        assert step(0.0, 0.0, 0.0, 0.0, 100.0) == 0  # land
        assert not step(4.0, float("nan"), 4.0, 35.0, 100.0) <= float("inf")


def test_each_set_of_parameters_has_its_own_step() -> None:
    steps = [
        compiled_density_step(eos)(10.0, 35.0, 9.0, 35.0, 0.0)
        for eos in (Linear(), Linear(thermal_expansion=2 * Linear.thermal_expansion))
    ]
    assert steps[1] == pytest.approx(2 * steps[0])


@pytest.mark.parametrize("kind", ["exponential", "cubic", "function", "decision", "tensor"])
def test_other_formulas_are_left_to_torch(kind: str) -> None:
    assert compiled_density_step(Bent(kind)) is None
