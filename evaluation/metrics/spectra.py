"""Zonal power spectra of temperature anomalies along continuous ocean segments of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.grid import OceanGrid

SHORTEST_STRETCH = 8  # cells; fewer do not resolve three wavenumber bands
SPECTRUM_DEPTHS = (0.0, 200.0, 1000.0)  # m


@dataclass(frozen=True)
class ZonalSpectrum:
    """Zonal power spectrum of T anomalies at one level.

    depth [m]; wavenumber `k` [cycles per grid cell], without 0; power `k` [K2 per wavenumber bin],
    mean over rows and samples
    """

    depth: float
    wavenumber: NDArray[np.float64]
    power: NDArray[np.float64]


def zonal_spectra(
    temperature: Tensor,
    grid: OceanGrid,
    *,
    climatology: Tensor,
    depths: Sequence[float] = SPECTRUM_DEPTHS,
) -> list[ZonalSpectrum]:
    """Spectra of `temperature` `b z y x` minus `climatology` at the levels nearest to `depths` [m].

    Uses the longest ocean segment of each row, cropped to the length that retains most cells.
    Segments are detrended and Hann-windowed, except for rows that span a periodic grid. Levels
    without a segment of 8 cells are left out.
    """
    levels = dict.fromkeys(int(np.abs(grid.depth - depth).argmin()) for depth in depths)
    spectra = (_level_spectrum(temperature, climatology, grid, level) for level in levels)
    return [spectrum for spectrum in spectra if spectrum is not None]


def small_scale_ratio(generated: list[ZonalSpectrum], truth: list[ZonalSpectrum]) -> float:
    """Power in the largest third of the wavenumbers, generated / truth, mean over levels.

    Below 1 the fields are too smooth. NaN if the truth has no power or no row is long enough.
    """
    return third_ratios(generated, truth)[2]


def third_ratios(
    generated: list[ZonalSpectrum], truth: list[ZonalSpectrum]
) -> tuple[float, float, float]:
    """Power in each third of the wavenumbers, generated / truth, mean over levels.

    Ordered from long to short waves. NaN if the truth has no power or no row is long enough.
    """
    ratios = [_third_ratios(*pair) for pair in zip(generated, truth, strict=True)]
    if not ratios:
        return float("nan"), float("nan"), float("nan")
    first, second, third = np.mean(ratios, axis=0).tolist()
    return first, second, third


def _third_ratios(generated: ZonalSpectrum, truth: ZonalSpectrum) -> list[float]:
    count = len(truth.power)
    edges = [-(-third * count // 3) for third in range(4)]
    totals = [
        (generated.power[start:stop].sum(), truth.power[start:stop].sum())
        for start, stop in pairwise(edges)
    ]
    return [float(ours / theirs) if theirs > 0 else np.nan for ours, theirs in totals]


def _level_spectrum(
    temperature: Tensor, climatology: Tensor, grid: OceanGrid, level: int
) -> ZonalSpectrum | None:
    rows = [longest_stretch(row, periodic=grid.periodic_x) for row in grid.wet[level]]
    length = _common_length([count for _, count in rows])
    if length is None:
        return None
    anomaly = (temperature[:, level].double() - climatology[level]).numpy()
    columns = grid.shape[2]
    stretches = [
        anomaly[:, y, (start + (count - length) // 2 + np.arange(length)) % columns]
        for y, (start, count) in enumerate(rows)
        if count >= length
    ]
    around = grid.periodic_x and length == columns
    power = _power(np.stack(stretches, axis=1), windowed=not around)
    return ZonalSpectrum(
        depth=float(grid.depth[level]),
        wavenumber=np.fft.rfftfreq(length)[1:].astype(np.float64),
        power=power.mean(axis=(0, 1))[1:],
    )


def longest_stretch(wet: NDArray[np.bool_], *, periodic: bool) -> tuple[int, int]:
    """First column and number of cells of the longest run of True in `wet` `x`; (0, 0) if none."""
    if wet.all():
        return 0, len(wet)
    doubled = np.concatenate([wet, wet]) if periodic else wet
    edges = np.flatnonzero(np.diff(np.concatenate([[0], doubled.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    if len(starts) == 0:
        return 0, 0
    best = int(np.argmax(stops - starts))
    return int(starts[best]), int(stops[best] - starts[best])


def _common_length(counts: list[int]) -> int | None:
    """The segment length that retains most cells; None if all are too short."""
    lengths = sorted({count for count in counts if count >= SHORTEST_STRETCH}, reverse=True)
    kept = [length * sum(count >= length for count in counts) for length in lengths]
    return lengths[int(np.argmax(kept))] if lengths else None


def _power(stretches: NDArray[np.float64], *, windowed: bool) -> NDArray[np.float64]:
    """Periodogram `b y k` of `b y x`, corrected for the variance lost by the window."""
    length = stretches.shape[-1]
    if not windowed:
        return np.abs(np.fft.rfft(stretches)) ** 2 / length**2
    window = np.hanning(length + 2)[1:-1]
    transform = np.fft.rfft(_detrended(stretches) * window)
    return np.abs(transform) ** 2 / (length * np.square(window).sum())


def _detrended(stretches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values minus their least-squares line along the last axis."""
    position = np.linspace(-1, 1, stretches.shape[-1])
    centred = stretches - stretches.mean(axis=-1, keepdims=True)
    slope = (centred @ position) / np.square(position).sum()
    return centred - slope[..., None] * position
