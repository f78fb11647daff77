"""Zonal spectra of temperature anomalies along continuous ocean segments of rows.

Power by wavenumber and in three bands, and the coherence of two levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import csd
from scipy.signal.windows import boxcar, hann
from torch import Tensor

from data.grid import OceanGrid
from data.state import State
from evaluation.columns import TRUTH, Column

SHORTEST_STRETCH = 8  # cells; fewer do not resolve three wavenumber bands
SPECTRUM_DEPTHS = (0.0, 200.0, 1000.0)  # m
THERMOCLINE_CENTRE = 400.0  # m
PLACES = {"surface": 0.0, "thermocline": THERMOCLINE_CENTRE}  # m, of the nearest levels
ROUND_OFF = 1e-12  # K2; less power is rounding of stored temperatures
BANDS = {1: "long", 2: "medium", 3: "short"}  # thirds of the wavenumbers
UNDEFINED = (float("nan"),) * 3

COLUMNS = (
    *(
        Column(
            f"power_ratio_{place}_third_{third}", f"power, {place}, {waves} waves, ratio", "",
            f"power of T anomalies in the {waves} third of the zonal waves at the level nearest to "
            f"{depth:.0f} m, generated / truth; target: 1; below: too smooth or too uniform",
            target=1.0,
        )
        for place, depth in PLACES.items()
        for third, waves in BANDS.items()
    ),
    *(
        Column(
            f"power_{place}_third_{third}_K2", f"power, {place}, {waves} waves", "K²",
            f"variance of T anomalies along rows in the {waves} third of the zonal waves at the "
            f"level nearest to {depth:.0f} m; target: the value of the truth", target=TRUTH,
        )
        for place, depth in PLACES.items()
        for third, waves in BANDS.items()
    ),
    *(
        Column(
            f"coherence_third_{third}", f"coherence, {waves} waves", "",
            f"squared coherence of T anomalies at the surface and near 400 m in the {waves} third "
            "of the zonal waves; target: the value of the truth", target=TRUTH,
        )
        for third, waves in BANDS.items()
    ),
    *(
        Column(
            f"coherence_difference_third_{third}", f"coherence, {waves} waves, difference", "",
            "generated minus truth; target: 0; below: the subsurface does not belong to the "
            "surface above it", target=0.0,
        )
        for third, waves in BANDS.items()
    ),
)  # fmt: skip


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
    return spectra_of_levels(partial(_anomaly, temperature, climatology), grid, depths=depths)


def spectra_of_levels(
    anomaly: Callable[[int], Tensor], grid: OceanGrid, *, depths: Sequence[float]
) -> list[ZonalSpectrum]:
    """As `zonal_spectra`, of the anomalies `b y x` that `anomaly` returns for a level."""
    levels = dict.fromkeys(_nearest_level(grid, depth) for depth in depths)
    spectra = (_level_spectrum(anomaly, grid, level) for level in levels)
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


def band_metrics(
    state: State, reference: State, grid: OceanGrid, *, climatology: Tensor
) -> dict[str, float]:
    """Power and coherence of T anomalies in bands, compared with `reference`; see `COLUMNS`.

    climatology: `z y x` [degC], subtracted from both; that of the reference, or of the training
    states. The bands are thirds of the wavenumbers, from long to short waves. NaN where no row is
    long enough, and for ratios and coherences of a reference without power.
    """
    ours, theirs = (
        _by_band(one.temperature, grid, climatology=climatology) for one in (state, reference)
    )
    metrics = {}
    for third in BANDS:
        for place in PLACES:
            power, true_power = ours[place][third - 1], theirs[place][third - 1]
            ratio = power / true_power if true_power > ROUND_OFF else float("nan")
            metrics[f"power_ratio_{place}_third_{third}"] = ratio
            metrics[f"power_{place}_third_{third}_K2"] = power
        coherence, true_coherence = ours["coherence"][third - 1], theirs["coherence"][third - 1]
        metrics[f"coherence_third_{third}"] = coherence
        metrics[f"coherence_difference_third_{third}"] = coherence - true_coherence
    return metrics


def band_power(spectrum: ZonalSpectrum) -> tuple[float, float, float]:
    """Variance along the rows in each third of the wavenumbers [K2], from long to short waves.

    Their sum is the variance along a row: each power counts twice, for k and -k, except that of
    waves of two cells.
    """
    signs = np.where(spectrum.wavenumber < 0.5, 2.0, 1.0)
    return _thirds(signs * spectrum.power, np.sum)


def coherence_of_levels(
    temperature: Tensor, grid: OceanGrid, *, climatology: Tensor, upper: int, lower: int
) -> NDArray[np.float64] | None:
    """Magnitude-squared coherence `k` of T anomalies `b z y x` at two levels, without wavenumber 0.

    |<X* Y>|^2 / (<|X|^2> <|Y|^2>) with X and Y the Fourier transforms along the same segments and
    < > the mean over rows and states (Bendat and Piersol 2010, Random Data, section 5.2.2). 1 if Y
    is X times a factor per wavenumber, about 1 / (rows * states) if they are independent. The
    segments are those of `zonal_spectra`, wet at both levels. None if no segment is long enough.
    """
    segments = _common_segments(grid.wet[upper] & grid.wet[lower], periodic=grid.periodic_x)
    if segments is None:
        return None
    x, y = (segments.of(_anomaly(temperature, climatology, level)) for level in (upper, lower))
    cross, *powers = (
        np.abs(_cross_power(one, other, segments).mean(axis=(0, 1)))
        for one, other in ((x, y), (x, x), (y, y))
    )
    with np.errstate(invalid="ignore"):
        return (cross**2 / (powers[0] * powers[1]))[1:]


def _by_band(
    temperature: Tensor, grid: OceanGrid, *, climatology: Tensor
) -> dict[str, tuple[float, float, float]]:
    """Power [K2] of each place, and the coherence between them, by band."""
    levels = {place: _nearest_level(grid, depth) for place, depth in PLACES.items()}
    upper, lower = levels.values()
    powers = {}
    for place, level in levels.items():
        spectrum = _level_spectrum(partial(_anomaly, temperature, climatology), grid, level)
        powers[place] = UNDEFINED if spectrum is None else band_power(spectrum)
    coherence = coherence_of_levels(
        temperature, grid, climatology=climatology, upper=upper, lower=lower
    )
    if coherence is None or min(map(min, powers.values())) <= ROUND_OFF:
        return powers | {"coherence": UNDEFINED}
    return powers | {"coherence": _thirds(coherence, np.mean)}


def _thirds(
    values: NDArray[np.float64], reduce: Callable[[NDArray[np.float64]], np.float64]
) -> tuple[float, float, float]:
    """`reduce` applied to each third of values `k`."""
    edges = [-(-third * len(values) // 3) for third in range(4)]
    first, second, third = (float(reduce(values[a:b])) for a, b in pairwise(edges))
    return first, second, third


def _third_ratios(generated: ZonalSpectrum, truth: ZonalSpectrum) -> list[float]:
    totals = zip(_thirds(generated.power, np.sum), _thirds(truth.power, np.sum), strict=True)
    return [ours / theirs if theirs > 0 else np.nan for ours, theirs in totals]


def _nearest_level(grid: OceanGrid, depth: float) -> int:
    return int(np.abs(grid.depth - depth).argmin())


def _level_spectrum(
    anomaly: Callable[[int], Tensor], grid: OceanGrid, level: int
) -> ZonalSpectrum | None:
    segments = _common_segments(grid.wet[level], periodic=grid.periodic_x)
    if segments is None:
        return None
    power = _power(segments.of(anomaly(level)), segments)
    return ZonalSpectrum(
        depth=float(grid.depth[level]),
        wavenumber=np.fft.rfftfreq(segments.length)[1:].astype(np.float64),
        power=power.mean(axis=(0, 1))[1:],
    )


def _anomaly(temperature: Tensor, climatology: Tensor, level: int) -> Tensor:
    """Anomalies `b y x` [K] at a level."""
    return temperature[:, level].double() - climatology[level]


class _Segments(NamedTuple):
    """Ocean segments of equal length, one per row.

    rows `r 1`, columns `r l`; windowed: whether their ends do not meet around the grid
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    windowed: bool

    @property
    def length(self) -> int:
        """Number of cells of each segment."""
        return self.columns.shape[1]

    def of(self, field: Tensor) -> NDArray[np.float64]:
        """Values `b r l` of a field `b y x`."""
        return np.ascontiguousarray(field.numpy()[:, self.rows, self.columns])


