"""What the page on observations says in words is what its result says."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROFILES = ("profiles_12", "profiles_40", "profiles_120")
CLASSICAL = (
    *("optimal_interpolation", "localised_interpolation"),
    *("es_mda_fields", "es_mda_latents"),
)


def test_the_section_on_the_world_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "observations.md").read_text()
    said = " ".join(text[text.index("## A climate of the world") :].split())
    path = ROOT / "docs" / "results" / "observations_global4deg_unseen.json"
    networks = json.loads(path.read_text())["networks"]

    def mean(network, row, column="crps_temperature"):
        return networks[network]["rows"][row]["mean"][column]

    ratios = [
        mean(network, "unknown_conditions") / min(mean(network, row) for row in CLASSICAL)
        for network in ("profiles_40", "profiles_120")
    ]
    assert f"our CRPS of T is {ratios[0]:.2f} and {ratios[1]:.2f} times" in said
    before, after, best = (
        mean("surface_temperature", row, "rmse_temperature")
        for row in ("prior", "unknown_conditions", "optimal_interpolation")
    )
    assert f"from {before:.2f} to {after:.2f} K" in said and f"reaches {best:.2f} K" in said
    codec, ours = (
        mean("profiles_120", row, "rmse_temperature")
        for row in ("autoencoded_truth", "unknown_conditions")
    )
    assert f"an error of {codec:.2f} K" in said and f"{codec:.2f}" == f"{ours:.2f}"


def test_the_summary_of_the_page_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "observations.md").read_text()
    said = " ".join(text[text.index("## In short") : text.index("## Truths")].split())
    result = json.loads((ROOT / "docs" / "results" / "observations_quickstart.json").read_text())[
        "networks"
    ]

    def means(row, column):
        return [result[network]["rows"][row]["mean"][column] for network in PROFILES]

    for row in ("unknown_conditions", "optimal_interpolation", "localised_interpolation"):
        first, second, third = (f"{x:.2f}" for x in means(row, "rmse_temperature"))
        assert f"{first}, {second} and {third} K" in said
    ours = means("unknown_conditions", "crps_temperature")
    best = map(min, zip(*(means(row, "crps_temperature") for row in CLASSICAL), strict=True))
    first, second, third = (f"{x / y:.2f}" for x, y in zip(ours, best, strict=True))
    assert f"CRPS is {first}, {second} and {third} times" in said
    known = means("known_conditions", "rmse_temperature")
    inferred = means("unknown_conditions", "rmse_temperature")
    assert all(abs(a - b) <= 0.01 for a, b in zip(known, inferred, strict=True))
    overturned = means("unknown_conditions", "density_error_percent")
    assert f"{min(overturned):.2f} to {max(overturned):.2f} % of the volume" in said


def test_the_section_on_parameters_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "observations.md").read_text()
    said = " ".join(text[text.index("## Parameters from 40") : text.index("## A climate")].split())
    rows = json.loads((ROOT / "docs" / "results" / "recovery_quickstart.json").read_text())["rows"]
    ours, classical, prior = (rows[name] for name in ("ours", "optimal_interpolation", "prior"))
    assert f"hold the true value in {ours['inside_all']:.0f} % of the cases" in said
    assert f"{ours['width_all']:.0f} % of the range of the training members" in said
    assert f"({prior['width_all']:.0f} % without observations)" in said
    assert 5.5 < ours["width_all"] / classical["width_all"] < 6.5 and "a sixth as wide" in said
    assert classical["inside_all"] == 50 and "in half of the cases" in said
    scores = f"ours is {ours['score_all']:.0f} %, that of optimal interpolation "
    assert scores + f"{classical['score_all']:.0f} %" in said
    assert f"in their 90 % range in {ours['inside_all']:.0f} % of the cases" in " ".join(
        text.split()
    )
