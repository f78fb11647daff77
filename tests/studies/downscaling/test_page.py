"""What the page on downscaling says in words is what its result says."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_summary_of_the_page_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "downscaling.md").read_text()
    said = " ".join(text[text.index("## In short") : text.index("## Errors")].split())
    result = json.loads((ROOT / "docs" / "results" / "downscaling_quickstart.json").read_text())
    rows = {name: row["mean"] for name, row in result["rows"].items()}
    ours, best = rows["unknown_conditions"], rows["autoencoded_truth"]
    errors = [
        rows[name]["rmse_temperature"]
        for name in ("unknown_conditions", "interpolated", "eof_gaussian", "autoencoded_truth")
    ]
    for error in errors:
        assert f"{error:.3f} K" in said
    for place in ("surface", "thermocline"):
        key = f"power_{place}"
        assert f"{ours[key]:.2f} ({place})" in said
        assert f"{best[key]:.2f}" in said and f"{rows['interpolated'][key]:.2f}" in said
        assert f"{ours[key] / best[key]:.1f} times" == "1.1 times"
    assert f"the surface to {rows['guided_adjusted']['power_surface']:.1f}" in said
    assert f"{-rows['interpolated']['mixed_layer_error_percent']:.0f} % too shallow" in said
