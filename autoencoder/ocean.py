"""The ocean on which a model was trained: its grid, statistics and conventions."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor

from autoencoder.precision import FullPrecision
from data.archive.protocol import Archive
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid, Padding
from data.normalisation import Statistics
from data.salinity import salinity_of
from data.state import State

GRID_FIELDS = ("depth", "thickness", "area", "wet", "longitude", "latitude")


def describe_ocean(archive: Archive) -> dict[str, Any]:
    """The ocean's entry in a model's configuration: sizes, conventions and grid digest."""
    levels, rows, columns = archive.grid.shape
    return {
        "levels": levels,
        "rows": rows,
        "columns": columns,
        "sea_level": archive.has_sea_level,
        "equation_of_state": archive.equation_of_state,
        "salinity_units": archive.salinity_units,
        "periodic_x": archive.grid.periodic_x,
        "horizontal_units": archive.grid.horizontal_units,
        "curvilinear": archive.grid.longitude.ndim == 2,
        "grid_digest": archive.grid.digest,
    }


def ocean_channels(ocean: dict[str, Any]) -> int:
    """Channels of a state: all levels of temperature and salinity, and sea level if present.

    ocean: from `describe_ocean`
    """
    return 2 * ocean["levels"] + ocean["sea_level"]


class OceanMemory(FullPrecision, ModelMixin, ConfigMixin):
    """A model that stores its ocean: statistics, grid, equation of state, salinity units.

    Its configuration has `ocean`, from `describe_ocean`, and `multiple`: the rows and columns of
    the network's input are padded to multiples of it. Arrays are buffers, saved with the weights.
    """

    def _register_ocean(self, ocean: dict[str, Any]) -> None:
        levels, rows, columns = ocean["levels"], ocean["rows"], ocean["columns"]
        channels = ocean_channels(ocean)
        self.statistics = Statistics(
            torch.zeros(channels, rows, columns),
            torch.ones(channels),
            torch.zeros(channels, rows, columns, dtype=torch.bool),
            levels=levels,
            grid_digest=ocean["grid_digest"],
        )
        shapes = {
            "depth": (levels,),
            "thickness": (levels, rows, columns),
            "area": (rows, columns),
            "wet": (levels, rows, columns),
            "longitude": (rows, columns) if ocean["curvilinear"] else (columns,),
            "latitude": (rows, columns) if ocean["curvilinear"] else (rows,),
        }
        for name in GRID_FIELDS:
            kind = torch.bool if name == "wet" else torch.float64
            self.register_buffer(f"grid_{name}", torch.zeros(shapes[name], dtype=kind))

    def adopt(self, grid: OceanGrid, statistics: Statistics) -> None:
        """Copy the grid and the statistics of the training data."""
        self.statistics.load_state_dict(statistics.state_dict())
        for name in GRID_FIELDS:
            values = np.ascontiguousarray(getattr(grid, name))
            getattr(self, f"grid_{name}").copy_(torch.from_numpy(values))

    @property
    def grid(self) -> OceanGrid:
        """The grid of the training data; on the CPU its arrays are not copied."""
        arrays = {name: getattr(self, f"grid_{name}").cpu().numpy() for name in GRID_FIELDS}
        return OceanGrid(
            **arrays,
            periodic_x=self.config.ocean["periodic_x"],
            horizontal_units=self.config.ocean["horizontal_units"],
        )

    @property
    def padding(self) -> Padding:
        """Padding from the ocean's rows and columns to the network's."""
        _, rows, columns = self.grid_wet.shape
        return Padding(
            rows, columns, self.config.multiple, periodic_x=self.config.ocean["periodic_x"]
        )

    def network_input(self, state: State) -> Tensor:
        """The normalised, padded state `b c y x`."""
        return self.padding.pad(self.statistics.normalise(state))

    @property
    def fingerprint(self) -> str:
        """Digest of all weights and statistics; it identifies the codec of cached latents."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            # Former versions held the wet mask as numbers.
            parts = map(torch.Tensor.double, tensor) if name == "grid_wet" else [tensor]
            for part in parts:
                digest.update(
                    part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
                )
        return digest.hexdigest()[:16]

    def check_grid(self, grid: OceanGrid) -> None:
        """Raise `UserError` unless `grid` is the grid of the training data, places included."""
        self.statistics.check_grid(grid)
        name = self.grid.differing_coordinate(grid)
        if name:
            raise UserError(
                f"the archive's {name} differ from those that the model was trained on: use a "
                "model of this grid, or train one."
            )

    def check_archive(self, archive: StateArchive) -> None:
        """Raise `UserError`, naming the first difference, unless the archive fits the model.

        It must have the grid, variables, units and equation of state of the training data. The
        unit of generated states, that of the kind of salinity, fits as well.
        """
        self.check_grid(archive.grid)
        found = describe_ocean(archive)
        if archive.salinity_units == salinity_of(archive.equation_of_state).units:
            found["salinity_units"] = self.config.ocean["salinity_units"]
        for name in ("sea_level", "salinity_units", "equation_of_state"):
            if found[name] != self.config.ocean[name]:
                raise UserError(
                    f"the archive has {name.replace('_', ' ')} {found[name]}, but the model was "
                    f"trained with {self.config.ocean[name]}: use or train a model for these data."
                )


def land_and_position(shares: Tensor, *, rows: int, columns: int) -> Tensor:
    """Maps of land and position for each latent cell, `5 h w`.

    shares: wet fraction of the surface and of the column, padded, `2 y x`; rows, columns: h, w

    The maps are these fractions, the position in y (-1 to 1), and cosine and sine of the position
    in x. Without them, periodic convolutions have no information about position.
    """
    surface, column = F.adaptive_avg_pool2d(shares, (rows, columns))
    north = torch.linspace(-1, 1, rows, device=shares.device)[:, None].expand(rows, columns)
    angle = torch.arange(columns, device=shares.device).expand(rows, columns)
    angle = angle * (2 * math.pi / columns)
    return torch.stack([surface, column, north, angle.cos(), angle.sin()])
