"""What the page on guidance says of a model with conditions is what its result says."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_section_on_given_conditions_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "guidance.md").read_text()
    start, end = (text.index(f"## {t}") for t in ("How much guidance", "The world and the channel"))
    said = " ".join(text[start:end].split())
    path = ROOT / "docs" / "results" / "guidance_conditions_test.json"
    result = json.loads(path.read_text())

    def mean(method: str, key: str) -> float:
        return result["points"][f"latent-{method}"]["adjusted"][key][0]

    small, waves = "spectra_ratio_small_scales", "power_ratio_thermocline_third_2"
    depth, deep = "mixed_layer_depth_mean_m", "mixed_layer_depth_p90_m"
    truth = result["truth"]["latent"]
    assert f"is {mean('default', small):.1f} of the truth's with it" in said
    assert f"and {mean('unguided', small):.2f} without any guidance" in said
    assert f"{mean('default', waves):.1f} and {mean('unguided', waves):.1f}, and" in said
    deepest = f"{mean('default', deep):.0f} and {mean('unguided', deep):.0f} m"
    assert f"{deepest} (truth {truth[deep]:.0f} m)" in said
    assert (
        f"({mean('default', depth):.0f} and {mean('unguided', depth):.0f} m; "
        f"truth {truth[depth]:.0f} m)"
    ) in said
    last = (mean("last_step", key) for key in (depth, deep, small))
    assert (
        "keeps most of both**: {:.0f} m, {:.0f} m and a small-scale power of {:.2f}".format(*last)
        in said
    )
