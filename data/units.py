"""Units, and the limits that tell one unit from another."""

ZERO_CELSIUS = 273.15  # K
KELVIN_ABOVE = 100.0  # no ocean is this warm in degC, none this cold in K
METRES = {"m", "metre", "meter", "metres", "meters"}
SECONDS_PER_DAY = 86400.0
