"""The report in a real browser: screenshots at three widths, and a PDF of which nothing is cut.

Skipped, with the reason, where there is no Chromium.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation.metrics.catalogue import COLUMNS
from evaluation.report import write_report
from evaluation.verdict import judge_product
from evaluation.yardsticks import ROW_NAMES

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--allow-file-access-from-files"),
)
PATIENCE = 900  # seconds: a page takes one or two, unless the machine is busy
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1400}  # CSS px
PAPER = 703  # CSS px between the margins of A4
HEIGHT = 1500


@pytest.fixture(scope="module")
def browser() -> str:
    """The path of a Chromium; skips without one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


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


def run(browser: str, *options: str, profile: Path) -> str:
    """What the browser prints; its profile is thrown away."""
    command = [browser, *OPTIONS, f"--user-data-dir={profile}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def frames(report: Path, folder: Path) -> Path:
    """A page with the report in frames of each width, and one as it is printed.

    Half a second after it is loaded, each frame reports the widths of what it shows to the page,
    which keeps them in its title: a window cannot be as narrow as a phone.
    """
    measure = """<script>addEventListener("load", () => setTimeout(() => {
      const wider = [...document.querySelectorAll("body *")].filter(one => {
        const scrolls = one.closest(".wide, pre");
        return !scrolls && one.getBoundingClientRect().right > innerWidth + 1;
      });
      const tables = [...document.querySelectorAll("table")];
      const figures = [...document.querySelectorAll("figure img")];
      parent.postMessage({
        name: window.name, width: innerWidth, page: document.documentElement.scrollWidth,
        wider: wider.map(one => one.tagName), lines: document.body.scrollHeight,
        tables: Math.max(...tables.map(one => one.getBoundingClientRect().right)),
        image: Math.min(...figures.map(one => one.getBoundingClientRect().width)),
      }, "*");
    }, 500))</script></body>"""
    page = report.read_text().replace("</body>", measure)
    (folder / "screen.html").write_text(page)
    (folder / "paper.html").write_text(page.replace("@media print", "@media all"))
    shown = [
        f'<iframe name="{name}" src="screen.html" width="{width}" height="{HEIGHT}"></iframe>'
        for name, width in WIDTHS.items()
    ]
    shown.append(f'<iframe name="paper" src="paper.html" width="{PAPER}" height="10"></iframe>')
    listen = """<script>const found = {}; addEventListener("message", ({data}) => {
      found[data.name] = data; document.title = JSON.stringify(found); })</script>"""
    style = "<style>body { margin: 0; display: flex; } iframe { border: 0; flex: none; }</style>"
    path = folder / "frames.html"
    path.write_text(f"<!DOCTYPE html><title></title>{style}{listen}{''.join(shown)}")
    return path


def test_the_report_is_readable_at_three_widths_and_on_paper(browser, report, tmp_path):
    page = frames(report, tmp_path)
    dom = run(
        browser, "--virtual-time-budget=20000", "--dump-dom", page.as_uri(), profile=tmp_path / "p"
    )
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title, dom[:500]
    found = json.loads(unescape(title[1]))
    assert found.keys() == {*WIDTHS, "paper"}
    for name, width in {**WIDTHS, "paper": PAPER}.items():
        shown = found[name]
        assert shown["width"] == width
        # The page itself never scrolls sideways; on paper nothing could, so tables must fit too.
        assert shown["page"] <= width, (name, shown)
        assert shown["wider"] == [], name
    assert found["paper"]["tables"] <= PAPER + 1
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
