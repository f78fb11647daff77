"""The columns of tables: name, unit and meaning of each metric."""

from __future__ import annotations

from data.salinity import SALINITY_UNIT
from evaluation.columns import TRUTH, Column
from evaluation.metrics import (
    classifier,
    fronts,
    members,
    moments,
    novelty,
    season,
    spectra,
    stratification,
    ts_diagram,
    variance,
)

_BASIC = (
    Column("states", "states", "", "number of states"),
    Column(
        "density_error_percent", "density error", "%",
        "volume of water heavier than the water below it by more than 0.001 kg/m³ (locally "
        "referenced, equation of state of the data); at most the value of the truth", target=0.0,
    ),
    Column(
        "density_error_strict_percent", "density error, strict", "%",
        "density error without threshold; includes rounding of stored fields",
    ),
    Column(
        "density_error_surface_teos10_percent", "density error, surface TEOS-10", "%",
        "as in Meunier et al. (2025): surface-referenced TEOS-10 polynomial, no threshold; "
        "includes deep water that is stable in situ; target: the value of the truth", target=TRUTH,
    ),
    Column(
        "near_neutral_pairs_percent", "near-neutral pairs", "%",
        "vertical pairs of cells with densities within 0.001 kg/m³; below the truth: stratified "
        "mixed layers", target=TRUTH,
    ),
    Column(
        "mixed_layer_depth_mean_m", "mixed layer, mean", "m",
        "depth at which σ₀ exceeds that of the top level by 0.03 kg/m³, mean over area and states",
        target=TRUTH,
    ),
    Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m", "over area and states",
           target=TRUTH),
    Column(
        "mixed_layer_depth_bias_m", "mixed layer, bias", "m",
        "difference of the mean from the truth; negative: too stratified",
    ),
    Column(
        "w1_temperature_K", "W₁ of T", "K",
        "Wasserstein-1 distance of the values at each level, weighted by area, mean over depth; "
        "target: 0",
        target=0.0,
    ),
    Column(
        "w1_salinity", "W₁ of S", SALINITY_UNIT,
        "Wasserstein-1 distance of the values at each level, weighted by area, mean over depth; "
        "target: 0",
        target=0.0,
    ),
    Column(
        "mean_profile_error_temperature_K", "mean-profile error of T", "K",
        "rms over depth of the bias of the horizontal and ensemble mean; target: 0", target=0.0,
    ),
    Column(
        "mean_profile_error_salinity", "mean-profile error of S", SALINITY_UNIT,
        "rms over depth of the bias of the horizontal and ensemble mean; target: 0", target=0.0,
    ),
    Column(
        "spectra_ratio_small_scales", "small-scale power", "",
        "power of T anomalies at short zonal wavelengths, generated / truth; below 1: too smooth",
        target=1.0,
    ),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = (
    *_BASIC,
    *ts_diagram.COLUMNS,
    *stratification.COLUMNS,
    *variance.COLUMNS,
    *members.COLUMNS,
    *season.COLUMNS,
    *fronts.COLUMNS,
    *moments.COLUMNS,
    *spectra.COLUMNS,
    *novelty.COLUMNS,
    *classifier.COLUMNS,
)
