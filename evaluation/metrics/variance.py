"""Variance of states over an ensemble."""

from __future__ import annotations

from torch import Tensor

from evaluation.metrics.weights import weighted_mean


def variance_ratio(generated: Tensor, truth: Tensor, weights: Tensor) -> float:
    """Pointwise variance over the samples, area-weighted mean over cells, generated / truth.

    generated, truth: `b y x`; weights: `y x`. The target is 1; smaller values mean lost diversity.
    NaN with fewer than two samples or a constant truth.
    """
    if len(generated) < 2 or len(truth) < 2:
        return float("nan")
    numerator, denominator = (
        float(weighted_mean(field.double().var(dim=0), weights)) for field in (generated, truth)
    )
    return numerator / denominator if denominator > 0 else float("nan")
