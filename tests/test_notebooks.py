"""The notebooks of the documentation run, and keep outputs that are light and sound."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import matplotlib
import pytest
import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "tutorial" / "gallery.ipynb"
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    """`docs/notebooks.py`, which is in no package."""
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_gallery_runs_on_a_tiny_model(notebooks, conditional, tmp_path, monkeypatch):
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "quickstart").symlink_to(conditional.model_folder)
    archive = tmp_path / "data" / "archives" / "ensemble.zarr"
    archive.parent.mkdir()
    shutil.make_archive(str(archive), "zip", conditional.settings.data.archive)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    # The tiny ocean's test members lie beyond its training members.
    cells = [code.replace("ocean.split == 2", "ocean.split == 0") for code in cells_of(notebooks)]
    outputs = notebooks.execute(cells)
    assert len(outputs) == len(cells) and all(outputs), "each cell shows something"
    figures = [one for found in outputs for one in found if one["output_type"] == "display_data"]
    assert len(figures) == 2
    with xr.open_dataset("start.nc") as start:
        assert start.sizes["member"] == 1


def cells_of(notebooks: ModuleType) -> list[str]:
    return notebooks.code_of(GALLERY)


def test_a_cell_shows_what_it_prints_its_last_value_and_its_figures(notebooks):
    matplotlib.use("agg")
    drawn = "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nprint(1)\n2 + 3"
    printed, value, figure = notebooks.execute([drawn])[0]
    assert printed["text"] == ["1\n"]
    assert value["data"] == {"text/plain": ["5"]}
    assert figure["data"]["image/png"].startswith("iVBOR")
    assert notebooks.execute(["x = 1", "print(x)"])[1][0]["text"] == ["1\n"]


def test_a_page_has_text_code_and_outputs(notebooks):
    printed = {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}
    figure = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    page = notebooks.as_markdown(
        [
            {"cell_type": "markdown", "source": ["# Title\n", "text"]},
            {"cell_type": "code", "source": ["x = 1"], "outputs": [printed, figure]},
        ]
    )
    assert page.startswith("# Title\ntext\n\n```python\nx = 1\n```\n\n```text\na\nb\n```\n\n<img")
    assert "data:image/png;base64,AAAA" in page


def test_the_notebook_is_light_and_names_no_place_of_its_making():
    text = GALLERY.read_text()
    assert len(text) < MOST_BYTES
    assert json.loads(text)["nbformat"] == 4
    without_images = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.search(r"/(home|work|root|tmp|Users)/", without_images)