def _common_segments(wet: NDArray[np.bool_], *, periodic: bool) -> _Segments | None:
    """The longest segment of each row of `y x`, cropped to a common length, without shorter ones.

    None if all are too short.
    """
    runs = np.array([longest_stretch(row, periodic=periodic) for row in wet])
    length = _common_length(runs[:, 1].tolist())
    if length is None:
        return None
    rows = np.flatnonzero(runs[:, 1] >= length)
    starts, counts = runs[rows].T
    columns = (starts + (counts - length) // 2)[:, None] + np.arange(length)
    width = wet.shape[1]
    return _Segments(rows[:, None], columns % width, not (periodic and length == width))


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


def _power(stretches: NDArray[np.float64], segments: _Segments) -> NDArray[np.float64]:
    """Periodogram `b r k` of `b r l`, corrected for the variance lost by the window."""
    return _cross_power(stretches, stretches, segments).real


def _cross_power(
    x: NDArray[np.float64], y: NDArray[np.float64], segments: _Segments
) -> NDArray[np.complex128]:
    """Cross-periodogram `b r k` of `b r l`, detrended and windowed unless they are periodic."""
    length = segments.length
    _, density = csd(
        x,
        y,
        window=hann(length + 2)[1:-1] if segments.windowed else boxcar(length),  # without zeros
        nperseg=length,
        detrend="linear" if segments.windowed else False,
        return_onesided=False,
    )
    return density[..., : length // 2 + 1] / length
