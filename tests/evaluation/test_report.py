"""The report is a self-contained file."""

from __future__ import annotations

import base64
import re

import numpy as np
import torch

from data.grid import OceanGrid
from data.state import State
from evaluation.columns import format_value
from evaluation.metrics.catalogue import COLUMNS
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.report import write_report
from evaluation.verdict import judge_product
from guidance.seawater import equation_of_state

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_report_holds_everything_and_links_to_nothing(tmp_path):
    image = tmp_path / "map.png"
    image.write_bytes(PNG)
    rows = {
        "truth": {"mixed_layer_depth_mean_m": 100.0},
        "latent": {"mixed_layer_depth_mean_m": 50.0, "density_error_percent": 0.0},
    }
    path = write_report(
        tmp_path / "report.html",
        title="Samples <of> the basin",
        metrics={
            "truth": {"states": 200, "density_error_percent": 0.0123},
            "latent": {"states": 9},
        },
        columns=COLUMNS,
        verdict=judge_product(rows, name="latent"),
        figures=[(image, "Sea & land")],
        config_text="diffusion: {steps: <50>}",
        notes=["Judged on held-out states."],
        findings=["Mixed layer: 98 m, as good as the training states <100 m>."],
        integration={"truth": {"members": 4, "drift_K": 0.05, "drift_ratio_to_truth": None}},
        cost={"latent": {"seconds per state": 1.25}},
    )
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert re.findall(r'src="([^"]{22})', page) == ["data:image/png;base64,"]
    assert page.index("as good as the training states &lt;100 m&gt;") < page.index("density error")
    assert page.index("data:image/png") < page.index("density error")
    assert page.index("not fit to start") < page.index("Mixed layer, mean: 50 m (allowed: 80 to")
    assert page.index("(allowed: 80 to") < page.index("Judged on held-out states.")
    assert "<td>mixed layer, mean [m]</td><td>50</td><td>80 to 120 m</td><td>100</td>" in page
    assert "Samples &lt;of&gt; the basin" in page and "{steps: &lt;50&gt;}" in page
    for text in ("0.0123", "density error", "drift / truth", "seconds per state", "Sea &amp; land"):
        assert text in page
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.png", "report.html"]


def test_empty_sections_are_left_out(tmp_path):
    metrics = {"truth": {"states": 1}}
    page = write_report(
        tmp_path / "r.html", title="t", metrics=metrics, columns=COLUMNS
    ).read_text()
    assert "Integration" not in page and "Cost" not in page and "Figures" not in page
    assert "erdict" not in page.partition("</style>")[2]


def test_every_metric_has_a_column():
    wet = np.ones((2, 1, 8), bool)
    grid = OceanGrid(
        depth=np.array([5.0, 15.0]),
        thickness=np.full(wet.shape, 10.0),
        area=np.ones((1, 8)),
        wet=wet,
        longitude=np.arange(8.0),
        latitude=np.zeros(1),
    )
    state = State(torch.rand(2, *wet.shape), 35 + torch.rand(2, *wet.shape))
    row = evaluate_row(state, state, EvaluationContext(grid, equation_of_state("linear")))
    assert set(row) <= {column.key for column in COLUMNS}
    assert all(column.meaning for column in COLUMNS)


def test_values_are_written_for_readers():
    assert format_value(None) == format_value(float("nan")) == "–"
    assert format_value(200) == "200"
    assert format_value(0.012345) == "0.0123"
    assert format_value(-3.2) == "−3.2"
    assert format_value(12345.6) == "12346"
