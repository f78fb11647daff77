"""NEMO's grid files: the mesh mask of versions 3.4 to 5, whole or split, and `domain_cfg.nc`.

Names by version: thickness is `e3t_0` over the volume, `e3t` before 3.6, or `e3t_1d` and the
thickness of the lowest cells `e3t_ps`; before 3.6 `e3t_0` and `gdept_0` are profiles. The land is
`tmask`, or the numbers of the wet levels (`DOM/domwri.F90`, `tools/DOMAINcfg/src/domain.F90`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import UserError
from data.paths import matching
from data.readers.dimensions import constant, is_time
from data.readers.levels import refuse_other_mesh
from data.readers.merging import merged
from data.readers.nemo_pieces import by_domain, open_pieces

_THICKNESS = ("e3t_0", "e3t", "e3t_3d")
_PROFILE = ("e3t_1d", "e3t_0", "e3t")
_DEPTH = ("gdept_1d", "gdept_0", "gdept")
_BOTTOM_CELL = ("e3t_ps", "e3tp")
_BOTTOM_LEVEL = ("bottom_level", "mbathy")
_TOP_LEVEL = ("top_level", "misf")
_HOW = "write the mesh mask with ln_meshmask = .true. (NEMO 4 and 5) or nn_msh = 1 (3.6 and before)"


@dataclass(frozen=True)
class Mesh:
    """NEMO's grid of T cells.

    wet, thickness: `z y x` [m]; area: `y x` [m2]; depth: `z` [m]
    positions: longitude and latitude `y x`, if the file has them
    """

    wet: NDArray[np.bool_]
    thickness: NDArray[np.float64]
    area: NDArray[np.float64]
    depth: NDArray[np.float64]
    positions: tuple[NDArray[np.float64], NDArray[np.float64]] | None


def read_mesh(mesh_mask: Path | Sequence[Path]) -> Mesh:
    """The grid in one file, in its pieces, or in files of mask, horizontal and vertical grid.

    mesh_mask: paths or patterns. Raises UserError if no file matches or if the grid is incomplete,
    follows the terrain, or has partial cells whose thickness is missing.
    """
    patterns = [mesh_mask] if isinstance(mesh_mask, Path) else list(mesh_mask)
    groups = by_domain([path for pattern in patterns for path in matching(pattern)])
    if not groups:
        raise UserError(
            f"mesh_mask {', '.join(map(str, patterns))} matches no file: expected one mesh mask or "
            "all pieces of one; check the path."
        )
    with merged([open_pieces(group) for group in groups], [group[0] for group in groups]) as mesh:
        return _MeshFile(mesh, groups[0][0]).read()


@dataclass(frozen=True)
class _MeshFile:
    dataset: xr.Dataset
    path: Path

    def read(self) -> Mesh:
        if self._flag("ln_sco"):
            raise UserError(
                f"{self.path} describes levels that follow the terrain (ln_sco): expected levels "
                "of constant depth; interpolate the output to such levels."
            )
        widths = [self._values(name) for name in ("e1t", "e2t")]
        profile = self._first(_PROFILE, 1)
        volume = self._first(_THICKNESS, 3)
        layers = profile if volume is None else volume
        wet = self._wet(None if layers is None else len(layers))
        refuse_other_mesh(self.dataset, wet, self.path)
        thickness = self._thickness(profile, wet) if volume is None else volume
        depth = self._first(_DEPTH, 1)
        depth = self._depth_of(profile) if depth is None else depth
        if widths[0] is None or widths[1] is None or depth is None:
            missing = "e1t, e2t" if depth is not None else "gdept_1d"
            raise self._refusal(missing)
        longitude, latitude = self._values("glamt"), self._values("gphit")
        return Mesh(
            wet=wet,
            thickness=thickness,
            area=np.broadcast_to(widths[0] * widths[1], wet.shape[1:]),
            depth=depth,
            positions=None if longitude is None or latitude is None else (longitude, latitude),
        )

    def _wet(self, levels: int | None) -> NDArray[np.bool_]:
        mask = self._first(("tmask",), 3)
        if mask is not None:
            return mask > 0
        bottom = self._first(_BOTTOM_LEVEL, 2)
        if bottom is None or levels is None:
            raise self._refusal("tmask" if levels else "tmask, e3t_0")
        top = self._first(_TOP_LEVEL, 2)
        number = np.arange(1, levels + 1)[:, None, None]
        below_top = number >= (top if top is not None else 1)
        return below_top & (number <= bottom)

    def _thickness(
        self, profile: NDArray[np.float64] | None, wet: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Of whole cells, and of the lowest ones where the file has it."""
        if profile is None:
            raise self._refusal("e3t_0")
        whole = np.broadcast_to(profile[:, None, None], wet.shape).copy()
        lowest = self._first(_BOTTOM_CELL, 2)
        if lowest is None and self._flag("ln_zps"):
            raise UserError(
                f"{self.path} has partial cells (ln_zps) but not their thickness e3t_0: {_HOW}."
            )
        if lowest is not None:
            bottom = wet & ~np.concatenate([wet[1:], np.zeros_like(wet[:1])])
            whole = np.where(bottom, lowest, whole)
        return whole

    def _depth_of(self, profile: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """Depth of T points from scale factors, as NEMO's `e3_to_depth`."""
        between = self._first(("e3w_1d",), 1)
        if between is not None:
            return np.cumsum(np.concatenate([0.5 * between[:1], between[1:]]))
        return None if profile is None else np.cumsum(profile) - 0.5 * profile

    def _first(self, names: Sequence[str], dimensions: int) -> NDArray[np.float64] | None:
        """The first of the variables that has as many dimensions, apart from time."""
        for name in names:
            values = self._values(name)
            if values is not None and values.ndim == dimensions:
                return values
        return None

    def _values(self, name: str) -> NDArray[np.float64] | None:
        """Values without time and, of a profile, without horizontal dimensions of size 1."""
        if name not in self.dataset.variables:
            return None
        variable = self.dataset[name]
        for dim in map(str, variable.dims):
            if is_time(variable, dim):
                variable = constant(variable, dim, self.path)
        values: NDArray[Any] = np.asarray(variable.values, dtype=np.float64)
        return values.ravel() if values.ndim == 3 and values.shape[1:] == (1, 1) else values

    def _flag(self, name: str) -> bool:
        if name in self.dataset.variables:
            return bool(np.ravel(self.dataset[name].values)[0])
        return bool(np.ravel(self.dataset.attrs.get(name, 0))[0] in (1, True))

    def _refusal(self, missing: str) -> UserError:
        return UserError(
            f"{self.path} has no {missing}: expected a NEMO mesh mask; {_HOW}; found "
            f"{', '.join(map(str, self.dataset.variables))}."
        )
