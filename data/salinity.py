"""The one name and unit of salinity, which follow from its kind.

The equation of state decides the kind (`data.kinds.taken_kinds`): practical or absolute. Archives
of a model's states keep the unit that their data were read with, because it is part of their
identity.
"""

from __future__ import annotations

from typing import NamedTuple

from data.kinds import ABSOLUTE, PRACTICAL, taken_kinds


class Salinity(NamedTuple):
    """How files and people call a kind of salinity.

    standard_name, units: of CF; long_name: for axes of plots; shown, shown_squared: the unit and
        that of variances in tables and figures
    """

    standard_name: str
    long_name: str
    units: str
    shown: str
    shown_squared: str

    def unit_in(self, text: str) -> str:
        """`text`, which has the unit of practical salinity, with the unit of this kind."""
        return text.replace(SALINITY_UNIT, self.shown)


_KINDS = {
    PRACTICAL: Salinity(
        standard_name="sea_water_practical_salinity",
        long_name="practical salinity",
        units="1",
        shown="10⁻³",
        shown_squared="10⁻⁶",
    ),
    ABSOLUTE: Salinity(
        standard_name="sea_water_absolute_salinity",
        long_name="absolute salinity",
        units="g kg-1",
        shown="g kg⁻¹",
        shown_squared="g² kg⁻²",
    ),
}
PRACTICAL_SALINITY = _KINDS[PRACTICAL]
# In tables of studies, whose oceans have practical salinity.
SALINITY_UNIT = PRACTICAL_SALINITY.shown


def salinity_of(equation_of_state: str) -> Salinity:
    """Name and units of the salinity that the equation of state takes."""
    return _KINDS[taken_kinds(equation_of_state)["salinity"]]
