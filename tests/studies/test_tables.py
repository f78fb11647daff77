"""Tables of the documents, filled from results."""

from __future__ import annotations

import json
import re

import pytest

from data.errors import UserError
from studies import tables

MADE = {"command": "halocline study autoencoder", "commit": "abc", "machine": "two cores"}
MOST_COLUMNS = 8


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with one result: two autoencoders."""
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    variants = {
        "default": {"compression": 32.0, "density_error_percent": 0.25, "rmse_unknown": 1.0},
        "no_mixing": {"compression": 33.0, "density_error_percent": None},
    }
    write(tmp_path, "channel", kind="autoencoders", variants=variants)
    return tmp_path


def write(root, name, **content):
    """A result as docs/results holds it."""
    path = root / "docs" / "results" / f"{name}.json"
    path.write_text(json.dumps({**content, "provenance": MADE}))


def test_variants_are_rows_and_metrics_columns(root):
    assert tables.table("channel", "physics").splitlines() == [
        "| | density error [%] |",
        "|---|---|",
        "| default | 0.25 |",
        "| no mixing | – |",
    ]


def test_a_page_is_filled_between_its_markers(root):
    page = root / "docs" / "results" / "page.md"
    (root / "README.md").write_text("no table\n")
    page.write_text("a\n<!-- table channel reconstruction -->\nold\n<!-- end -->\nb\n")
    tables.main()
    once = page.read_text()
    assert "| default | 32 |" in once
    assert "old" not in once
    assert once.startswith("a\n<!-- table channel reconstruction -->\n")
    assert once.endswith("<!-- end -->\nb\n")
    tables.main()
    assert page.read_text() == once


def test_the_source_follows_the_first_table_of_a_result(root):
    marked = "<!-- table channel physics -->\n<!-- end -->\n"
    once, twice = tables.filled(marked), tables.filled(2 * marked)
    assert "`halocline study autoencoder` at abc; two cores." in once
    assert twice.count("at abc") == 1 and twice.startswith(once)


def test_a_marker_may_choose_rows_and_their_order(root):
    text = tables.filled("<!-- table channel physics: no mixing; default -->\n<!-- end -->\n")
    assert text.index("| no mixing |") < text.index("| default |")
    assert "default" not in tables.table("channel", "physics", rows=["no mixing"])
    with pytest.raises(UserError, match="no row 'mixing'; the rows are default; no mixing"):
        tables.table("channel", "physics", rows=["mixing"])


@pytest.mark.parametrize("kind", ["autoencoders", "benchmark", "guidance", "growth", "run"])
def test_an_unknown_group_is_named(root, kind):
    empty = {key: {} for key in ("variants", "benchmarks", "growth", "rows", "truth", "points")}
    write(root, "other", kind=kind, **empty)
    with pytest.raises(UserError, match="no group 'costs'"):
        tables.table("other", "costs")


def test_the_autoencoders_of_several_runs_share_a_table(root):
    for name, compression in (("basin", 22.0), ("world", 16.0)):
        write(root, name, kind="run", autoencoder={"compression": compression})
    lines = tables.table("basin+world", "reconstruction").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["basin", "world"]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["22", "16"]


def test_a_run_shows_its_states_and_their_drift(root):
    rows = {
        "truth": {"density_error_percent": 0.15},
        "training": {"density_error_percent": 0.09, "w1_temperature_K": 0.081},
    }
    drift = {"by_start": {"generated": {"drift_K": 0.0586}}}
    write(root, "basin", kind="run", rows=rows, integration=drift)
    assert tables.table("basin").splitlines() == [
        "| | density error [%] |",
        "|---|---|",
        "| truth | 0.15 |",
        "| training states (floor) | 0.09 |",
    ]
    assert "| training states (floor) | 0.081 |" in tables.table("basin", "distribution")
    assert "| generated | 0.0586 |" in tables.table("basin", "integration")


def test_a_result_that_is_missing_or_has_no_table_is_named(root):
    with pytest.raises(UserError, match=r"absent\.json is missing"):
        tables.table("absent")
    write(root, "odd", kind="restorer")
    with pytest.raises(UserError, match="odd is a result of unknown kind 'restorer'"):
        tables.table("odd")


@pytest.mark.parametrize("page", tables.documents(), ids=lambda page: page.name)
def test_documents_are_up_to_date_and_their_links_are_valid(page):
    text = page.read_text()
    assert tables.filled(text) == text  # else: halocline study tables
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        file = page.parent / link
        notebook = file.with_suffix(".ipynb")  # the site makes a page of it
        assert file.exists() or notebook.exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", tables.documents(), ids=lambda page: page.name)
def test_no_generated_table_is_wider_than_a_page(page):
    for match in tables.MARKED.finditer(page.read_text()):
        rules = re.findall(r"^(?:\|---)+\|$", match[0], re.MULTILINE)
        assert rules and all(rule.count("---") <= MOST_COLUMNS for rule in rules), match["name"]


def test_every_result_has_a_kind_and_every_figure_is_shown():
    docs = tables.ROOT / "docs"
    for path in (docs / "results").glob("*.json"):
        assert json.loads(path.read_text())["kind"], path.name
    text = "".join(page.read_text() for page in tables.documents())
    unused = [path.name for path in (docs / "figures").iterdir() if path.name not in text]
    assert not unused


@pytest.fixture
def study(root):
    """A study of guidance of one method in two spaces, in `docs/results`."""
    weak = {
        "space": "latent",
        "method": "ours",
        "label": "step_cap=0.1",
        "seconds_per_member": [2.0, 0.1],
        "as drawn": {"density_error_percent": [0.1432, 0.0051], "w1_temperature_K": [0.25, None]},
    }
    strong = weak | {"label": "step_cap=1"}
    elsewhere = weak | {"space": "data_space"}
    truth = {"density_error_percent": 0.15}
    write(
        root,
        "guidance",
        kind="guidance",
        truth={"latent": truth, "data_space": truth},
        shown={"latent": {"ours": "step_cap=1"}},
        points={"weak": weak, "strong": strong, "elsewhere": elsewhere},
    )


@pytest.mark.usefixtures("study")
def test_a_study_of_guidance_shows_means_and_spreads_over_seeds():
    lines = tables.table("guidance", "accuracy").splitlines()
    assert lines[2].startswith("| truth | 0.15 | –")
    assert lines[3].startswith("| latent: ours, step cap 1 | 0.143 ± 0.005 | –")
    assert lines[3].endswith("| 0.25 | – | 2 ± 0.1 |")


@pytest.mark.usefixtures("study")
def test_of_a_method_the_point_that_the_study_names_is_shown():
    lines = tables.table("guidance").splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == [
        "truth",
        "latent: ours, step cap 1",
        "data space: ours, step cap 0.1",
    ]


def test_a_benchmark_has_its_ratios_to_the_latent_system(root):
    def system(seconds: float) -> dict:
        cost = {"seconds": seconds, "memory_MB": 10 * seconds, "steps": 30.0}
        return {"unguided": cost | {"seconds": seconds / 4}, "guided": cost}

    systems = {"latent": system(2.0), "data space": system(50.0)}
    benchmarks = {"basin": {"grid": "5x16x16", "systems": systems}}
    write(root, "benchmark", kind="benchmark", benchmarks=benchmarks)
    shown = tables.table("benchmark")
    assert "| 5x16x16, latent | 30 | 0.5 | 2 | 1 | 20 |" in shown
    assert "| 5x16x16, data space | 30 | 12.5 | 50 | 25 | 500 |" in shown


def test_growth_has_a_row_for_each_grid_and_system(root):
    costs = {"gflop_guided": 8.0, "million_parameters": 2.0}
    grid = {"systems": {"latent": costs, "data space": {"gflop_guided": 40.0}}}
    write(root, "growth", kind="growth", growth={"5x100x1000": grid})
    assert "| 5x100x1000, latent | 8 | 5 |" in tables.table("growth", "sampling")
    assert "| 5x100x1000, latent | 2 |" in tables.table("growth", "training")
