"""Builds how states of another model, or of a coarser grid, become states of an experiment's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoder.codec import Codec
from autoencoder.passing import AT_ONCE, decoded, encoded, reconstructed
from configs.foreign import in_kinds_of
from configs.given import Given
from configs.run import Run
from data.archive.pairs import shared_climates
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.batches import read_in_batches
from data.block_means import BlockMeans
from data.conditions import Conditions
from data.errors import UserError
from data.observations import Quantity
from data.quantiles import mapped
from data.regrid import COARSER, Regridded, Regridding, coarsened, width
from data.state import State
from guidance.observations import ObservationOperator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import Evidence, condensed
from latent_diffusion.sample import Ensemble
from latent_diffusion.start import Scale, Start, compared_scales, least_noise
from training.launch import of_main_process

How = Literal["means", "noise"]
MOST_STATES = 64  # of each climate
# Least errors of block means: a codec that reconstructs a mean exactly still knows it to rounding.
LEAST_ERRORS: dict[Quantity, float] = {"temperature": 0.02, "salinity": 0.005}  # K, 1e-3 or g/kg
PATCH = 4  # cells along a side of the blocks whose means tell the conditions of states of one grid


class Noise(NamedTuple):
    """How much noise a chain begins with, and the scales that say so; none if it was given."""

    amplitude: float
    scales: list[Scale]


@dataclass(frozen=True)
class Translation(Given):
    """A state of another model or grid, and the states of a run's ocean that belong to it.

    run: whose model draws the states; source: the other states; index: of the one to translate
    how: "means": states whose means over the source's cells are the source's values; "noise":
        states that the chain returns from the noisy source
    maps: whether the source's values are mapped to the climate of the training states first
    convert: whether to convert temperature and salinity of other kinds
    """

    run: Run
    source: StateArchive
    index: int
    how: How
    maps: bool
    convert: bool = False

    @classmethod
    def of(
        cls,
        run: Run,
        source: StateArchive,
        *,
        state: int = -1,
        how: How | None = None,
        maps: bool | None = None,
        convert: bool = False,
    ) -> Translation:
        """The defaults: means and no maps for cells 1.5 times as wide or more, else the others.

        Raises `UserError` if there is no such state, or the grids do not meet.
        """
        if not -len(source) <= state < len(source):
            raise UserError(
                f"{source.path} has {len(source)} states: state {state} is none of them"
            )
        if how is None:
            coarse = width(source.grid) >= COARSER * width(run.archive.grid)
            how = "means" if coarse else "noise"
        if how == "means" and width(source.grid) < COARSER * width(run.archive.grid):
            raise UserError(
                f"cells of {source.path} are {width(source.grid) / 1000:.3g} km wide, those of the "
                f"model {width(run.archive.grid) / 1000:.3g} km: means need a source of cells 1.5 "
                "times as wide or more; give --by noise"
            )
        maps = how == "noise" if maps is None else maps
        return cls(run, source, state % len(source), how, maps, convert)

    @cached_property
    def regridded(self) -> Regridded:
        """The state on the model's grid, as interpolation or means give it."""
        return self._regridding(self._read([self.index]))

    @cached_property
    def given(self) -> State:
        """The same, with values of the climate of the training states if `maps`."""
        state = self.regridded.state
        if not self.maps:
            return state
        archive = self.run.archive
        other, own = self._climates
        climate = self._regridding(self._read(spread_out(other, MOST_STATES))).state
        target = archive.read(spread_out(own, MOST_STATES))
        return mapped(state, climate=climate, target=target, grid=archive.grid)

    @cached_property
    def blocks(self) -> BlockMeans:
        """Means over the source's cells, or over patches of the model's where these are wider."""
        own, other = self.run.archive.grid, self.source.grid
        wide = width(other) >= COARSER * width(own)
        return BlockMeans.of(own, other if wide else coarsened(own, PATCH))

    @cached_property
    def value(self) -> Tensor:
        """What the means of states should be: of temperature, then of salinity, `n`."""
        blocks = self.blocks
        if self.how == "noise" or self.maps:
            return both(blocks, self.given)[0]
        state = self._read([self.index])
        cells = torch.from_numpy(blocks.cells)
        fields = (x.double().flatten()[cells] for x in (state.temperature, state.salinity))
        return torch.cat(list(fields))

    @property
    def record(self) -> dict[str, object]:
        """What determines the states beside the model."""
        settings = self.run.settings.assimilation.model_dump(mode="json", exclude={"steps"})
        return {
            "source": self.source.digest,
            "state": self.index,
            "how": self.how,
            "maps": self.maps,
            "convert": self.convert,
            **settings,
        }

    def errors(self, codec: Codec) -> Tensor:
        """Standard deviation of each mean `n`: of the codec on validation states, by level.

        With the configured errors of measurements, if there are any.
        """
        blocks, archive = self.blocks, self.run.archive
        errors = self.run.settings.assimilation.errors
        rows = spread_out(archive.indices("validation"), MOST_STATES)
        squares = torch.stack([_squared_error(codec, archive.read([int(r)]), blocks) for r in rows])
        level = torch.from_numpy(blocks.cells // blocks.coarse.area.size)
        parts = []
        for number, (name, least) in enumerate(LEAST_ERRORS.items()):
            measured = max(errors.get(name, 0.0), least)
            own = squares[:, number].mean(dim=0)
            count = level.bincount(minlength=len(blocks.coarse.depth))
            mean = level.bincount(own, minlength=len(count)) / count.clamp(min=1)
            parts.append((mean[level] + measured**2).sqrt())
        return torch.cat(parts)

    def evidence(self, pipeline: StatePipeline) -> Evidence:
        """The means that states should have; made once, because each ensemble asks for it."""
        if "evidence" not in self._kept:
            self._kept["evidence"] = self._condensed(pipeline)
        return self._kept["evidence"]

    def starting(self, noise: Noise, *, guided: bool, conditions: Conditions | None) -> Ensemble:
        """States that chains return, which begin at the given state with noise."""

        def start(pipeline: StatePipeline) -> Start:
            return self.start(pipeline, noise)

        record = self.record | {"noise": noise.amplitude}
        drawn = self._ensemble(record, guided=guided, conditions=conditions)
        return replace(drawn, posterior=None, start=start)

    def start(self, pipeline: StatePipeline, noise: Noise) -> Start:
        """Where chains begin: at the given state with noise."""
        return Start(_encoded(pipeline.codec, self.given), noise.amplitude)

    def noise(
        self, pipeline: StatePipeline, conditions: Conditions | None, *, amplitude: float | None
    ) -> Noise:
        """The noise to begin with: `amplitude`, or by default the least that hides the source.

        conditions: of the translated states
        """
        if amplitude is not None:
            return Noise(amplitude, [])
        rows = spread_out(self.run.archive.indices("train"), MOST_STATES)
        training = read_in_batches(self.run.archive, rows, at_once=AT_ONCE)
        target = torch.cat([_encoded(pipeline.codec, states) for states in training])
        source = _encoded(pipeline.codec, self.given)
        expectation, settings = pipeline.expectation, self.run.settings.conditions
        if expectation is None or settings is None or conditions is None:
            mean = target.mean(dim=0)
            scales = compared_scales(source - mean, target - mean, states=1)
        else:
            known = Conditions.of(self.run.archive, rows, settings)
            scale = expectation.scale.cpu()
            target = (target - expectation.mean(known).cpu()) / scale
            residual = (source - expectation.mean(conditions).cpu()) / scale
            scales = compared_scales(residual, target, states=len(source))
        return of_main_process(Noise(least_noise(scales), scales))

    @cached_property
    def _kept(self) -> dict[str, Evidence]:
        return {}

    def _condensed(self, pipeline: StatePipeline) -> Evidence:
        codec, expectation = pipeline.codec, pipeline.expectation
        directions = None
        if expectation is not None:
            spread = expectation.amplitudes.std(dim=-1)[..., None, None, None]
            directions = (spread * expectation.patterns).flatten(0, 1).flatten(1)
        return condensed(
            both_operator(self.blocks),
            self.value,
            self.errors(codec),
            codec=codec,
            gaussian=pipeline.gaussian,
            scale=1.0 if expectation is None else expectation.scale,
            inflation=self.run.settings.assimilation.prior_inflation,
            directions=directions,
        )

    @cached_property
    def _regridding(self) -> Regridding:
        return Regridding(self.source.grid, self.run.archive.grid)

    @property
    def _climates(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the states of the source and of the model whose climates the maps compare.

        Training states at parameters that both have, which differ by the models alone; without any,
        all of the source's and the training states.
        """
        other, own = shared_climates(self.source, self.run.archive)
        if len(other):
            return other, own
        return np.arange(len(self.source)), self.run.archive.indices("train")

    def _read(self, rows: list[int] | np.ndarray) -> State:
        """States of the source, with temperature and salinity as the model has them."""
        archive = self.run.archive
        return in_kinds_of(
            self.source.read(rows),
            self.source.grid,
            source=self.source.equation_of_state,
            target=archive.equation_of_state,
            convert=self.convert,
        )


def both(blocks: BlockMeans, state: State) -> Tensor:
    """Means of temperature, then of salinity, `b n`."""
    return torch.cat([blocks(state.temperature), blocks(state.salinity)], dim=1)


def both_operator(blocks: BlockMeans) -> ObservationOperator:
    """The same, of a state in channels."""
    count, cells = len(blocks.cells), blocks.fine.wet.size
    return ObservationOperator.of_weights(
        torch.cat([blocks.source, blocks.source + cells]),
        torch.cat([blocks.entry, blocks.entry + count]),
        torch.cat([blocks.weight, blocks.weight]),
        count=2 * count,
    )


def _squared_error(codec: Codec, state: State, blocks: BlockMeans) -> Tensor:
    """Squared errors of the means of a state that is encoded and decoded, `2 n`."""
    (again,) = reconstructed(codec, state)
    difference = both(blocks, again) - both(blocks, state)
    return difference.square().view(2, -1)


def _encoded(codec: Codec, state: State) -> Tensor:
    """Latents `b c h w` of states; sea level that these lack is the training states' mean."""
    if codec.config.ocean["sea_level"] and state.sea_level is None:
        (mean,) = decoded(codec, torch.zeros(1, *codec.latent_shape))
        assert mean.sea_level is not None, "a model with sea level decodes one"
        state = replace(state, sea_level=mean.sea_level.expand(len(state), -1, -1))
    if not codec.config.ocean["sea_level"]:
        state = replace(state, sea_level=None)
    return torch.cat([*encoded(codec, state)])
