"""What the page on training terms says in words is what its result says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]


def test_the_summary_of_the_page_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "terms.md").read_text()
    said = " ".join(text[text.index("## In short") : text.index("## Terms compared")].split())
    variants = json.loads((ROOT / "docs" / "results" / "terms.json").read_text())["variants"]

    def of(name: str, key: str) -> np.ndarray:
        return np.array(variants[name]["metrics"][key])

    density, layer = "density_error_percent", "mixed_layer_depth_mean_m"
    variance, w1 = "variance_ratio_mean_temperature_training", ("w1_temperature_K", "w1_salinity")
    base = {key: of("baseline", key) for key in (density, layer, variance, *w1)}
    assert "({:.2f}, {:.2f} and {:.2f} %".format(*base[density]) in said

    def change(name: str, key: str) -> np.ndarray:
        return of(name, key) / base[key] - 1

    for name in ("mean_0.1", "mean_1", "sample_0.1", "sample_1"):
        assert np.abs(change(name, density)).max() < 0.07
        assert np.abs(change(name, variance)).max() < 0.01
        assert max(np.abs(change(name, key)).max() for key in w1) < 0.05
        assert np.abs(of(name, layer) - base[layer]).max() < 1.05
    for name, form in (("mean_10", "by {} and {} % (mean)"), ("sample_10", "or {} and {} % (sam")):
        first, _, third = (-100 * change(name, density)).round().astype(int)
        assert form.format(first, third) in said
        shallower = (base[layer] - of(name, layer))[[0, 2]]
        assert shallower.min() > 2.9 and shallower.max() < 5.2
    first, _, third = (-100 * change("sample_conflict_free", density)).round().astype(int)
    assert f"lose {min(first, third)} and {max(first, third)} % of their density error" in said
