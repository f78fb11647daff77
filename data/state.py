"""The physical state of the ocean, used by all packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import torch
from torch import Tensor


@dataclass(frozen=True)
class State:
    """A batch of ocean states in physical units, land filled with 0.

    temperature: `b z y x` [degC], potential or conservative, as the equation of state requires
    salinity: `b z y x` [1e-3 or g/kg, likewise]
    sea_level: `b y x` [m], None where the data has none
    """

    temperature: Tensor
    salinity: Tensor
    sea_level: Tensor | None = None

    def __len__(self) -> int:
        return len(self.temperature)

    @property
    def levels(self) -> int:
        """Number of vertical levels z."""
        return self.temperature.shape[1]

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """Apply `function` to every field: `state.map(lambda field: field[2:4])`."""
        sea_level = None if self.sea_level is None else function(self.sea_level)
        return State(function(self.temperature), function(self.salinity), sea_level)

    def split(self, size: int) -> list[State]:
        """Parts of at most `size` states."""
        starts = range(0, len(self), size)
        return [self.map(itemgetter(slice(start, start + size))) for start in starts]

    def to_channels(self) -> Tensor:
        """`b c y x`: levels of temperature, levels of salinity, then sea level if there is one."""
        fields = [self.temperature, self.salinity]
        if self.sea_level is not None:
            fields.append(self.sea_level[:, None])
        return torch.cat(fields, dim=1)

    @classmethod
    def from_channels(cls, channels: Tensor, *, levels: int) -> State:
        """The inverse of `to_channels` for `levels` levels: c is 2 z, or 2 z + 1 with sea level."""
        sea_level = channels[:, 2 * levels] if channels.shape[1] > 2 * levels else None
        return cls(channels[:, :levels], channels[:, levels : 2 * levels], sea_level)

    @classmethod
    def cat(cls, states: list[State]) -> State:
        """Join batches along the batch axis."""
        return cls._joined(states, dim=0)

    @classmethod
    def from_rows(cls, strips: list[State]) -> State:
        """Join strips of rows along the y axis; a single strip is returned as it is."""
        if len(strips) == 1:
            return strips[0]
        return cls._joined(strips, dim=-2)

    @classmethod
    def _joined(cls, states: list[State], *, dim: int) -> State:
        """Concatenate each field along `dim`."""
        first = states[0]
        sea_level = [state.sea_level for state in states if state.sea_level is not None]
        return cls(
            torch.cat([state.temperature for state in states], dim),
            torch.cat([state.salinity for state in states], dim),
            torch.cat(sea_level, dim) if first.sea_level is not None else None,
        )

    @classmethod
    def collect_rows(cls, strips: Iterable[State], *, rows: int) -> State:
        """As `from_rows`, for an iterator of strips with `rows` rows in total; without gradient.

        At most two strips are in memory at a time: the first and the latest.
        """
        coming = iter(strips)
        first = next(coming)
        if first.temperature.shape[-2] == rows:
            return first
        whole = _taller(first.to_channels(), rows)
        done = 0
        for strip in chain([first], coming):
            part = strip.to_channels()
            whole[:, :, done : done + part.shape[2]] = part
            done += part.shape[2]
        return cls.from_channels(whole, levels=first.levels)


def _taller(channels: Tensor, rows: int) -> Tensor:
    """An empty tensor like `b c y x`, with `rows` rows."""
    return channels.new_empty(*channels.shape[:2], rows, channels.shape[3])
