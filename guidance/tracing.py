"""Density steps of two cells, compiled from the formulas of the equations of state.

A formula that is written for tensors is followed once, with stand-ins for its numbers that note
every operation; the notes are the source of the compiled function. So each formula exists once.
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
    """`eos.density_step` of float64 numbers, to be called by kernels: the same to the last bit.

    None if the formula has an operation other than + - * /, square, inverse root, absolute value
    and clamping from below. These torch rounds as IEEE 754 says, so that what a kernel finds
    stable is stable by torch; its square root, say, is not always so.
    """
    lines: list[str] = []
    formula: Any = eos.density_step
    try:
        result = formula(*(_Noted(name, lines) for name in _ARGUMENTS))
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


Operator: TypeAlias = Callable[["_Noted", Any], "_Noted"]


def _both_ways(sign: str) -> tuple[Operator, Operator]:
    """The operator with the stand-in on the left, and with it on the right."""

    def left(self: _Noted, other: Any) -> _Noted:
        return self.note(f"{self.name} {sign} {_text(other)}")

    def right(self: _Noted, other: Any) -> _Noted:
        return self.note(f"{_text(other)} {sign} {self.name}")

    return left, right


class _Noted:
    """Stands for a tensor in a formula and notes what is done to it as lines of source."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self._lines = name, lines

    def note(self, expression: str) -> _Noted:
        """A stand-in for the value of the expression."""
        name = f"x{len(self._lines)}"
        self._lines.append(f"{name} = {expression}")
        return _Noted(name, self._lines)

    __add__, __radd__ = _both_ways("+")
    __sub__, __rsub__ = _both_ways("-")
    __mul__, __rmul__ = _both_ways("*")
    __truediv__, __rtruediv__ = _both_ways("/")

    def __neg__(self) -> _Noted:
        return self.note(f"-{self.name}")

    def __pow__(self, exponent: int) -> _Noted:
        if exponent != 2:
            raise NotImplementedError("only squares are rounded alike everywhere")
        return self * self

    def __bool__(self) -> bool:
        raise TypeError("a formula that decides by its numbers cannot be followed")

    def abs(self) -> _Noted:
        return self.note(f"abs({self.name})")

    def rsqrt(self) -> _Noted:
        return self.note(f"1.0 / sqrt({self.name})")

    def clamp(self, *, min: float) -> _Noted:
        # As torch does, what is not a number stays so.
        return self.note(f"{_text(min)} if {self.name} < {_text(min)} else {self.name}")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> float:
        if function is torch.full_like and not options:
            return float(arguments[1])
        raise NotImplementedError(f"{function} of a stand-in")


def _text(value: _Noted | float) -> str:
    """The value in source, in full precision."""
    if isinstance(value, _Noted):
        return value.name
    if isinstance(value, int | float):
        return f"({float(value)!r})"
    raise TypeError(f"{type(value).__name__} among the numbers of a formula")
