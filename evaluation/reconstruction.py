"""Evaluation of autoencoders: errors of held-out states after encoding and decoding.

Errors are relative to two standard deviations at each level: the total one, over wet cells and
training states, and that of the anomalies from the climatology of each cell, the input of the
networks. Stability is measured for four kinds of decoded states, all of which occur in sampling:
reconstructions, reconstructions after exact adjustment, decoded perturbed latents, and decoded
means of two latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoencoder.passing import StateCodec, encoded, passing_at_once
from autoencoder.passing import decoded as decoded_parts
from data.archive.mapped import joined
from data.grid import OceanGrid
from data.normalisation import Statistics
from data.state import State
from evaluation.metrics.row import EvaluationContext
from evaluation.metrics.spectra import (
    THERMOCLINE_CENTRE,
    ZonalSpectrum,
    spectra_of_levels,
    third_ratios,
)
from evaluation.metrics.stability import (
    density_error_percent,
    mixed_layer_depth,
    near_neutral_pairs_percent,
)
from evaluation.metrics.variance import variance_ratio
from evaluation.metrics.weights import cell_volume, level_thickness, over_batches, weighted_mean
from guidance.stratification import adjust

THERMOCLINE = (300.0, 500.0)  # m
SURFACE = "surface"
PERTURBATION = 0.1  # standard deviations of the latents
VARIABLES = ("temperature", "salinity")
KINDS = ("", "adjusted_", "perturbed_", "interpolated_")  # prefixes of decoded states
TRUTH = "truth_"
Stability = dict[str, float]  # means over states


@dataclass(frozen=True)
class Decoded:
    """Held-out states and their reconstructions, on the same grid.

    truth: held-out states
    reconstruction: encoded and decoded
    stability: of the truth ("truth_") and, by the prefixes of `KINDS`, of reconstructions, of
        these after exact convective adjustment, of what is decoded from `perturbed` latents, and
        from `interpolated` ones
    """

    truth: State
    reconstruction: State
    stability: dict[str, Stability]


@dataclass(frozen=True)
class Profiles:
    """Root-mean-square errors of each level `z`, NaN where a level has no ocean.

    total, anomaly: by variable, in percent of the total and the anomaly standard deviation
    """

    total: dict[str, list[float]]
    anomaly: dict[str, list[float]]


def reconstruction_metrics(
    codec: StateCodec, truth: State, context: EvaluationContext
) -> dict[str, float]:
    """All metrics of a codec on held-out states, with units in the names."""
    return judge(decode_all(codec, truth, context), codec.statistics, context)


def decode_all(
    codec: StateCodec, truth: State, context: EvaluationContext, *, folder: Path | None = None
) -> Decoded:
    """Encode and decode states; of all that is decoded, only the reconstructions are kept.

    folder: where more reconstructions than fit into memory are written, see `data.archive.mapped`
    """
    latents = torch.cat([*encoded(codec, truth)])
    again = joined(decoded_parts(codec, latents), count=len(latents), folder=folder)
    at_once = passing_at_once(codec)
    adjusted = (adjust(part, eos=context.eos, grid=context.grid) for part in again.split(at_once))
    kinds = (
        again.split(at_once),
        adjusted,
        decoded_parts(codec, perturbed(latents)),
        decoded_parts(codec, interpolated(latents)),
    )
    return Decoded(
        truth,
        again,
        {TRUTH: _stability_of(truth.split(at_once), context)}
        | {kind: _stability_of(one, context) for kind, one in zip(KINDS, kinds, strict=True)},
    )


def perturbed(latents: Tensor, *, seed: int = 0) -> Tensor:
    """Latents `b c h w` with noise of 0.1 standard deviations."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    spread = latents.std(dim=(0, 2, 3), correction=0)[:, None, None]
    return latents + PERTURBATION * spread * noise


