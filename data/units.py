"""Units as files spell them, and the limits that tell one unit from another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.errors import UserError

ZERO_CELSIUS = 273.15  # K
KELVIN_ABOVE = 100.0  # no ocean is this warm in degC, none this cold in K
METRES = {"m", "metre", "meter", "metres", "meters"}
SECONDS_PER_DAY = 86400.0

# Spellings after `_spelling`: lower case, without blanks, underscores, outer brackets and marks of
# powers; numbers are as Python writes them.
_PREFIXES = {"": 1.0, "centi": 1e-2, "milli": 1e-3, "kilo": 1e3}
LENGTHS: dict[str, float] = {  # in m
    **{f"{prefix}{name}": value for prefix, value in _PREFIXES.items() for name in METRES - {"m"}},
    **{"m": 1.0, "cm": 1e-2, "mm": 1e-3, "km": 1e3},
}
AREAS: dict[str, float] = {  # in m2
    **{f"{name}2": value**2 for name, value in LENGTHS.items()},
    **{f"square{name}": value**2 for name, value in LENGTHS.items()},
}
YEARS: dict[str, float] = dict.fromkeys(("year", "years", "yr", "yrs", "a"), 1.0)
_CELSIUS = {"c", "celsius", "celcius", "centigrade", "oc"}
_CELSIUS |= {"cdeg", "cdegree", "cdegrees", "celsiusdegree", "celsiusdegrees"}
_KELVIN = {"k", "kelvin", "kelvins"}
_NUMBERS = {"1.0", "dimensionless", "unitless", "none", "nounits", "nondim", "-"}
_PRACTICAL = {"psu", "psal", "pss", "pss78", "pss-78", "practicalsalinityunit"}
_PER_THOUSAND = {"0.001", "10-3", "ppt", "permil", "permill", "permille", "‰"}
_PER_THOUSAND |= {"partsperthousand", "partperthousand", "practicalsalinityunits"}
_PER_THOUSAND |= {"o/oo", "0/00", "%o"}
_GRAM = ("g", "gm", "gr", "gram", "grams", "gramme", "grammes")
_KILOGRAM = ("kg", "kgs", "kilo", "kilogram", "kilograms", "kilogramme", "kilogrammes")


def _ratios(above: Iterable[str], below: Iterable[str]) -> set[str]:
    """Spellings of one unit divided by another."""
    forms = ("{}/{}", "{}per{}", "{}{}-1", "{}.{}-1", "{}*{}-1")
    return {form.format(one, other) for form in forms for one in above for other in below}


_GRAMS = _ratios(_GRAM, _KILOGRAM)
_KILOGRAMS = _ratios(_KILOGRAM, _KILOGRAM) | _ratios(_GRAM, _GRAM) | {"kg/kgofseawater"}
SALINITIES: dict[str, float] = {  # in 1e-3 or g/kg
    **dict.fromkeys(_NUMBERS | _PRACTICAL | _PER_THOUSAND | _GRAMS, 1.0),
    **dict.fromkeys(_KILOGRAMS, 1e3),
}
PRESSURES: dict[str, float] = {  # in dbar
    **dict.fromkeys(("dbar", "dbars", "decibar", "decibars"), 1.0),
    **dict.fromkeys(("bar", "bars"), 10.0),
    **dict.fromkeys(("pa", "pascal", "pascals"), 1e-4),
    **{"hpa": 1e-2, "kpa": 0.1, "mpa": 100.0},
}


def is_practical(units: str) -> bool:
    """Whether a unit of salinity states the practical salinity scale."""
    return _spelling(units) in _PRACTICAL | {"practicalsalinityunits"}


def is_per_mass(units: str) -> bool:
    """Whether a unit of salinity is mass of salt by mass of sea water."""
    return _spelling(units) in _GRAMS | _KILOGRAMS


def is_kelvin(units: str) -> bool | None:
    """Whether a unit of temperature is kelvin, or degC; None if it is neither."""
    # "degrees K", "deg_C" and "°C" in any encoding have the same letters.
    letters = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKC", units).lower())
    name = re.sub(r"^deg(ree)?s?", "", letters) or letters
    if name in _KELVIN:
        return True
    return False if name in _CELSIUS else None


def factor(
    attributes: Mapping[str, object],
    known: Mapping[str, float],
    *,
    quantity: str,
    path: Path,
    expected: str,
) -> float:
    """What converts values to the first unit of `known`; 1 for a variable without units.

    Raises UserError for units that are not known; quantity, path and expected are named in it.
    """
    units = str(attributes.get("units", "")).strip()
    if not units:
        return 1.0
    found = known.get(_spelling(units))
    if found is None:
        raise UserError(
            f'{quantity} of {path} is in "{units}": expected {expected}; convert the file, or '
            "correct its attribute units."
        )
    return found


def _spelling(units: str) -> str:
    # Superscripts become digits, and all signs of minus one.
    plain = unicodedata.normalize("NFKC", units).lower().replace("\u2212", "-")
    text = re.sub(r"[\s_]|\^|\*\*|(?<=[a-z])\.(?=[a-z])", "", plain)
    text = re.sub(r"^[\[(](.*)[\])]$", r"\1", text)
    try:
        return str(float(text))
    except ValueError:
        return text
