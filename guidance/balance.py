"""Velocities and sea level in geostrophic balance with temperature and salinity.

The balance is hydrostatic, dp/dz = g rho with z down, and geostrophic, f u = -(dp/dy) / rho0 and
f v = (dp/dx) / rho0: together the thermal wind, by which horizontal differences of density are
vertical shear (Vallis 2017, Atmospheric and Oceanic Fluid Dynamics, section 2.8). A reference says
how fast the water moves at one depth. What wind, friction and inertia add is not in it.

Pressure is taken at equal depths on both sides of a face, and density at the depth of its level, so
that partial cells and a sloping sea floor make no flow. All arithmetic is in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.errors import UserError
from data.geometry import centre_distances
from data.grid import FloatArray, OceanGrid, wet_tensor
from data.state import State
from guidance.seawater import GRAVITY, EquationOfState
from guidance.stratification import REFERENCE_DENSITY

EARTH_ROTATION = 7.2921e-5  # [1/s]
EQUATOR_SCALE = 2.2  # [degrees], theta_s of Lagerloef et al. 1999
X, Y = -1, -2  # axes of a field `... y x`
Reference = Literal["floor", "sea_level"] | float


class Velocities(NamedTuple):
    """Horizontal velocities `b z y x` [m/s] on the faces of a C grid, along its x and y axes.

    u: on the face between columns x and x + 1, the cell's eastern one; v: between rows y and y + 1,
    its northern one, as NEMO and Veros index them. MITgcm indexes western and southern faces: there
    it is `u.roll(1, -1)` and `v.roll(1, -2)`. 0 on land, on faces that touch it and on those of the
    edge.
    """

    u: Tensor
    v: Tensor


def balanced_velocities(
    state: State,
    *,
    eos: EquationOfState,
    grid: OceanGrid,
    reference: Reference = "floor",
    coriolis: FloatArray | None = None,
    equator_scale: float = EQUATOR_SCALE,
) -> Velocities:
    """The geostrophic flow of a state, in its float type.

    reference: "floor", no flow at the sea floor; a number, the depth of no motion [m], or the floor
        where that is shallower; or "sea_level", the surface flow is that of the state's sea level
    coriolis: f [1/s] at the cells' centres, `y x` or `y 1`; by default that of the latitudes
    equator_scale: the flow is weighted by 1 - exp(-(f / f_s)^2) with f_s the f of this latitude
        [degrees], so that it ends smoothly where f is 0: 63 % are left at the scale, 99 % at 2.15
        times it. The weight, and 2.2 degrees, are those of the f-plane part of Lagerloef et al.
        1999 (J. Geophys. Res. 104, 23313); their beta-plane part is left out.

    Slopes of density are averaged to a face from the up to four faces around it that are open, as
    the Coriolis force of C-grid models is. The flow's depth mean is not free of divergence: models
    with a rigid lid or a free surface settle that themselves.

    Raises UserError for a reference that is no depth or that the state lacks, for a grid whose axes
    do not run east and north, and for one on a plane without `coriolis`.
    """
    _check_reference(state, reference)
    _check_axes(grid)
    state, dtype = state.map(Tensor.double), state.temperature.dtype
    east, north = _faces(grid, like=state.temperature)
    density = density_anomaly(state, eos=eos, grid=grid)
    f = _coriolis(grid, coriolis).to(density)
    f_scale = _planetary(np.asarray(equator_scale)).to(density)
    force_y = _pressure_slope(state, density, across=north, on=east, reference=reference)
    force_x = _pressure_slope(state, density, across=east, on=north, reference=reference)
    u = -force_y * _inverse(_onto_faces(f, east), f_scale)
    v = force_x * _inverse(_onto_faces(f, north), f_scale)
    return Velocities(u.to(dtype), v.to(dtype))


def balanced_sea_level(
    state: State, *, eos: EquationOfState, grid: OceanGrid, depth: float = inf
) -> Tensor:
    """The sea level `b y x` [m] under which there is no flow at `depth` [m], or at the sea floor.

    Wherever the ocean is deeper this is the steric height, -1 / rho0 times the integral of the
    density anomaly down to `depth`. Elsewhere heights of unequally deep columns do not compare, and
    what is found is the sea level whose slopes come nearest to those that still the water at the
    shallower floor of each two neighbours (least squares by area). Area mean 0, land 0; basins
    without a connection are each about 0. Float type as the state's. Conjugate gradients: about as
    many passes over the grid as it has columns and rows.

    Raises UserError if the depth is not above 0.
    """
    _check_reference(state, depth)
    dtype = state.temperature.dtype
    density = density_anomaly(state, eos=eos, grid=grid)
    faces = _faces(grid, like=density)
    area = _tensor(grid.area * grid.wet[0]).to(density)
    slopes = [
        -_down_to(depth, _slope(density, face), face).sum(1) / REFERENCE_DENSITY for face in faces
    ]
    level = _surface_of_slopes(slopes, faces, area)
    mean = (level * area).sum((X, Y), keepdim=True) / area.sum()
    return torch.where(area > 0, level - mean, 0.0).to(dtype)


def density_anomaly(state: State, *, eos: EquationOfState, grid: OceanGrid) -> Tensor:
    """Density less its level's mean [kg/m3], both at the level's depth: `b z y x`, float64, land 0.

    A level's own mean has no horizontal slope, so no flow comes from it; without it the anomalies
    of pressure are small and hold no compression.
    """
    device = state.temperature.device
    depth = _tensor(grid.depth).to(device)[:, None, None]
    density = eos.density(state.temperature.double(), state.salinity.double(), depth)
    weight = _tensor(grid.wet * grid.area).to(density)
    total = weight.sum((X, Y), keepdim=True).clamp(min=1e-30)
    wet = weight > 0
    mean = (torch.where(wet, density, 0.0) * weight).sum((X, Y), keepdim=True) / total
    return torch.where(wet, density - mean, 0.0)


class _Faces(NamedTuple):
    """The faces between each cell and the next along an axis.

    axis: X or Y; height: `z y x` [m], what both cells have open, 0 where one is land or missing;
    distance: `y x` [m], between the cells' centres
    """

    axis: int
    height: Tensor
    distance: Tensor

    @property
    def open(self) -> Tensor:
        """Faces between two wet cells, `z y x` bool."""
        return self.height > 0


def _faces(grid: OceanGrid, *, like: Tensor) -> tuple[_Faces, _Faces]:
    """Eastern and northern faces of the cells, in float64 on the device of `like`."""
    wet = wet_tensor(grid)
    thickness = torch.where(wet, _tensor(grid.thickness), 0.0)
    distances = centre_distances(grid.longitude, grid.latitude, units=grid.horizontal_units)
    faces = []
    for axis, distance in zip((X, Y), distances, strict=True):
        height = torch.minimum(thickness, thickness.roll(-1, axis))
        if axis == Y or not grid.periodic_x or grid.shape[axis] == 1:
            height.select(axis, -1).zero_()
        faces.append(_Faces(axis, height.to(like.device), _tensor(distance).to(like)))
    return faces[0], faces[1]


def _slope(field: Tensor, faces: _Faces) -> Tensor:
    """Difference over distance across the faces, shaped as `field` `b z y x`; 0 where closed."""
    difference = field.roll(-1, faces.axis) - field
    return torch.where(faces.open[: field.shape[1]], difference / faces.distance, 0.0)


def _onto_faces(centred: Tensor, faces: _Faces) -> Tensor:
    """Mean of the two cells of each face, of a field `... y x` at the centres."""
    return 0.5 * (centred + centred.roll(-1, faces.axis))


def _mean_of_four(values: Tensor, *, across: _Faces, on: _Faces) -> Tensor:
    """Values `b z y x` at the faces `across` averaged to the faces `on`, four to one.

    Closed faces do not count; 0 where all four are closed.
    """
    counts = across.open[: values.shape[1]].to(values)
    sums = values * counts
    total, number = torch.zeros_like(sums), torch.zeros_like(counts)
    for along in (0, -1):
        for back in (0, 1):
            shift = {"shifts": (along, back), "dims": (on.axis, across.axis)}
            total, number = total + sums.roll(**shift), number + counts.roll(**shift)
    return total / number.clamp(min=1.0)


def _down_to(depth: float, values: Tensor, faces: _Faces) -> Tensor:
    """Values times the part of each face that lies above `depth` [m]: integrates when summed."""
    top = faces.height.cumsum(0) - faces.height
    return values * torch.minimum((depth - top).clamp(min=0), faces.height)


def _pressure_slope(
    state: State, density: Tensor, *, across: _Faces, on: _Faces, reference: Reference
) -> Tensor:
    """Slope of pressure over rho0 [m/s2] across some faces, at those of the other axis, `b z y x`.

    At the middle of each face; 0 where that is closed.
    """
    slope = _mean_of_four(_slope(density, across), across=across, on=on)
    steps = slope * on.height
    above = steps.cumsum(1) - 0.5 * steps
    if reference == "sea_level":
        assert state.sea_level is not None
        surface = _slope(state.sea_level[:, None], across)
        surface = _mean_of_four(surface, across=across, on=on)
    else:
        depth = inf if isinstance(reference, str) else reference
        surface = -_down_to(depth, slope, on).sum(1, keepdim=True) / REFERENCE_DENSITY
    return GRAVITY * torch.where(on.open, surface + above / REFERENCE_DENSITY, 0.0)


def _planetary(latitude: FloatArray) -> Tensor:
    """The Coriolis parameter f = 2 Omega sin(latitude) [1/s] at latitudes [degrees]."""
    return _tensor(2 * EARTH_ROTATION * np.sin(np.deg2rad(latitude)))


def _coriolis(grid: OceanGrid, given: FloatArray | None) -> Tensor:
    """f [1/s] at the centres, `y x`."""
    if given is None and grid.horizontal_units != "degrees":
        raise UserError(
            f"the grid lies on a plane (in {grid.horizontal_units}) and has no latitude; give the "
            "Coriolis parameter at the cells' centres, coriolis [1/s]."
        )
    rows = grid.latitude if grid.latitude.ndim == 2 else grid.latitude[:, None]
    f = _planetary(rows) if given is None else _tensor(given)
    return f.broadcast_to(grid.shape[1:])


def _inverse(f: Tensor, scale: Tensor) -> Tensor:
    """(1 - exp(-(f / scale)^2)) / f [s], 0 where f is 0."""
    return torch.where(f == 0, 0.0, -torch.expm1(-((f / scale) ** 2)) / f)


def _surface_of_slopes(slopes: list[Tensor], faces: tuple[_Faces, _Faces], area: Tensor) -> Tensor:
    """The heights `b y x` whose slopes come nearest to the given ones across the faces of `area`.

    Least squares weighted by area: a Poisson equation on the wet columns.
    """
    # Both sides are written as flows between columns: a difference of height times a weight.
    weights = [
        torch.where(face.open[0], _onto_faces(area, face) / face.distance**2, 0.0) for face in faces
    ]

    def inflow(flows: list[Tensor]) -> Tensor:
        parts = [flow.roll(1, face.axis) - flow for flow, face in zip(flows, faces, strict=True)]
        return parts[0] + parts[1]

    def equation(height: Tensor) -> Tensor:
        differences = [height.roll(-1, face.axis) - height for face in faces]
        return inflow([w * d for w, d in zip(weights, differences, strict=True)])

    wanted = [
        w * slope * face.distance for w, slope, face in zip(weights, slopes, faces, strict=True)
    ]
    diagonal = sum(w + w.roll(1, face.axis) for w, face in zip(weights, faces, strict=True))
    assert isinstance(diagonal, Tensor)
    return _conjugate_gradients(equation, inflow(wanted), diagonal)


def _conjugate_gradients(
    equation: Callable[[Tensor], Tensor],
    right: Tensor,
    diagonal: Tensor,
    *,
    tolerance: float = 1e-10,
) -> Tensor:
    """Solve `equation(x) = right` for each `y x` of the batch, preconditioned by the diagonal.

    The equation is linear, symmetric and positive, but for constants; tolerance: of the rms of what
    is left of `right`, relative.
    """
    inverse = torch.where(diagonal > 0, 1 / diagonal, 0.0)
    x, left = torch.zeros_like(right), right
    direction = inverse * left
    energy = _dot(left, direction)
    enough = tolerance**2 * _dot(right, right)
    for _ in range(right[0].numel()):
        if (_dot(left, left) <= enough).all():
            break
        image = equation(direction)
        step = energy / _dot(direction, image).clamp(min=1e-300)
        x, left = x + step * direction, left - step * image
        smooth = inverse * left
        energy, former = _dot(left, smooth), energy
        direction = smooth + energy / former.clamp(min=1e-300) * direction
    return x


def _tensor(values: FloatArray) -> Tensor:
    """As a float64 tensor, of its own shape even if it is 0-dimensional."""
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((X, Y), keepdim=True)


def _check_reference(state: State, reference: Reference) -> None:
    if reference == "sea_level" and state.sea_level is None:
        raise UserError(
            "these states have no sea level to refer velocities to; take the sea floor (floor) or "
            "a depth of no motion [m] as the reference."
        )
    unknown = isinstance(reference, str) and reference not in ("floor", "sea_level")
    if unknown or (not isinstance(reference, str) and not reference > 0):
        raise UserError(
            f"velocities cannot be referred to {reference!r}: give floor, sea_level or a depth of "
            "no motion above 0 m."
        )


def _check_axes(grid: OceanGrid) -> None:
    """The axes x, y and up are a right-handed system, however the grid is turned."""
    x, y = grid.longitude, grid.latitude
    if x.ndim == 1:
        x, y = np.meshgrid(x, y)
    if min(x.shape) < 2:
        return
    east = np.diff(x, axis=1)[:-1], np.diff(x, axis=0)[:, :-1]  # along x, and along y
    north = np.diff(y, axis=1)[:-1], np.diff(y, axis=0)[:, :-1]
    if grid.horizontal_units == "degrees":
        east = (east[0] + 180) % 360 - 180, (east[1] + 180) % 360 - 180
    if np.median(east[0] * north[1] - east[1] * north[0]) <= 0:
        raise UserError(
            "the grid's rows or columns run backwards (its x and y axes are not right-handed): "
            "reverse one axis of the states and the grid so that y runs north where x runs east."
        )
