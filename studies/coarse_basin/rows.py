"""The rows of the study: fine states that each method gives for one state of the coarse run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.run import Run
from configs.translation import Translation
from data.archive.pairs import paired_states
from data.archive.reader import StateArchive
from data.conditions import Conditions
from data.errors import UserError
from data.state import State
from integration.points import Points
from latent_diffusion.pipeline import StatePipeline
from studies.coarse_basin import settings as s
from studies.downscaling.rows import Methods
from studies.downscaling.settings import DownscalingSettings
from studies.twins import Row, timed


@dataclass(frozen=True)
class Pair:
    """A state of the coarse run and its truth: numbers in their archives, and the true member."""

    coarse: int
    fine: int
    member: int


def pairs_of(run: Run, source: StateArchive, settings: s.CoarseSettings) -> list[list[Pair]]:
    """For each point its pairs, spread over the record of the member and ending with the last.

    Raises `UserError` if the archives have fewer test members in common.
    """
    archive = run.archive
    by_member: dict[int, list[Pair]] = {}
    for coarse, fine in paired_states(source, archive, "test").tolist():
        member = int(archive.member[fine])
        by_member.setdefault(member, []).append(Pair(coarse, fine, member))
    if len(by_member) < settings.points:
        raise UserError(
            f"{source.path} and {archive.path} have {len(by_member)} test members of the same "
            f"parameters and age, but {settings.points} are asked for: give fewer --points, or "
            "simulate more members"
        )
    chosen = list(by_member.values())[: settings.points]
    return [_spread(pairs, settings.states) for pairs in chosen]


def _spread(pairs: list[Pair], count: int) -> list[Pair]:
    places = np.linspace(len(pairs) - 1, 0, min(count, len(pairs)), endpoint=count > 1)
    return [pairs[place] for place in sorted({*places.astype(int).tolist(), len(pairs) - 1})]


def points_at(run: Run, fine: list[int]) -> Points:
    """The points of some states of the run's archive. Raises `UserError` without conditions."""
    conditions = run.settings.conditions
    if conditions is None:
        raise UserError(
            f"{run.settings.name} is no model with conditions: give configs/quickstart.yaml"
        )
    index: NDArray[np.int64] = np.array(fine, dtype=np.int64)
    return Points(run.archive, conditions, index)


@dataclass(frozen=True)
class Maker:
    """Makes the rows of one pair; points: of the pair alone."""

    methods: Methods
    points: Points

    @classmethod
    def of(
        cls,
        run: Run,
        source: StateArchive,
        pair: Pair,
        *,
        pipeline: StatePipeline,
        settings: s.CoarseSettings,
    ) -> Maker:
        """For one pair of states."""
        chains = DownscalingSettings(
            members=max(settings.members, 2), steps=settings.steps, seed=settings.seed
        )
        methods = Methods.of(
            run, chains, pipeline, coarse=source, number=pair.coarse, index=pair.fine
        )
        return cls(methods, points_at(run, [pair.fine]))

    def rows(self) -> Iterator[Row]:
        """All rows; what they share is made before, in the time of none."""
        methods, read = self.methods, self.methods.run.archive.read
        for translation in (methods.translation, self._mapped_means.translation):
            translation.evidence(methods.pipeline)
        _ = self._noisy.given
        interpolated = methods.translation.regridded.state
        makers = {
            s.TRUTH: lambda: read([methods.index]),
            s.ANOTHER: lambda: read(self.points.another),
            s.RECONSTRUCTED: methods.reconstructed,
            s.INTERPOLATED: lambda: interpolated,
            s.ADJUSTED: lambda: methods.adjusted(interpolated),
            s.MAPPED: lambda: self._noisy.given,
            s.DOWNSCALED: lambda: self._from_means(methods),
            s.MAPPED_DOWNSCALED: lambda: self._from_means(self._mapped_means),
            s.TRANSLATED: self._translated,
            s.GENERATED: lambda: methods.adjusted(methods.drawn(self._certain, guided=True)),
            s.NEAREST: lambda: read(self.points.nearest),
        }
        for name, make in makers.items():
            yield timed(name, make)

    @cached_property
    def _noisy(self) -> Translation:
        """The coarse state as one of another model: mapped, and with noise."""
        return replace(self.methods.translation, how="noise", maps=True)

    @cached_property
    def _mapped_means(self) -> Methods:
        """Methods whose means are those of the mapped state."""
        translation = replace(self.methods.translation, maps=True)
        return replace(self.methods, translation=translation)

    @staticmethod
    def _from_means(methods: Methods) -> State:
        return methods.adjusted(methods.given_means(methods.known, guided=True))

    def _translated(self) -> State:
        methods = self.methods
        noise = self._noisy.noise(methods.pipeline, self._certain, amplitude=None)
        start = self._noisy.start(methods.pipeline, noise)
        return methods.adjusted(methods.drawn(self._certain, guided=True, start=start))

    @cached_property
    def _certain(self) -> Conditions | None:
        """The conditions of the truth, with the expected mean, as `halocline integrate` has it."""
        known = self.methods.known
        return None if known is None else replace(known, certain=True)
