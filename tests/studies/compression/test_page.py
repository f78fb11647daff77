"""What the page on designs of the channel says in words is what its result says."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_summary_of_the_page_is_that_of_the_result():
    text = (ROOT / "docs" / "results" / "compression.md").read_text()
    said = " ".join(text[text.index("## In short") : text.index("## The targets")].split())
    path = ROOT / "docs" / "results" / "compression.json"
    variants = json.loads(path.read_text())["variants"]

    def of(name: str, key: str, row: str = "guided_adjusted") -> float:
        return variants[name]["rows"][row][key]

    spectrum, told, gradient = "worst_spectrum", "auc_above_training", "worst_gradient"
    plain, fine, small = "compression_32", "compression_8", "compression_8_patch_2"
    longer = "compression_32_longer"
    codecs = [of(name, told, "autoencoded") for name in (fine, plain, small)]
    assert f"only {codecs[0]:.2f} better than training states" in said
    assert f"compression 32: {codecs[1]:.2f})" in said and codecs[2] <= 0
    assert f"samples have {of(fine, spectrum):.1f} times the power" in said
    assert f"layers of {of(fine, 'mixed_layer_depth_p90_m'):.0f} m" in said
    assert f"falls from {of(fine, spectrum):.1f} to {of(small, spectrum):.1f} times" in said
    assert f"advantage from {of(fine, told):.2f} to {of(small, told):.2f}" in said
    assert f"variance at the worst level is {of(small, 'worst_variance'):.2f}" in said
    minutes = [variants[name]["cost"]["training_minutes"] for name in (plain, longer)]
    assert f"With {minutes[1] / minutes[0]:.1f} times the training" in said
    assert f"goes from {of(plain, told):.2f} to {of(longer, told):.2f}" in said
    assert f"from {of(plain, gradient):.1f} to {of(longer, gradient):.1f} in gradients" in said
    below = [of(name, "auc_above_eof_gaussian") for name in variants]
    assert f"(−{-of(longer, 'auc_above_eof_gaussian'):.2f}; aim −0.2)" in said
    assert min(below) == of(longer, "auc_above_eof_gaussian")
