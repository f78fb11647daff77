"""Output of made-up oceans, as models and archives write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

TIMES, LEVELS, ROWS, COLUMNS = 48, 5, 10, 12
DEPTH = np.array([10.0, 60.0, 200.0, 700.0, 2000.0])
LAYERS = np.array([20.0, 80.0, 200.0, 800.0, 1800.0])
LATITUDE, LONGITUDE = np.arange(ROWS) * 10.0 - 45, np.arange(COLUMNS) * 30.0 + 15
WET = np.ones((LEVELS, ROWS, COLUMNS), bool)
WET[:, 0] = WET[:, 4:6, 3] = WET[3:, 7] = False
CLOCK = {"units": "days since 0001-01-01", "calendar": "360_day"}
VOLUME = ("time", "z", "y", "x")
POTENTIAL = {"standard_name": "sea_water_potential_temperature", "units": "degC"}


def ocean(*, seed=0, first_day=0.0, times=TIMES) -> xr.Dataset:
    """A stratified ocean with waves that change within a few of its quarterly states; land NaN."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    waves = np.stack([np.cos(2 * np.pi * (k * x / COLUMNS + y / ROWS)) for k in (1, 2)])
    red = random.normal(size=(times, 2))
    for time in range(1, times):
        red[time] = 0.5 * red[time - 1] + red[time]
    anomaly = np.einsum("tk,kyx->tyx", red, waves)[:, None] * np.exp(-DEPTH / 600)[:, None, None]
    warm = np.array([18.0, 17.0, 12.0, 6.0, 2.0])[:, None, None] + np.cos(2 * np.pi * x / COLUMNS)
    fields = {"t": warm + 0.3 * anomaly, "s": 35 + 0.02 * anomaly, "eta": 0.1 * anomaly[:, 0]}
    land = {4: WET, 3: WET[0]}
    dims = {4: VOLUME, 3: ("time", "y", "x")}
    masked = {
        name: (dims[values.ndim], np.where(land[values.ndim], values, np.nan).astype("f4"))
        for name, values in fields.items()
    }
    return xr.Dataset(masked, coords={"time": ("time", first_day + 90.0 * np.arange(times), CLOCK)})


def positions(dims=("y", "x"), names=("lon", "lat")) -> dict[str, tuple]:
    longitude, latitude = np.meshgrid(LONGITUDE, LATITUDE)
    units = {"units": "degrees_east"}, {"units": "degrees_north"}
    return {
        names[0]: (dims, longitude, units[0]),
        names[1]: (dims, latitude, units[1]),
    }


def nemo(folder: Path) -> None:
    """Three years in three files each with its grid_U, and the mesh mask beside them."""
    depth = ("deptht", DEPTH, {"units": "m", "positive": "down"})
    names = {"t": "toce", "s": "soce", "eta": "ssh", "time": "time_counter", "z": "deptht"}
    for part in range(3):
        whole = ocean(seed=part, first_day=part * 1440.0, times=16).rename(names)
        output = whole.assign(positions(names=("nav_lon", "nav_lat"))).assign_coords(deptht=depth)
        output.toce.attrs = {"units": "degC", "long_name": "Conservative Temperature"}
        output.to_netcdf(folder / f"RUN_{part}_grid_T.nc")
        flow = output[["toce"]].rename(toce="uo", deptht="depthu")
        flow.to_netcdf(folder / f"RUN_{part}_grid_U.nc")
    cells = ("time_counter", "nav_lev", "y", "x")
    width = (("time_counter", "y", "x"), np.full((1, ROWS, COLUMNS), 1e6))
    mesh = {
        "tmask": (cells, WET[None].astype("i1")),
        "e1t": width,
        "e2t": width,
        "e3t_0": (cells, np.broadcast_to(LAYERS[:, None, None], WET.shape)[None]),
        "gdept_1d": (cells[:2], DEPTH[None]),
        **positions(names=("nav_lon", "nav_lat")),
    }
    xr.Dataset(mesh).to_netcdf(folder / "mesh_mask.nc")


def mitgcm(folder: Path) -> None:
    """As xmitgcm names it: negative depths, land 0, partial cells."""
    names = {"t": "THETA", "s": "SALT", "eta": "ETAN", "z": "Z", "y": "YC", "x": "XC"}
    axes = {
        "Z": ("Z", -DEPTH, {"units": "m"}),
        "YC": ("YC", LATITUDE, {"units": "degrees_north"}),
        "XC": ("XC", LONGITUDE, {"units": "degrees_east"}),
    }
    output = ocean().fillna(0).rename(names).assign_coords(axes)
    output = output.assign(drF=("Z", LAYERS), hFacC=(("Z", "YC", "XC"), WET.astype("f4")))
    output.to_netcdf(folder / "state.nc")


