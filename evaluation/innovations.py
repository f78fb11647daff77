"""How states agree with observations: innovations, coverage, and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare

from data.archive.reader import StateArchive
from data.batches import read_in_batches
from data.observations import QUANTITIES, Observations
from evaluation.columns import Column, Value
from guidance.observations import ObservationOperator

FloatArray = NDArray[np.float64]
BATCH = 16
RANK_BINS = 8

COLUMNS = (
    Column("misfit", "misfit", "", "rms of observation minus state, in standard errors; target: 1"),
    Column(
        "within_two_percent", "within two standard errors", "%",
        "observations; 95 % where errors are normal",
    ),
    Column(
        "mean_innovation", "mean innovation", "",
        "observation minus ensemble mean, in standard errors; target: 0",
    ),
    Column("temperature_K", "T", "K", "rms of observation minus ensemble mean"),
    Column("salinity", "S", "1e-3", "rms of observation minus ensemble mean"),
    Column("sea_level_m", "sea level", "m", "rms of observation minus ensemble mean"),
    Column("spread_error", "spread / error", "",
           "spread and errors of the observations together, over the rms innovation; target: 1"),
    Column("rank_p", "ranks", "", "probability that ranks are flat; below 0.05: they are not"),
)  # fmt: skip
_NAMES = {"temperature": "temperature_K", "salinity": "salinity", "sea_level": "sea_level_m"}


@dataclass(frozen=True)
class Innovations:
    """Observations against an ensemble.

    seen: values `b n` of the members at the observations; error: `n`, standard deviation of the
    observations' errors, with representation
    """

    observations: Observations
    seen: FloatArray
    error: FloatArray

    @classmethod
    def of(
        cls, archive: StateArchive, observations: Observations, error: FloatArray
    ) -> Innovations:
        """Of all states of an archive."""
        operator = ObservationOperator(observations, archive.grid, sea_level=archive.has_sea_level)
        batches = read_in_batches(archive, range(len(archive)), at_once=BATCH)
        parts = [operator(states) for states in batches]
        return cls(observations, torch.cat(parts).numpy(), error)

    @property
    def mean(self) -> FloatArray:
        """Observation minus ensemble mean, `n`."""
        return self.observations.value - self.seen.mean(axis=0)

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of the members at each observation, `n`; 0 for one member."""
        return self.seen.std(axis=0, ddof=min(1, len(self.seen) - 1))

    def ranks(self, *, seed: int = 0) -> NDArray[np.int64]:
        """Number of observations by rank among the members with errors of the observations.

        In at most 8 bins of equal width. Flat if the ensemble is a fair sample.
        """
        random = np.random.default_rng(seed)
        noisy = self.seen + random.normal(size=self.seen.shape) * self.error
        rank = (noisy < self.observations.value).sum(axis=0)
        bins = min(RANK_BINS, len(self.seen) + 1)
        return np.bincount(rank * bins // (len(self.seen) + 1), minlength=bins)

    def summary(self) -> dict[str, Value]:
        """The numbers of `COLUMNS`."""
        standard = (self.observations.value - self.seen) / self.error
        total = np.sqrt((self.spread**2 + self.error**2).mean())
        values: dict[str, Value] = {
            "misfit": float(np.sqrt((standard**2).mean())),
            "within_two_percent": float(100 * (np.abs(standard) <= 2).mean()),
            "mean_innovation": float((self.mean / self.error).mean()),
            "spread_error": float(total / np.sqrt((self.mean**2).mean())),
            "rank_p": float(chisquare(self.ranks()).pvalue),
        }
        for quantity in QUANTITIES:
            mine = self.observations.quantity == quantity
            if mine.any():
                values[_NAMES[quantity]] = float(np.sqrt((self.mean[mine] ** 2).mean()))
        return values
