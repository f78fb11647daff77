"""Statistics of the training states that constraints need in addition to the codec's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.checksums import check_file
from data.documents import read_object, reason
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.settings import Per
from data.state import State
from guidance.seawater import EquationOfState, equation_of_state
from guidance.stratification import density_steps, wet_pairs

CLIMATOLOGY = "climatology.json"  # file in a model's folder
CLIMATOLOGY_STATES = 64
TOLERATED = 0.999  # quantile of an interface's inversions in the data that guidance tolerates


class HorizontalMean:
    """Means over the wet area of each level, per sample or over the batch.

    With `per="ensemble"` every sample gets the batch mean, and with it the batch's energy.
    """

    def __init__(self, grid: OceanGrid, *, per: Per) -> None:
        if per not in ("sample", "ensemble"):
            raise UserError(f"Means per {per!r} are unknown; use 'sample' or 'ensemble'.")
        self._per = per
        area = torch.from_numpy(grid.area) * wet_tensor(grid)
        self._share = area / area.sum((1, 2), keepdim=True).clamp(min=torch.finfo().tiny)

    def __call__(self, field: Tensor) -> Tensor:
        """`b z y x` to `b z`."""
        means = (self._share.to(field) * field).sum((2, 3))
        return means if self._per == "sample" else means.mean(0, keepdim=True).expand_as(means)


@dataclass(frozen=True)
class Climatology:
    """Statistics of the training states, on levels `z` or interfaces `z-1`; 0 without wet cells.

    density: horizontal-mean potential density referenced to the surface [kg/m3]
    density_std: standard deviation of that density in time, rms over cells [kg/m3]
    step_std: standard deviation of the locally referenced density steps in time, rms [kg/m3]
    tolerance: the 99.9 % quantile of an interface's inversions, mean over states [kg/m3]
    """

    density: Tensor
    density_std: Tensor
    step_std: Tensor
    tolerance: Tensor

    def as_dict(self) -> dict[str, list[float]]:
        """The statistics as lists of numbers, for JSON."""
        return {field.name: getattr(self, field.name).double().tolist() for field in fields(self)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Sequence[float]]) -> Climatology:
        """The inverse of `as_dict`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.tensor(saved[name], dtype=torch.float64) for name in names})

    @property
    def levels(self) -> int:
        """Number of levels z."""
        return len(self.density)

    @property
    def is_sound(self) -> bool:
        """Whether all statistics are finite, have the right length, and no spread is negative."""
        lengths = {"density": 0, "density_std": 0, "step_std": -1, "tolerance": -1}
        found = {name: getattr(self, name) for name in lengths}
        return (
            all(found[name].shape == (self.levels + lengths[name],) for name in found)
            and all(bool(values.isfinite().all()) for values in found.values())
            and all(bool((found[name] >= 0).all()) for name in found if name != "density")
        )


def saved_climatology(folder: Path) -> Climatology:
    """The climatology in a model's folder. Raises `UserError` if it is absent or damaged."""
    path = folder / CLIMATOLOGY
    if not path.is_file():
        raise UserError(
            f"{folder} has no {CLIMATOLOGY}, which its guide needs; release the model again by the "
            "diffusion stage, or sample with `halocline sample` where the training states are"
        )
    check_file(path)
    advice = "copy the model or release it again"
    content = read_object(path, advice=advice)
    try:
        found = Climatology.from_dict(content)
        sound = found.is_sound
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} lacks statistics ({reason(error)}): {advice}.") from error
    if not sound:
        raise UserError(
            f"{path} is damaged: expected finite statistics of each level, none of them a negative "
            f"spread; {advice}."
        )
    return found


def training_climatology(archive: StateArchive) -> Climatology:
    """The climatology of `CLIMATOLOGY_STATES` training states, evenly spaced in the archive."""
    indices = spread_out(archive.indices("train"), CLIMATOLOGY_STATES)
    states = (archive.read([int(index)]) for index in indices)
    eos = equation_of_state(archive.equation_of_state)
    return climatology(states, grid=archive.grid, eos=eos)


@torch.no_grad()
def climatology(states: Iterable[State], *, grid: OceanGrid, eos: EquationOfState) -> Climatology:
    """The climatology of at least two states, given one by one or in batches.

    Raises `UserError` for fewer.
    """
    wet, interface_depth = wet_tensor(grid), torch.from_numpy(grid.interface_depth)
    pairs = wet_pairs(wet)
    density, steps = _Moments(), _Moments()
    tolerances = []
    for state in (one for batch in states for one in batch.map(Tensor.double).split(1)):
        step = density_steps(state, eos=eos, interface_depth=interface_depth)[0]
        density.add(eos.density(state.temperature, state.salinity, 0.0)[0] * wet)
        steps.add(step * pairs)
        tolerances.append(_tolerance(step, pairs))
    if steps.count < 2:
        raise UserError(f"The climatology needs at least 2 training states, found {steps.count}")
    return Climatology(
        density=HorizontalMean(grid, per="sample")(density.mean[None])[0],
        density_std=_level_spread(density, wet),
        step_std=_level_spread(steps, pairs),
        tolerance=torch.stack(tolerances).mean(0),
    )


class _Moments:
    """Running mean and sum of squared deviations of fields (Welford 1962)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(1), torch.zeros(1)

    def add(self, field: Tensor) -> None:
        self.count += 1
        change = field - self.mean
        self.mean = self.mean + change / self.count
        self.squares = self.squares + change * (field - self.mean)


def _level_spread(moments: _Moments, wet: Tensor) -> Tensor:
    """Standard deviation in time, rms over the wet cells of each level, `z`."""
    variance = (moments.squares / moments.count * wet).sum((1, 2))
    return (variance / wet.sum((1, 2)).clamp(min=1)).sqrt()


def _tolerance(step: Tensor, pairs: Tensor) -> Tensor:
    """The `TOLERATED` quantile of each interface's inversions `z-1 y x`, `z-1`."""
    inversions = (-step).clamp(min=0)
    return torch.stack(
        [
            level[wet].quantile(TOLERATED) if wet.any() else level.new_zeros(())
            for level, wet in zip(inversions, pairs, strict=True)
        ]
    )
