"""Names of the equations of state; `guidance.seawater` implements each."""

from __future__ import annotations

from typing import Literal, get_args

# Of potential temperature and practical salinity, unless the model leaves that open.
_PotentialName = Literal[
    "jmd95",
    "linear",
    "nemo-eos80",
    "nemo-seos",
    "veros-linear",
    "veros-nonlinear1",
    "veros-nonlinear3",
    "veros-vallis",
]
# Of conservative temperature and absolute salinity.
_ConservativeName = Literal["nemo-teos10", "veros-gsw"]
EquationName = Literal[_PotentialName, _ConservativeName]
EQUATIONS: tuple[EquationName, ...] = get_args(EquationName)


def is_conservative(name: str) -> bool:
    """Whether the equation takes conservative temperature and absolute salinity."""
    return name in get_args(_ConservativeName)
