"""The report in a real browser: screenshots at three widths, and a PDF of which nothing is cut.

Skipped, with the reason, where there is no Chromium. The report here is made up, so that it has
everything; `tests/test_front_door.py` opens that of a run.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation.metrics.catalogue import COLUMNS
from evaluation.report import write_report
from evaluation.verdict import judge_product
from evaluation.yardsticks import ROW_NAMES
from tests.browser import HEIGHT, PAPER, WIDTHS, assert_readable, find_browser, frames, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> str:
    return find_browser()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all rows and metrics, wide figures and a long configuration."""
    folder = tmp_path_factory.mktemp("report")
    figure = Figure(figsize=(12, 4))
    figure.subplots().plot([0, 1])
    figure.savefig(folder / "map.png")
    row = {column.key: 123.456 for column in COLUMNS}
    rows = dict.fromkeys(ROW_NAMES, row)
    return write_report(
        folder / "report.html",
        title="A basin of the ocean with a southern channel",
        metrics={ROW_NAMES[name]: values for name, values in rows.items()},
        columns=COLUMNS,
        verdict=judge_product(rows),
        figures=[(folder / "map.png", "The mean is 2 K too cold at 62°S. " * 4)] * 5,
        notes=["Generated states compared with held-out states of the model. " * 4],
        findings=["Fronts: 1.02, as good as the training states (0.98)."],
        integration={
            start: {"members": 4, "years": 2.0, "drift_K": 0.05}
            for start in ("truth", "generated", "nearest member")
        },
        cost={"autoencoder": {"wall time [s]": 426.4, "processor time [s]": 765.3}},
        facts={"command": "halocline run " + "configs/" * 20, "commit": "a043bd8a1997"},
        config_text="\n".join(f"key_{number}: {'x' * 100}" for number in range(400)),
    )


def test_the_report_is_readable_at_three_widths_and_on_paper(browser, report, tmp_path):
    found = assert_readable(browser, report, tmp_path)
    assert found["phone"]["image"] >= 600, "labels of a figure shrink to unreadable size"
    assert found["phone"]["lines"] < 3 * found["desktop"]["lines"]


def test_screenshots_are_taken_at_three_widths(browser, report, tmp_path):
    page = frames(report, tmp_path)
    shot = tmp_path / "all.png"
    run(
        browser,
        f"--window-size={sum(WIDTHS.values()) + PAPER},{HEIGHT}",
        "--force-device-scale-factor=1",
        "--virtual-time-budget=20000",
        f"--screenshot={shot}",
        page.as_uri(),
        profile=tmp_path / "p",
    )
    left = 0
    with Image.open(shot) as whole:
        for name, width in WIDTHS.items():
            part = whole.convert("RGB").crop((left, 0, left + width, HEIGHT))
            part.save(tmp_path / f"{name}.png")
            left += width
            ink = np.asarray(part).mean(axis=2) < 128
            assert ink.any(axis=1).mean() > 0.2, f"{name} is all but empty"
            assert not ink[:, -4:].any(), f"something runs into the right edge of {name}"


def test_the_report_is_printed_without_its_configuration(browser, report, tmp_path):
    pdf = tmp_path / "report.pdf"
    run(
        browser,
        f"--print-to-pdf={pdf}",
        "--no-pdf-header-footer",
        report.as_uri(),
        profile=tmp_path / "p",
    )
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page[^s]", content))
    # 400 lines of configuration alone would fill six pages; tables and figures need about nine.
    assert 3 <= pages <= 14
