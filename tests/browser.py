"""A real browser for the tests of pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--allow-file-access-from-files"),
)
PATIENCE = 900  # seconds: a page takes one or two, unless the machine is busy
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1400}  # CSS px
PAPER = 703  # CSS px between the margins of A4
HEIGHT = 1500


def find_browser() -> str:
    """The path of a Chromium; skips the test without one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


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


def assert_readable(browser: str, report: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Assert that nothing of a report is cut, on three screens and on paper; returns the widths."""
    page = frames(report, folder)
    dom = run(
        browser, "--virtual-time-budget=20000", "--dump-dom", page.as_uri(), profile=folder / "p"
    )
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title, dom[:500]
    found: dict[str, dict[str, Any]] = json.loads(unescape(title[1]))
    assert found.keys() == {*WIDTHS, "paper"}
    for name, width in {**WIDTHS, "paper": PAPER}.items():
        shown = found[name]
        assert shown["width"] == width
        # The page itself never scrolls sideways; on paper nothing could, so tables must fit too.
        assert shown["page"] <= width, (name, shown)
        assert shown["wider"] == [], name
    assert found["paper"]["tables"] <= PAPER + 1
    return found
