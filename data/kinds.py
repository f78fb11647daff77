"""The kinds of temperature and salinity that files state, against those an equation takes."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path

import xarray as xr

from data.equations import is_conservative
from data.errors import UserError

POTENTIAL, CONSERVATIVE, IN_SITU = "potential", "conservative", "in-situ"
PRACTICAL, ABSOLUTE = "practical", "absolute"

# By standard name, then by long name, then by customary name. `sea_water_salinity` leaves the kind
# open (CMIP uses it for both), as do names such as `thetao`.
_STANDARD = {
    "sea_water_potential_temperature": POTENTIAL,
    "sea_water_conservative_temperature": CONSERVATIVE,
    "sea_water_temperature": IN_SITU,
    "sea_water_practical_salinity": PRACTICAL,
    "sea_water_knudsen_salinity": PRACTICAL,
    "sea_water_cox_salinity": PRACTICAL,
    "sea_water_absolute_salinity": ABSOLUTE,
    "sea_water_preformed_salinity": "preformed",
    "sea_water_reference_salinity": "reference",
}
_LONG = {
    r"conservative[ _]temp": CONSERVATIVE,
    r"potential[ _]temp": POTENTIAL,
    r"in[- _]?situ[ _].*temp|temp.*in[- _]?situ": IN_SITU,
    r"absolute[ _]sal": ABSOLUTE,
    r"practical[ _]sal": PRACTICAL,
}
_CUSTOMARY = {
    "bigthetao": CONSERVATIVE,
    "toce_con": CONSERVATIVE,
    "toce_pot": POTENTIAL,
    "toce_insitu": IN_SITU,
    "soce_abs": ABSOLUTE,
    "soce_pra": PRACTICAL,
}
_TEMPERATURES = {POTENTIAL, CONSERVATIVE, IN_SITU}


def stated_kind(name: Hashable, attributes: Mapping[str, object]) -> str | None:
    """The kind of temperature or salinity that a variable states; None if it leaves that open."""
    standard = _STANDARD.get(str(attributes.get("standard_name")))
    long_name = str(attributes.get("long_name", "")).lower()
    described = (kind for text, kind in _LONG.items() if re.search(text, long_name))
    return standard or next(described, None) or _CUSTOMARY.get(str(name))


def taken_kinds(equation: str) -> dict[str, str]:
    """The kind of temperature and of salinity that an equation of state takes."""
    conservative = is_conservative(equation)
    return {
        "temperature": CONSERVATIVE if conservative else POTENTIAL,
        "salinity": ABSOLUTE if conservative else PRACTICAL,
    }


def of_right_kind(
    dataset: xr.Dataset, equation: str | None, *, named: Collection[str | None]
) -> xr.Dataset:
    """The dataset without fields of another kind, where it has those that the equation takes.

    Fields that the settings name stay: `check_kind` judges them.
    """
    if equation is None:
        return dataset
    kinds = {
        name: stated_kind(name, variable.attrs)
        for name, variable in dataset.variables.items()
        if variable.ndim > 2 and name not in named
    }
    dropped = []
    for quantity, taken in taken_kinds(equation).items():
        same = [name for name, kind in kinds.items() if _quantity(kind) == quantity]
        if any(kinds[name] == taken for name in same):
            dropped += [name for name in same if kinds[name] != taken]
    return dataset.drop_vars(dropped)


def check_kind(
    quantity: str, name: Hashable, attributes: Mapping[str, object], *, equation: str, path: Path
) -> None:
    """Raise UserError if a variable states another kind than the equation takes."""
    found, taken = stated_kind(name, attributes), taken_kinds(equation)[quantity]
    if found not in (None, taken):
        raise UserError(
            f"{name} of {path} is {found} {quantity} by its own attributes, but {equation} takes "
            f"{taken} {quantity}: name a variable that holds it as "
            f"data.ingest.variables.{quantity}, convert the data with gsw, or give the equation of "
            "state that the model ran with."
        )


def _quantity(kind: str | None) -> str | None:
    if kind is None:
        return None
    return "temperature" if kind in _TEMPERATURES else "salinity"