def interpolated(latents: Tensor) -> Tensor:
    """Means of pairs of latents `b c h w`.

    Neighbours in the archive are similar, so states are paired across half of the split.
    """
    partners = latents.roll(len(latents) // 2, dims=0)
    return 0.5 * (latents + partners)


def judge(decoded: Decoded, statistics: Statistics, context: EvaluationContext) -> dict[str, float]:
    """The metrics of `reconstruction_metrics` for decoded states."""
    return {
        "states": len(decoded.truth),
        **_errors(decoded, statistics, context.grid),
        **_volume_means(decoded, context.grid),
        **_spectra_ratios(decoded, context.grid),
        **_variance_ratios(decoded, context.grid),
        **_compared_stability(decoded.stability),
    }


def level_errors(decoded: Decoded, statistics: Statistics) -> Profiles:
    """RMSE of the reconstruction at each level, over wet cells and states with equal weights."""
    rmse = _over_wet(_mean_squares(decoded), statistics.wet).sqrt()
    total = _percent(rmse, total_level_std(statistics), statistics)
    anomaly = _percent(rmse, statistics.std.double(), statistics)
    return Profiles(total=total, anomaly=anomaly)


def total_level_std(statistics: Statistics) -> Tensor:
    """Standard deviation `c` of each channel over wet cells and training states [physical units].

    Its square is the variance of the climatology over cells plus that of the anomalies, whose
    standard deviation has a lower bound, see `Statistics.std`.
    """
    climatology = statistics.mean.double()
    mean = _over_wet(climatology, statistics.wet)
    spread = _over_wet((climatology - mean[:, None, None]).square(), statistics.wet)
    return (spread + statistics.std.double().square()).sqrt()


def worst_cells(
    decoded: Decoded, statistics: Statistics, grid: OceanGrid, *, count: int = 10
) -> list[dict[str, object]]:
    """The `count` wet cells with the largest RMSE relative to their level's total std, worst first.

    Entries have variable, longitude and latitude (x and y [km] on a plane), depth [m], the indices
    level, row and column, and the RMSE in percent.
    """
    levels = statistics.levels
    errors = _cell_errors(decoded, statistics)
    worst = errors.flatten().topk(min(count, int((errors >= 0).sum())))
    places = np.stack(np.unravel_index(worst.indices.numpy(), errors.shape), axis=1)
    return [
        _cell(grid, VARIABLES[channel // levels], (int(channel % levels), int(row), int(column)))
        | {"rmse_percent_of_total_std": float(value)}
        for (channel, row, column), value in zip(places, worst.values, strict=True)
    ]


def reconstruction_spectra(decoded: Decoded, grid: OceanGrid) -> dict[str, list[dict[str, object]]]:
    """Zonal spectra of T at the surface and in the thermocline, by place and level.

    Entries have depth [m], wavenumber `k` [cycles per cell], and power `k` [K2] of truth and
    reconstruction.
    """
    return {
        place: [
            {
                "depth_m": theirs.depth,
                "wavenumber_cycles_per_cell": theirs.wavenumber.tolist(),
                "power_truth_K2": theirs.power.tolist(),
                "power_reconstruction_K2": ours.power.tolist(),
            }
            for ours, theirs in zip(ours_by_level, theirs_by_level, strict=True)
        ]
        for place, (ours_by_level, theirs_by_level, _) in _spectra(decoded, grid).items()
    }


def thermocline_depths(grid: OceanGrid) -> list[float]:
    """Depths [m] of the levels within 300-500 m, or else of the level nearest to 400 m."""
    low, high = THERMOCLINE
    inside = [float(depth) for depth in grid.depth if low <= depth <= high]
    return inside or [float(grid.depth[np.abs(grid.depth - THERMOCLINE_CENTRE).argmin()])]


def _mean_squares(decoded: Decoded) -> Tensor:
    """Mean squared errors `c y x` over the states [physical units squared].

    Level by level, to limit memory.
    """
    levels = zip(_levels(decoded.reconstruction), _levels(decoded.truth), strict=True)
    return torch.stack(
        [(ours.double() - truth.double()).square().mean(dim=0) for ours, truth in levels]
    )


def _levels(state: State) -> list[Tensor]:
    """Each channel `b y x` of states, in the order of `State.to_channels`."""
    levels = [*state.temperature.unbind(dim=1), *state.salinity.unbind(dim=1)]
    return levels if state.sea_level is None else [*levels, state.sea_level]


def _cell_errors(decoded: Decoded, statistics: Statistics) -> Tensor:
    """RMSE of T and S in each cell, `2z y x` [% of the level's total std], -1 on land."""
    rmse = _mean_squares(decoded).sqrt()
    percent = 100 * rmse / total_level_std(statistics)[:, None, None]
    return torch.where(statistics.wet, percent, -1.0)[: 2 * statistics.levels]


def _over_wet(field: Tensor, wet: Tensor) -> Tensor:
    """Mean `c` over the wet cells of `c y x`, NaN without wet cells."""
    return (field * wet).sum(dim=(1, 2)) / wet.sum(dim=(1, 2))


def _percent(rmse: Tensor, std: Tensor, statistics: Statistics) -> dict[str, list[float]]:
    percent = (100 * rmse / std).tolist()
    levels = statistics.levels
    profiles = {
        "temperature": percent[:levels],
        "salinity": percent[levels : 2 * levels],
        "sea_level": percent[2 * levels :],
    }
    return {name: values for name, values in profiles.items() if values}


def _errors(decoded: Decoded, statistics: Statistics, grid: OceanGrid) -> dict[str, float]:
    """Thickness-weighted means and maxima of the errors by level, and the largest by cell."""
    profiles, thickness = level_errors(decoded, statistics), level_thickness(grid)
    metrics = {}
    for unit, levels in (("total", profiles.total), ("anomaly", profiles.anomaly)):
        for variable, profile in levels.items():
            values = torch.tensor(profile, dtype=torch.float64)
            weights = thickness if len(values) == len(thickness) else torch.ones(len(values))
            name = f"rmse_{variable}_percent_of_{unit}_std"
            metrics[name] = float(weighted_mean(values, weights))
            metrics[f"{name}_worst_level"] = float(values[weights > 0].max())
    worst = _cell_errors(decoded, statistics).max()
    return metrics | {"rmse_worst_cell_percent_of_total_std": float(worst)}


def _volume_means(decoded: Decoded, grid: OceanGrid) -> dict[str, float]:
    """Mean absolute error of the volume means."""
    volume = cell_volume(grid)

    def error(field: str) -> float:
        means = [
            over_batches(state, lambda some: weighted_mean(getattr(some, field), volume))
            for state in (decoded.reconstruction, decoded.truth)
        ]
        return float((means[0] - means[1]).abs().mean())

    return {
        "volume_mean_temperature_error_K": error("temperature"),
        "volume_mean_salinity_error": error("salinity"),
    }


def _spectra(
    decoded: Decoded, grid: OceanGrid
) -> dict[str, tuple[list[ZonalSpectrum], list[ZonalSpectrum], list[ZonalSpectrum]]]:
    """By place: spectra of the reconstruction, of the truth and of their difference.

    Anomalies are relative to the mean of each set of states. The mean of a few states has small
    scales, and subtracting that of the truth from smooth states would restore lost power.
    """
    places = {SURFACE: [float(grid.depth[0])], "thermocline": thermocline_depths(grid)}

    def ours(level: int) -> Tensor:
        return decoded.reconstruction.temperature[:, level].double()

    def theirs(level: int) -> Tensor:
        return decoded.truth.temperature[:, level].double()

    def error(level: int) -> Tensor:
        return ours(level) - theirs(level)

    def spectra(field: Callable[[int], Tensor], depths: list[float]) -> list[ZonalSpectrum]:
        return spectra_of_levels(lambda level: _anomaly(field(level)), grid, depths=depths)

    return {
        place: (spectra(ours, depths), spectra(theirs, depths), spectra(error, depths))
        for place, depths in places.items()
    }


def _anomaly(values: Tensor) -> Tensor:
    """Values `b y x` minus their mean over the states."""
    return values - values.mean(dim=0)


def _spectra_ratios(decoded: Decoded, grid: OceanGrid) -> dict[str, float]:
    """Power of the reconstruction and of its error, relative to the truth, by wavenumber third.

    Noise in place of lost structure preserves the power but increases the error.
    """
    metrics = {}
    for place, (ours, theirs, error) in _spectra(decoded, grid).items():
        for name, spectra in (("spectrum", ours), ("error_spectrum", error)):
            for third, ratio in enumerate(third_ratios(spectra, theirs), start=1):
                metrics[f"{name}_ratio_{place}_third_{third}"] = ratio
    return metrics


def _variance_ratios(decoded: Decoded, grid: OceanGrid) -> dict[str, float]:
    """Volume-weighted pointwise variance over the states, reconstruction / truth."""
    volume = cell_volume(grid)
    return {
        f"variance_ratio_{field}": variance_ratio(
            getattr(decoded.reconstruction, field), getattr(decoded.truth, field), volume
        )
        for field in VARIABLES
    }


def _compared_stability(stability: dict[str, Stability]) -> dict[str, float]:
    """Density error, mixed layer and near-neutral pairs of the truth and of each kind of state."""
    truth = stability[TRUTH]
    metrics = {f"{TRUTH}{name}": value for name, value in truth.items()}
    for prefix in KINDS:
        ours = stability[prefix]
        depth, true_depth = (x["mixed_layer_depth_mean_m"] for x in (ours, truth))
        neutral, true_neutral = (x["near_neutral_pairs_percent"] for x in (ours, truth))
        relative = {
            "mixed_layer_depth_bias_percent": 100 * _ratio(depth - true_depth, true_depth),
            "near_neutral_ratio": _ratio(neutral, true_neutral),
        }
        metrics |= {f"{prefix}{name}": value for name, value in (ours | relative).items()}
    return metrics


def _stability_of(parts: Iterable[State], context: EvaluationContext) -> Stability:
    """Means over all states of the parts, of which one is in memory at a time."""
    grid, eos = context.grid, context.eos
    found = [
        {
            "density_error_percent": density_error_percent(state, grid, eos),
            "density_error_strict_percent": density_error_percent(state, grid, eos, threshold=0.0),
            "mixed_layer_depth_mean_m": weighted_mean(
                mixed_layer_depth(state, grid, eos), context.area
            ),
            "near_neutral_pairs_percent": near_neutral_pairs_percent(state, grid, eos),
        }
        for state in parts
    ]
    return {name: float(torch.cat([one[name] for one in found]).mean()) for name in found[0]}


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def _cell(grid: OceanGrid, variable: str, place: tuple[int, int, int]) -> dict[str, object]:
    level, row, column = place
    curvilinear = grid.longitude.ndim == 2
    longitude = grid.longitude[row, column] if curvilinear else grid.longitude[column]
    latitude = grid.latitude[row, column] if curvilinear else grid.latitude[row]
    x, y = ("x_km", "y_km") if grid.horizontal_units == "km" else ("longitude", "latitude")
    return {
        "variable": variable,
        x: float(longitude),
        y: float(latitude),
        "depth_m": float(grid.depth[level]),
        "level": level,
        "row": row,
        "column": column,
    }
