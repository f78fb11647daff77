"""The report is a self-contained file."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import torch

from data.grid import OceanGrid
from data.state import State
from evaluation.columns import format_value
from evaluation.metrics.catalogue import COLUMNS
from evaluation.metrics.row import EvaluationContext, evaluate_row
from evaluation.provenance import facts, trained_precision
from evaluation.report import write_report
from evaluation.run_report import cost_table
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
        facts={"command": "halocline run <my.yaml>", "date": "1 May 2026", "commit": "abc123"},
    )
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert re.findall(r'src="([^"]{22})', page) == ["data:image/png;base64,"]
    assert page.index("as good as the training states &lt;100 m&gt;") < page.index("density error")
    assert page.index("data:image/png") < page.index("density error")
    assert page.index("not fit to start") < page.index("Mixed layer, mean: 50 m (allowed: 80 to")
    assert page.index("(allowed: 80 to") < page.index("Judged on held-out states.")
    check = "<td>50</td><td>80 to 120 m</td><td>100</td>"
    assert f'<th scope="row">mixed layer, mean [m]</th>{check}' in page
    assert "Made on 1 May 2026 with Halocline at commit abc123." in page
    assert "<dd>halocline run &lt;my.yaml&gt;</dd>" in page
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


def test_contents_lead_to_every_section_and_the_configuration_is_folded(tmp_path):
    page = write_report(
        tmp_path / "r.html",
        title="t",
        metrics={"truth": {"states": 1}},
        columns=COLUMNS,
        config_text="name: t",
        facts={"command": "halocline run t"},
    ).read_text()
    links, anchors = (set(re.findall(f'{kind}"([^"]+)"', page)) for kind in ("href=", " id="))
    assert links == {"#metrics", "#provenance", "#configuration"}
    assert {link.removeprefix("#") for link in links} == anchors
    assert re.search(r"<details><summary>[^<]+</summary><pre>name: t</pre></details>", page)


def test_every_element_of_the_page_is_closed(tmp_path):
    image = tmp_path / "map.png"
    image.write_bytes(PNG)
    rows = {"truth": {"mixed_layer_depth_mean_m": 1.0}, "a": {"mixed_layer_depth_mean_m": 2.0}}
    path = write_report(
        tmp_path / "r.html",
        title="t",
        metrics=rows,
        columns=COLUMNS,
        verdict=judge_product(rows, name="a"),
        figures=[(image, "one")] * 5,
        notes=["n"],
        findings=["f"],
        cost=rows,
        facts={"command": "c"},
        config_text="a: 1",
    )
    reader = Elements()
    reader.feed(path.read_text())
    assert reader.open == []
    assert reader.seen >= {"html", "head", "nav", "section", "table", "figure", "details", "dl"}


class Elements(HTMLParser):
    """Which elements are open, and which there were. Fails where one closes another."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_provenance_becomes_text_without_what_is_not_known():
    origin = {
        "command": "halocline run quickstart",
        "date": "2026-05-01T08:03:00+00:00",
        "versions": {"torch": "2.13", "veros": None},
        "precision": {"diffusion": "bf16"},
        "seeds": {"sampling": 0},
    }
    assert facts(origin) == {
        "command": "halocline run quickstart",
        "date": "1 May 2026, 08:03 UTC",
        "versions": "torch 2.13",
        "precision": "training: diffusion bf16; metrics: float64",
        "seeds": "sampling 0",
    }
    assert facts({}) == {}


def test_the_precision_of_a_training_is_that_of_its_last_checkpoint(tmp_path):
    for counter, precision in (("000000008", "bf16"), ("000000016", "no")):
        folder = tmp_path / "diffusion" / f"checkpoint-{counter}"
        folder.mkdir(parents=True)
        (folder / "identity.json").write_text(f'{{"mixed_precision": "{precision}"}}')
    damaged = tmp_path / "autoencoder" / "checkpoint-000000016"
    damaged.mkdir(parents=True)
    (damaged / "identity.json").write_text("{")
    folders = {name: tmp_path / name for name in ("autoencoder", "diffusion", "distillation")}
    assert trained_precision(folders) == {"diffusion": "fp32"}


def test_the_cost_has_a_line_for_each_stage():
    cost = {"autoencoder_seconds": 2.0, "autoencoder_processor_seconds": 3.0, "data_seconds": 0.0}
    assert cost_table(cost | {"largest_process_GiB": 1.3}) == {
        "autoencoder": {"wall time [s]": 2.0, "processor time [s]": 3.0},
        "data": {"wall time [s]": 0.0, "processor time [s]": None},
    }


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
    assert format_value(826753972959.1) == "8.27e+11"
