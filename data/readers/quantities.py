"""What models call temperature, salinity and the parts of their grids."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr


@dataclass(frozen=True)
class Quantity:
    """How files call a quantity; all in lower case.

    customary: names in use; fallback: names that often mean something else
    """

    standard: tuple[str, ...]
    customary: tuple[str, ...]
    fallback: tuple[str, ...] = ()

    def rank(self, name: str, variable: xr.Variable) -> int:
        """0 for the surest name; 4 for none of them."""
        standard = variable.attrs.get("standard_name") in self.standard
        customary = name.lower() in self.customary
        if standard or customary:
            return 2 - standard - (standard and customary)
        return 3 if name.lower() in self.fallback else 4


QUANTITIES: dict[str, Quantity] = {
    "temperature": Quantity(
        ("sea_water_potential_temperature", "sea_water_conservative_temperature"),
        ("thetao", "bigthetao", "votemper", "toce", "theta", "temp"),
        ("t",),
    ),
    "salinity": Quantity(
        ("sea_water_salinity", "sea_water_practical_salinity", "sea_water_absolute_salinity"),
        ("so", "vosaline", "soce", "salt"),
        ("s",),
    ),
    "sea_level": Quantity(
        ("sea_surface_height_above_geoid", "sea_surface_height_above_sea_level"),
        ("zos", "ssh", "sossheig", "etan", "eta_t"),
        ("eta",),
    ),
    "longitude": Quantity(
        ("longitude", "projection_x_coordinate"),
        ("nav_lon", "lon", "longitude", "xc", "tlong", "geolon", "geolon_t", "glamt", "lon_rho"),
        ("x", "xh", "xt_ocean"),
    ),
    "latitude": Quantity(
        ("latitude", "projection_y_coordinate"),
        ("nav_lat", "lat", "latitude", "yc", "tlat", "geolat", "geolat_t", "gphit", "lat_rho"),
        ("y", "yh", "yt_ocean"),
    ),
    "depth": Quantity(
        ("depth",),
        ("depth", "deptht", "olevel", "lev", "z", "z_t", "z_l", "st_ocean"),
        ("nav_lev", "zl", "rc"),
    ),
    "mask": Quantity(("sea_binary_mask",), ("mask", "tmask", "wet", "maskc")),
    "area": Quantity(
        ("cell_area",), ("area", "cell_area", "areacello", "tarea", "area_t", "ra", "rac")
    ),
    "thickness": Quantity(
        ("cell_thickness",), ("thickness", "thkcello", "e3t", "e3t_0", "dz", "dzt"), ("h", "drf")
    ),
    # Number of wet levels of a column (POP, MOM5, NEMO), and MITgcm's open part of a cell.
    "wet_levels": Quantity((), ("kmt", "mbathy", "bottom_level")),
    "open_part": Quantity((), ("hfacc", "hfac")),
    "layers": Quantity((), ("drf",)),
}
