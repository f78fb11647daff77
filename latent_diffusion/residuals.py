"""Residuals of latents about their own member's mean, with the conditions of each state."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from einops import einsum
from numpy.typing import NDArray
from torch import Tensor

from data.archive.reader import StateArchive
from data.batches import Samples
from data.conditions import Conditions, ConditionSettings, ConditionSpace
from latent_diffusion.expectation import Expectation
from latent_diffusion.objective import ConditionalLatents

STATES_PER_TERM = 2  # of a member, to determine its course; with fewer its mean is constant
SMALLEST_FREEDOM = 0.25  # share of the states' freedom that the members' means leave to residuals
UNRESOLVED = 1e-6  # of the largest eigenvalue: combinations of terms that the states leave open

FloatArray = NDArray[np.float64]


class Residuals(Samples):
    """Means and standard deviations `2 c h w` of latents about the members' own means.

    samples: `2 c h w` each; courses: coefficients `m t c h w` of the members' means; group: `n`,
    the member of each sample, 0 to m - 1; course: `n t`, what the means are linear functions of;
    scale: `c 1 1`, unit of the residuals
    """

    def __init__(
        self,
        samples: Samples,
        courses: Tensor,
        *,
        group: NDArray[np.int64],
        course: FloatArray,
        scale: Tensor | float = 1.0,
    ) -> None:
        self.courses = courses
        self._samples, self._group, self._scale = samples, group, scale
        self._course = torch.from_numpy(course).to(courses)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        (mean, std), _ = self._samples[item]
        own = einsum(self._course[item], self.courses[self._group[item]], "t, t c h w -> c h w")
        return torch.stack([mean - own, std]) / self._scale, item


class ConditionalSamples(Samples):
    """Residuals with the features `n f` of their conditions."""

    def __init__(self, residuals: Samples, features: Tensor) -> None:
        self._residuals, self._features = residuals, features

    def __len__(self) -> int:
        return len(self._residuals)

    def __getitem__(self, item: int) -> tuple[ConditionalLatents, int]:
        return ConditionalLatents(self._residuals[item][0], self._features[item]), item


class ConditionalData(NamedTuple):
    """The expectation of the latents, and by split the residuals, alone and with conditions."""

    expectation: Expectation
    residuals: dict[str, Samples]
    samples: dict[str, Samples]


class Divide(Protocol):
    """Divides latents into an expectation and residuals, as `conditional_data` does."""

    def __call__(  # noqa: D102  # see `conditional_data`
        self,
        datasets: dict[str, Samples],
        archive: StateArchive,
        settings: ConditionSettings,
        *,
        weight: Tensor,
    ) -> ConditionalData: ...


def conditional_data(
    datasets: dict[str, Samples],
    archive: StateArchive,
    settings: ConditionSettings,
    *,
    weight: Tensor,
) -> ConditionalData:
    """Expectation and residuals of the latents of the splits "train" and "validation".

    The expectation is that of the training members; the mean of a validation member is its own.
    A mean that is fitted to few states takes a part of their variance with it, which the scale of
    the expectation gives back. weight: `c h w`, of each latent value, 0 on land.

    Raises `UserError` for conditions that the archive lacks or that do not vary.
    """
    rows = {split: archive.indices(split) for split in datasets}
    conditions = {split: Conditions.of(archive, rows[split], settings) for split in datasets}
    member = archive.member[rows["train"]]
    space = ConditionSpace.of(conditions["train"], member, settings)
    groups = {
        split: np.unique(archive.member[rows[split]], return_inverse=True)[1] for split in datasets
    }
    courses = {split: space.course(conditions[split]) for split in datasets}
    means = {
        split: member_courses(datasets[split], courses[split], groups[split]) for split in datasets
    }

    def residuals(split: str, scale: Tensor | float) -> Residuals:
        return Residuals(
            datasets[split], means[split], group=groups[split], course=courses[split], scale=scale
        )

    scale = deviation(residuals("train", 1.0), weight)
    freedom = 1 - fitted_coefficients(courses["train"], groups["train"]) / len(rows["train"])
    points = space.point(conditions["train"].at(np.unique(member, return_index=True)[1]))
    expectation = Expectation.of(
        means["train"], points, space=space, scale=scale / max(freedom, SMALLEST_FREEDOM) ** 0.5
    )
    scaled: dict[str, Samples] = {split: residuals(split, scale) for split in datasets}
    samples: dict[str, Samples] = {
        split: ConditionalSamples(one, expectation.features(conditions[split]))
        for split, one in scaled.items()
    }
    return ConditionalData(expectation, scaled, samples)


def member_courses(samples: Samples, course: FloatArray, group: NDArray[np.int64]) -> Tensor:
    """Least-squares coefficients `m t c h w` of each member's latents on its `course` `n t`.

    group: `n`, the member of each sample, 0 to m - 1. Coefficients that the states leave open, such
    as those of a harmonic that they do not resolve, are 0.
    """
    solvers = torch.from_numpy(least_squares(course, group))
    shape = samples[0][0].shape[1:]
    courses = torch.zeros(int(group.max()) + 1, course.shape[1], *shape, dtype=torch.float64)
    for item, (one, solver) in enumerate(zip(group, solvers, strict=True)):
        courses[one] += solver[:, None, None, None] * samples[item][0][0]
    return courses.float()


def least_squares(course: FloatArray, group: NDArray[np.int64]) -> FloatArray:
    """Weights `n t` of each state in the coefficients of its member, see `member_courses`.

    The first term of the course is 1. The others are fitted about their mean over the states, so
    that what does not vary among these takes nothing of the member's mean.
    """
    weights = np.zeros_like(course)
    for one in np.unique(group):
        mine = group == one
        centre, anomalies = _anomalies(course[mine])
        slopes = anomalies @ np.linalg.pinv(
            anomalies.T @ anomalies, rcond=UNRESOLVED, hermitian=True
        )
        weights[mine, 0] = 1 / mine.sum() - slopes @ centre
        weights[mine, 1:] = slopes
    return weights


def fitted_coefficients(course: FloatArray, group: NDArray[np.int64]) -> int:
    """Number of coefficients that the states determine, summed over the members."""
    ranks = [
        1 + int(np.linalg.matrix_rank(_anomalies(course[group == one])[1], tol=UNRESOLVED))
        for one in np.unique(group)
    ]
    return sum(ranks)


def _anomalies(course: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and anomalies of all terms of a member's course but the first; 0 with few states."""
    terms = course[:, 1:] * (len(course) >= STATES_PER_TERM * course.shape[1])
    centre = terms.mean(axis=0)
    anomalies = terms - centre
    return centre, np.where(np.ptp(terms, axis=0) > UNRESOLVED, anomalies, 0.0)


def deviation(residuals: Samples, weight: Tensor) -> Tensor:
    """Standard deviation `c 1 1` of residuals, with the uncertainty of the encoding.

    1 for channels without weight, such as a level without ocean.
    """
    total = weight.sum(dim=(1, 2), keepdim=True)
    share = (weight / torch.where(total > 0, total, 1.0)).double().cpu()
    square = sum(
        (moments.double().square().sum(dim=0) * share).sum(dim=(1, 2))
        for moments, _ in (residuals[item] for item in range(len(residuals)))
    )
    assert isinstance(square, Tensor)
    scale = (square / len(residuals)).sqrt().float()[:, None, None]
    return torch.where(total.cpu() > 0, scale, 1.0)