def cmip(folder: Path) -> None:
    """A file for each variable, kelvin not stated, bounds of all axes."""
    names = {"t": "thetao", "s": "so", "eta": "zos", "z": "lev", "y": "lat", "x": "lon"}

    def axis(dim, values, units, width, **attributes):
        bounds = np.stack([values - width / 2, values + width / 2], axis=-1)
        told = {"units": units, "bounds": f"{dim}_bnds", **attributes}
        return {dim: (dim, values, told), f"{dim}_bnds": ((dim, "bnds"), bounds)}

    axes = {
        **axis("lat", LATITUDE, "degrees_north", 10.0),
        **axis("lon", LONGITUDE, "degrees_east", 30.0),
        **axis("lev", DEPTH, "m", LAYERS, positive="down", axis="Z"),
    }
    whole = ocean().rename(names).assign(axes)
    whole.thetao.attrs = POTENTIAL
    whole.so.attrs = {"standard_name": "sea_water_salinity", "units": "0.001"}
    for name in ("thetao", "so", "zos"):
        others = {"thetao", "so", "zos"} - {name}
        whole.drop_vars(others).to_netcdf(folder / f"{name}_Omon_MODEL_r1i1p1f1_gn_0001-0012.nc")


def mom6(folder: Path) -> None:
    """Positions, areas and land in a static file."""
    names = {"t": "temp", "s": "salt", "eta": "SSH", "z": "z_l", "y": "yh", "x": "xh"}
    axes = {
        "z_l": ("z_l", DEPTH, {"units": "meters", "positive": "down"}),
        "yh": ("yh", LATITUDE, {"units": "degrees_north", "axis": "Y"}),
        "xh": ("xh", LONGITUDE, {"units": "degrees_east", "axis": "X"}),
    }
    output = ocean().rename(names).assign_coords(axes)
    output.temp.attrs = {"long_name": "Potential Temperature", "units": "degC"}
    output.salt.attrs = {"long_name": "Practical Salinity", "units": "psu"}
    output.to_netcdf(folder / "ocean_month_z.nc")
    static = {
        **positions(("yh", "xh"), ("geolon", "geolat")),
        "wet": (("yh", "xh"), WET[0].astype("f4")),
        "areacello": (("yh", "xh"), np.full((ROWS, COLUMNS), 3e12), {"units": "m2"}),
    }
    xr.Dataset(static).to_netcdf(folder / "ocean_static.nc")


def pop(folder: Path) -> None:
    """Depths in cm, land by KMT, members in files of their own."""
    names = {"t": "TEMP", "s": "SALT", "eta": "SSH", "z": "z_t", "y": "nlat", "x": "nlon"}
    flat = ("nlat", "nlon")
    maps = {
        **positions(flat, ("TLONG", "TLAT")),
        "KMT": (flat, WET.sum(0)),
        "dz": ("z_t", 100 * LAYERS, {"units": "centimeters"}),
    }
    for member in range(6):
        output = ocean(seed=member, times=12).rename(names).assign(maps).fillna(0)
        depth = ("z_t", 100 * DEPTH, {"units": "centimeters", "positive": "down"})
        output.assign_coords(z_t=depth).to_netcdf(folder / f"pop.e{member}.nc")


def veros(folder: Path) -> None:
    """A sector whose ends join, from the sea floor up, depths negative."""
    names = {"t": "temp", "s": "salt", "time": "Time", "z": "zt", "y": "yt", "x": "xt"}
    output = ocean().drop_vars("eta").rename(names).fillna(-1e18)
    axes = {
        "zt": ("zt", -DEPTH, {"units": "m"}),
        "yt": ("yt", LATITUDE, {"units": "degrees_north"}),
        "xt": ("xt", LONGITUDE / 6, {"units": "degrees_east"}),
        "Time": ("Time", output.Time.values, {"units": "days since 0001-01-01"}),
    }
    output = output.assign_coords(axes).isel(zt=slice(None, None, -1))
    grid = {
        "dzt": ("zt", LAYERS[::-1]),
        "area_t": (("yt", "xt"), np.full((ROWS, COLUMNS), 1e11)),
    }
    output.assign(grid).to_netcdf(folder / "basin.snapshot.nc")
