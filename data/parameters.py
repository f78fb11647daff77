"""Parameters of states in files: names and units that are fixed, and attributes of variables."""

from __future__ import annotations

from collections.abc import Mapping

SEASON, AGE = "season", "age"
YEAR = "year"  # of ages and model times, as UDUNITS spells it
NO_UNIT = "1"
_FIXED = {
    SEASON: {"long_name": "season as a fraction of the year, 0 is 1 January", "units": NO_UNIT},
    AGE: {"long_name": "time since the parameters changed, infinite in equilibrium", "units": YEAR},
}


def parameter_attributes(name: str, units: Mapping[str, str]) -> dict[str, str]:
    """CF attributes of a parameter; units: of the parameters by name, those that are known."""
    if name in _FIXED:
        return _FIXED[name]
    known = {"units": units[name]} if name in units else {}
    return {"long_name": name.replace("_", " "), **known}


def stated_unit(attributes: Mapping[str, object]) -> str:
    """The unit that the attributes of a variable state, in one line; empty if they state none."""
    return " ".join(str(attributes.get("units", "")).split())


def units_of(variables: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Units by name of those variables whose attributes state one."""
    return {name: unit for name, given in variables.items() if (unit := stated_unit(given))}


def unit_suffix(name: str, units: Mapping[str, str]) -> str:
    """What follows a value of a parameter in a text: " m2 s-1"; nothing for 1 or no known unit."""
    unit = parameter_attributes(name, units).get("units", NO_UNIT)
    return "" if unit == NO_UNIT else f" {unit}"


def axis_label(name: str, units: Mapping[str, str]) -> str:
    """A parameter's label in a figure: "warming [K]"."""
    unit = unit_suffix(name, units).strip()
    return f"{name} [{unit}]" if unit else name
