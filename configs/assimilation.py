"""Builds what was observed of an experiment's ocean from files of observations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autoencoder.codec import Codec
from autoencoder.passing import AT_ONCE, reconstructed
from configs.given import Given
from configs.run import Run
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.batches import read_in_batches
from data.errors import UserError
from data.grid import wet_tensor
from data.observations import Observations
from data.readers.profiles import read_observations
from data.state import State
from guidance.observation_errors import RepresentationError, error_covariance
from guidance.observations import ObservationOperator, placed
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import Evidence

FloatArray = NDArray[np.float64]
STATES = 64  # at most, for the errors of the codec


@dataclass(frozen=True)
class Observed(Given):
    """Observations of the ocean of a run, and how states are drawn given them.

    representation: what the model's codec does not resolve
    left_out: number of values that were missing or that the grid does not represent
    """

    run: Run
    observations: Observations
    representation: RepresentationError
    left_out: int = 0

    @classmethod
    def read(
        cls,
        run: Run,
        files: Sequence[Path],
        *,
        codec: Codec,
        convert: bool = False,
        leave_out: bool = False,
    ) -> Observed:
        """From files; see `data.readers.profiles.read_observations`.

        codec: of the run's model; leave_out: leave out observations that the grid does not
            represent, instead of refusing

        Raises `UserError` for files that do not fit the model.
        """
        settings, archive = run.settings.assimilation, run.archive
        parts, missing = [], 0
        for path in files:
            found, absent, units = read_observations(
                path,
                equation_of_state=archive.equation_of_state,
                errors=settings.errors,
                convert=convert,
            )
            if units != archive.grid.horizontal_units:
                raise UserError(
                    f"{path} has positions in {units}, but the grid of {archive.path} is in "
                    f"{archive.grid.horizontal_units}: give positions in these units"
                )
            parts.append(found)
            missing += absent
        joined = Observations.joined(parts)
        error = representation_error(codec, archive)
        if not leave_out:
            return cls(run, joined, error, missing)
        kept = placed(joined, archive.grid, sea_level=archive.has_sea_level)
        return cls(run, kept, error, missing + len(joined) - len(kept))

    def without(self, share: float, *, seed: int) -> tuple[Observed, Observations | None]:
        """Some profiles kept back for verification: the others, and the observations of these.

        Single points of one profile number are kept back one by one.
        """
        if not 0 <= share < 1:
            raise UserError(f"the share {share:g} cannot be kept back: give 0 or more, below 1")
        own = self.observations.profile
        if len(np.unique(own)) < 2:
            own = np.arange(len(own))
        numbers = np.unique(own)
        count = round(share * len(numbers))
        if not count:
            return self, None
        back = np.isin(own, np.random.default_rng(seed).choice(numbers, count, replace=False))
        if back.all():
            raise UserError(
                f"keeping back {share:g} of {len(numbers)} profiles leaves none: keep less"
            )
        return replace(self, observations=self.observations.at(~back)), self.observations.at(back)

    def evidence(self, pipeline: StatePipeline) -> Evidence:
        """The observations with the covariance of their errors."""
        codec = pipeline.codec
        operator = ObservationOperator(
            self.observations, codec.grid, sea_level=codec.config.ocean["sea_level"]
        )
        covariance = self.error_covariance(self.observations)
        return Evidence(
            operator, torch.from_numpy(self.observations.value), torch.from_numpy(covariance)
        )

    def error_covariance(self, observations: Observations) -> FloatArray:
        """Covariance `n n` of the errors of some observations, with those of the codec."""
        return error_covariance(
            observations,
            representation=self.representation,
            correlation_depth=self.run.settings.assimilation.correlation_depth,
        )

    @property
    def record(self) -> dict[str, object]:
        """What determines the states beside the model: the observations and their use."""
        digest = hashlib.sha256()
        for column in fields(self.observations):
            digest.update(np.ascontiguousarray(getattr(self.observations, column.name)).tobytes())
        settings = self.run.settings.assimilation.model_dump(mode="json", exclude={"steps"})
        return {"observations": digest.hexdigest()[:16], **settings}


def representation_error(codec: Codec, archive: StateArchive) -> RepresentationError:
    """Root mean squared errors of a codec on validation states, by level."""
    rows = spread_out(archive.indices("validation"), STATES)
    wet, total = wet_tensor(archive.grid), torch.zeros(())
    for states in read_in_batches(archive, rows, at_once=AT_ONCE):
        (again,) = reconstructed(codec, states)
        total = total + _squares(again, states).double().sum(dim=0)
    mean = total / len(rows)
    levels = archive.grid.shape[0]
    mask = torch.cat([wet, wet, wet[:1]])[: len(mean)]
    profile = ((mean * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)).sqrt().numpy()
    return RepresentationError(
        archive.grid.depth,
        profile[:levels],
        profile[levels : 2 * levels],
        float(profile[2 * levels]) if len(profile) > 2 * levels else 0.0,
    )


def _squares(decoded: State, state: State) -> torch.Tensor:
    return (decoded.to_channels() - state.to_channels()).square()
