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

    def of(row: str, key: str) -> float:
        return rows[row][key]

    def waves(row: str) -> tuple[float, float]:
        return of(row, "power_surface"), of(row, "power_thermocline")

    ours, best = waves("unknown_conditions"), waves("autoencoded_truth")
    error = "rmse_temperature"
    surface, thermocline = waves("interpolated")
    for words in (
        f"our members is {of('unknown_conditions', error):.3f} K (rms of T)",
        f"interpolation of the means {of('interpolated', error):.3f} K",
        f"given the same means {of('eof_gaussian', error):.3f} K",
        f"the truth alone costs {of('autoencoded_truth', error):.3f} K",
        f"{ours[0]:.2f} (surface) and {ours[1]:.2f} (thermocline) of the truth's power",
        f"interpolated states have {surface:.2f} and {thermocline:.2f}",
        f"autoencoded truth has {best[0]:.2f} and {best[1]:.2f}",
        f"we have {ours[0] / best[0]:.2f} and {ours[1] / best[1]:.2f} times",
        f"({waves('eof_gaussian')[0]:.2f} and {waves('eof_gaussian')[1]:.2f})",
        f"at the surface to {waves('guided_adjusted')[0]:.1f}, four times",
        f"{of('eof_gaussian', 'density_error_percent'):.1f} % of their volume",
        f"from {of('unknown_conditions', 'misfit'):.1f} to {of('guided_adjusted', 'misfit'):.1f}",
        f"are {-of('unknown_conditions', 'mixed_layer_error_percent'):.1f} % too shallow",
        f"ones are {-of('interpolated', 'mixed_layer_error_percent'):.0f} % too shallow",
    ):
        assert words in said
