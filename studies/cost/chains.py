"""Sampling chains in pieces that can be measured separately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from configs import Experiment
from data.grid import OceanGrid
from guidance.build import build_guide
from guidance.energy import WeightedTerm
from guidance.guide import SteeringGuide
from guidance.seawater import equation_of_state
from guidance.stratification import adjust_in_place
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import ocean_of
from latent_diffusion.pipeline import StatePipeline
from studies.cost.guidance import synthetic_climatology, untrained_pipeline
from studies.cost.synthetic import SyntheticArchive

UNGUIDED, GUIDED = "unguided", "guided"


@dataclass(frozen=True)
class Piece:
    """A part of a chain that can be called alone, and the number of its occurrences."""

    call: Callable[[], object]
    count: int


@dataclass(frozen=True)
class Chain:
    """A sampling chain for `batch` states, in pieces."""

    pipeline: StatePipeline
    guide: SteeringGuide | None
    steps: int
    adjusts: bool
    batch: int = 1

    def pieces(self) -> Iterator[Piece]:
        """One step of each kind, and the decoding with the final adjustment."""
        generators = [member_generator(0, member) for member in range(self.batch)]
        shape = (self.batch, *self.pipeline.codec.latent_shape)
        sample = torch.randn(shape, generator=generators[0]).to(self.pipeline.device)
        for index, count in self.steps_alike().items():
            yield Piece(partial(self._advance, sample, index, generators), count)
        yield Piece(partial(self._finish, sample, self.pipeline.codec.grid), 1)

    def steps_alike(self) -> dict[int, int]:
        """Index of the first step of each kind, with the number of such steps in the chain."""
        kinds = [tuple(map(id, terms)) for terms in self._terms_by_step()]
        return {kinds.index(kind): count for kind, count in Counter(kinds).items()}

    def _advance(
        self, sample: torch.Tensor, index: int, generators: list[torch.Generator]
    ) -> torch.Tensor:
        self.pipeline.set_steps(self.steps)
        if hasattr(self.pipeline.scheduler, "set_begin_index"):
            self.pipeline.scheduler.set_begin_index(index)
        return self.pipeline.advance(sample, index, generators=generators, guide=self.guide)

    @torch.no_grad()
    def _finish(self, sample: torch.Tensor, grid: OceanGrid) -> None:
        codec = self.pipeline.codec
        state = codec.decode(sample)
        if self.adjusts:
            eos = equation_of_state(codec.config.ocean["equation_of_state"])
            adjust_in_place(state, eos=eos, grid=grid)

    @property
    def guided_steps(self) -> int:
        """Number of guided steps."""
        return sum(bool(terms) for terms in self._terms_by_step())

    def _terms_by_step(self) -> list[list[WeightedTerm]]:
        if self.guide is None:
            return [[]] * self.steps
        self.pipeline.set_steps(self.steps)
        return [self.guide.terms_at(self.pipeline.place(index)) for index in range(self.steps)]


def chains_of(experiment: Experiment, archive: SyntheticArchive, device: str) -> dict[str, Chain]:
    """The experiment's chain without and with guidance, with the same networks."""
    pipeline = untrained_pipeline(experiment, archive).to(device)
    climatology = partial(synthetic_climatology, archive)
    guide = build_guide(experiment.guidance, ocean_of(pipeline.codec, climatology=climatology))
    steps = experiment.sampling.steps
    return {
        UNGUIDED: Chain(pipeline, None, steps, adjusts=False),
        GUIDED: Chain(pipeline, guide, steps, adjusts=experiment.guidance.adjust),
    }
