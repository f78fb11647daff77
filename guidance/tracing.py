"""Density steps of two cells, compiled from the formulas of the equations of state.

A formula written for tensors is traced once, with symbols that record every operation as source
code of the compiled function. Each formula is thus written only once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sqrt
from typing import Any, TypeAlias

import torch

from guidance.compiled import inlined
from guidance.seawater import EquationOfState

DensityStep: TypeAlias = Callable[[float, float, float, float, float], float]
_ARGUMENTS = ("upper_t", "upper_s", "lower_t", "lower_s", "depth")


def compiled_density_step(eos: EquationOfState) -> DensityStep | None:
    """`eos.density_step` for float64 numbers in kernels, bitwise equal to torch's.

    None if the formula has an operation other than + - * /, square, inverse root, absolute value
    and a lower bound. torch rounds these as in IEEE 754, so kernels and torch agree on stability;
    it does not do so for all operations, for example square roots.
    """
    lines: list[str] = []
    formula: Any = eos.density_step
    try:
        result = formula(*(_Symbol(name, lines) for name in _ARGUMENTS))
        lines.append(f"return {_text(result)}")
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return None
    return _density_step("".join(f"    {line}\n" for line in lines))


@lru_cache(maxsize=16)
def _density_step(body: str) -> DensityStep:
    names: dict[str, Any] = {"sqrt": sqrt}
    exec(f"def density_step({', '.join(_ARGUMENTS)}):\n{body}", names)
    step: DensityStep = inlined(names["density_step"])
    return step


Operator: TypeAlias = Callable[["_Symbol", Any], "_Symbol"]


def _both_ways(sign: str) -> tuple[Operator, Operator]:
    """The operator with the symbol on the left, and on the right."""

    def left(self: _Symbol, other: Any) -> _Symbol:
        return self.record(f"{self.name} {sign} {_text(other)}")

    def right(self: _Symbol, other: Any) -> _Symbol:
        return self.record(f"{_text(other)} {sign} {self.name}")

    return left, right


class _Symbol:
    """Represents a tensor in a formula and records operations on it as lines of source code."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self._lines = name, lines

    def record(self, expression: str) -> _Symbol:
        """A symbol for the value of the expression."""
        name = f"x{len(self._lines)}"
        self._lines.append(f"{name} = {expression}")
        return _Symbol(name, self._lines)

    __add__, __radd__ = _both_ways("+")
    __sub__, __rsub__ = _both_ways("-")
    __mul__, __rmul__ = _both_ways("*")
    __truediv__, __rtruediv__ = _both_ways("/")

    def __neg__(self) -> _Symbol:
        return self.record(f"-{self.name}")

    def __pow__(self, exponent: int) -> _Symbol:
        if exponent != 2:
            raise NotImplementedError(
                "squares are the only powers with the same rounding everywhere"
            )
        return self * self

    def __bool__(self) -> bool:
        raise TypeError("formulas that branch on values cannot be traced")

    def abs(self) -> _Symbol:
        return self.record(f"abs({self.name})")

    def rsqrt(self) -> _Symbol:
        return self.record(f"1.0 / sqrt({self.name})")

    def clamp(self, *, min: float) -> _Symbol:
        # As in torch, NaN stays NaN.
        return self.record(f"{_text(min)} if {self.name} < {_text(min)} else {self.name}")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> float:
        if function is torch.full_like and not options:
            return float(arguments[1])
        raise NotImplementedError(f"{function} of a symbol")


def _text(value: _Symbol | float) -> str:
    """The value as source code, in full precision."""
    if isinstance(value, _Symbol):
        return value.name
    if isinstance(value, int | float):
        return f"({float(value)!r})"
    raise TypeError(f"{type(value).__name__} in a formula")
