"""Velocities and sea level in geostrophic balance with temperature and salinity.

Hydrostatic balance, dp/dz = g rho with z down, and geostrophic balance, f u = -(dp/dy) / rho0 and
f v = (dp/dx) / rho0, give the thermal wind: horizontal density gradients determine vertical shear
(Vallis 2017, Atmospheric and Oceanic Fluid Dynamics, section 2.8). A reference fixes the velocity
at one depth. Effects of wind, friction and inertia are not included.

Pressure is compared at equal depths on both sides of a face, and density is computed at the depth
of its level, so that partial cells and a sloping sea floor cause no flow. All arithmetic is in
float64.
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

    u: on eastern faces, between columns x and x + 1; v: on northern faces, between rows y and
    y + 1, indexed as in NEMO and Veros. MITgcm uses western and southern faces: `u.roll(1, -1)` and
    `v.roll(1, -2)`. 0 on land, on faces that touch land and on faces at the edge.
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
        where shallower; or "sea_level", surface flow from the state's sea level
    coriolis: f [1/s] at cell centres, `y x` or `y 1`; default: from the latitudes
    equator_scale: the flow is multiplied by 1 - exp(-(f / f_s)^2), with f_s the f of this latitude
        [degrees], so that it vanishes smoothly at the equator: the factor is 63 % at the scale and
        99 % at 2.15 times the scale. Weight and default are those of the f-plane part of Lagerloef
        et al. 1999 (J. Geophys. Res. 104, 23313); their beta-plane part is omitted.

    Density gradients at a face are averages over the open ones of the four surrounding faces, as
    for the Coriolis force of C-grid models. The depth-mean flow may diverge: models with a rigid
    lid or a free surface remove this divergence themselves.

    Raises UserError for an invalid reference or one missing in the state, for a grid whose axes are
    not right-handed, and for a grid on a plane without `coriolis`.
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
    """The sea level `b y x` [m] for which the flow vanishes at `depth` [m], or at the sea floor.

    Where the ocean is deeper than `depth` this is the steric height, -1 / rho0 times the integral
    of the density anomaly down to `depth`. Elsewhere it is the area-weighted least-squares fit to
    the slopes for which the flow vanishes at the shallower floor of each pair of neighbours. Area
    mean 0, 0 on land, about 0 on average in each unconnected basin; float type of the state.
    Solved by conjugate gradients, with about as many iterations as the grid has rows and columns.

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
    """Density minus its level's mean [kg/m3] at the level's depth: `b z y x`, float64, 0 on land.

    The mean of a level causes no flow; without it pressure anomalies are small and compression
    cancels.
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

    axis: X or Y; height: `z y x` [m], open height of the face, 0 where one cell is land or missing;
    distance: `y x` [m], between the cell centres
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
    """Gradient of `field` `b z y x` across the faces, same shape; 0 where closed."""
    difference = field.roll(-1, faces.axis) - field
    return torch.where(faces.open[: field.shape[1]], difference / faces.distance, 0.0)


def _onto_faces(centred: Tensor, faces: _Faces) -> Tensor:
    """Mean of a cell-centred field `... y x` over the two cells of each face."""
    return 0.5 * (centred + centred.roll(-1, faces.axis))


def _mean_of_four(values: Tensor, *, across: _Faces, on: _Faces) -> Tensor:
    """Values `b z y x` at the faces `across`, averaged over the four faces around each face `on`.

    Closed faces are excluded; 0 where all four are closed.
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
    """Values times the open height above `depth` [m]; the sum over levels is the integral."""
    top = faces.height.cumsum(0) - faces.height
    return values * torch.minimum((depth - top).clamp(min=0), faces.height)


def _pressure_slope(
    state: State, density: Tensor, *, across: _Faces, on: _Faces, reference: Reference
) -> Tensor:
    """Pressure gradient over rho0 [m/s2] across some faces, at the other axis' faces, `b z y x`.

    At the middle of each face; 0 where closed.
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
    """The Coriolis parameter f = 2 Omega sin(latitude) [1/s]; latitude [degrees]."""
    return _tensor(2 * EARTH_ROTATION * np.sin(np.deg2rad(latitude)))


def _coriolis(grid: OceanGrid, given: FloatArray | None) -> Tensor:
    """f [1/s] at cell centres, `y x`."""
    if given is None and grid.horizontal_units != "degrees":
        raise UserError(
            f"the grid is on a plane (in {grid.horizontal_units}) and has no latitude; give the "
            "Coriolis parameter at cell centres, coriolis [1/s]."
        )
    rows = grid.latitude if grid.latitude.ndim == 2 else grid.latitude[:, None]
    f = _planetary(rows) if given is None else _tensor(given)
    return f.broadcast_to(grid.shape[1:])


def _inverse(f: Tensor, scale: Tensor) -> Tensor:
    """(1 - exp(-(f / scale)^2)) / f [s], 0 where f is 0."""
    return torch.where(f == 0, 0.0, -torch.expm1(-((f / scale) ** 2)) / f)


def _surface_of_slopes(slopes: list[Tensor], faces: tuple[_Faces, _Faces], area: Tensor) -> Tensor:
    """The heights `b y x` that best fit the given slopes across the faces.

    Least squares weighted by area, a Poisson equation on the wet columns.
    """
    # Both sides are sums of fluxes between columns: differences of height times a weight.
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
    """Solve `equation(x) = right` for each sample `y x`, preconditioned by the diagonal.

    The equation is linear, symmetric and positive definite except for constants.
    tolerance: rms of the residual relative to that of `right`
    """
    inverse = torch.where(diagonal > 0, 1 / diagonal, 0.0)
    x, residual = torch.zeros_like(right), right
    direction = inverse * residual
    energy = _dot(residual, direction)
    enough = tolerance**2 * _dot(right, right)
    for _ in range(right[0].numel()):
        if (_dot(residual, residual) <= enough).all():
            break
        image = equation(direction)
        step = energy / _dot(direction, image).clamp(min=1e-300)
        x, residual = x + step * direction, residual - step * image
        smooth = inverse * residual
        energy, former = _dot(residual, smooth), energy
        direction = smooth + energy / former.clamp(min=1e-300) * direction
    return x


def _tensor(values: FloatArray) -> Tensor:
    """The values as a float64 tensor of the same shape."""
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((X, Y), keepdim=True)


def _check_reference(state: State, reference: Reference) -> None:
    if reference == "sea_level" and state.sea_level is None:
        raise UserError(
            "these states have no sea level as a reference of velocities; use the sea floor "
            "(floor) or a depth of no motion [m]."
        )
    unknown = isinstance(reference, str) and reference not in ("floor", "sea_level")
    if unknown or (not isinstance(reference, str) and not reference > 0):
        raise UserError(
            f"{reference!r} is no reference of velocities; give floor, sea_level or a depth of "
            "no motion above 0 m."
        )


def _check_axes(grid: OceanGrid) -> None:
    """Raise `UserError` unless x, y and up are a right-handed system, for any orientation."""
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
            "the grid's x, y and up axes are not right-handed; reverse one axis of "
            "the states and the grid, so that y points north where x points east."
        )
