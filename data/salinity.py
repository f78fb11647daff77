"""The one name and unit of salinity, which follow from its kind.

The equation of state decides the kind (`data.kinds.taken_kinds`): practical or absolute. Archives
keep the unit that their data were read with, because it is part of their identity.
"""

from __future__ import annotations

from typing import NamedTuple

from data.kinds import ABSOLUTE, PRACTICAL, taken_kinds


class Salinity(NamedTuple):
    """How files and people call a kind of salinity.

    standard_name, units: of CF; long_name: for axes of plots; shown: unit in tables and figures
    """

    standard_name: str
    long_name: str
    units: str
    shown: str

    def unit_in(self, text: str) -> str:
        """`text`, which has the unit of practical salinity, with the unit of this kind."""
        return text.replace(SHOWN, self.shown)


_KINDS = {
    PRACTICAL: Salinity("sea_water_practical_salinity", "practical salinity", "1", "10⁻³"),
    ABSOLUTE: Salinity("sea_water_absolute_salinity", "absolute salinity", "g kg-1", "g kg⁻¹"),
}
SHOWN = _KINDS[PRACTICAL].shown  # where the equation of state is unknown or leaves the kind open


def salinity_of(equation_of_state: str) -> Salinity:
    """Name and units of the salinity that the equation of state takes."""
    return _KINDS[taken_kinds(equation_of_state)["salinity"]]
