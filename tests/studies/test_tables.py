"""Tables of the documents, filled from results."""

from __future__ import annotations

import json
import re

import pytest

from data.errors import UserError
from studies import tables

MADE = {"command": "halocline study autoencoder", "commit": "abc", "machine": "two cores"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with one result of two variants."""
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    variants = {
        "default": {"compression": 32.0, "decode_vjp_seconds": 0.25, "rmse_unknown": 1.0},
        "no_mixing": {"compression": 33.0, "decode_vjp_seconds": None},
    }
    content = {"variants": variants, "provenance": MADE}
    (tmp_path / "docs" / "results" / "channel.json").write_text(json.dumps(content))
    return tmp_path


def test_variants_are_rows_and_metrics_columns(root):
    lines = tables.table("channel", "seconds").splitlines()
    assert lines[:4] == [
        "| | decode + VJP [s] |",
        "|---|---|",
        "| default | 0.25 |",
        "| no mixing | – |",
    ]
    assert "abc" in lines[-1]


def test_a_page_is_filled_between_its_markers(root):
    page = root / "docs" / "page.md"
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


def test_samples_are_a_group_of_their_own(root):
    path = root / "docs" / "results" / "channel.json"
    content = json.loads(path.read_text())
    content["samples"] = {"drawn": {"w1_temperature_K": 0.5}}
    path.write_text(json.dumps(content))
    lines = tables.table("channel", "samples").splitlines()
    assert lines[:3] == ["| | W₁ of T [K] |", "|---|---|", "| drawn | 0.5 |"]
    assert "drawn" not in tables.table("channel", "cost")


def test_without_a_group_all_are_shown(root):
    text = tables.table("channel")
    assert "compression" in text
    assert "decode + VJP" in text


def test_a_group_that_is_none_is_named(root):
    with pytest.raises(UserError, match="no group of metrics 'costs'"):
        tables.table("channel", "costs")


def test_the_autoencoders_of_several_runs_stand_side_by_side(root):
    for name, compression in (("basin", 22.0), ("world", 16.0)):
        content = {"autoencoder": {"compression": compression}, "provenance": MADE}
        (root / "docs" / "results" / f"{name}.json").write_text(json.dumps(content))
    lines = tables.table("basin+world", "reconstruction").splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["basin", "world"]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["22", "16"]


def test_a_result_that_is_missing_is_named(root):
    with pytest.raises(UserError, match=r"absent\.json is missing"):
        tables.table("absent")


@pytest.mark.parametrize("page", tables.documents(), ids=lambda page: page.name)
def test_the_documents_show_their_results_and_every_figure_is_there(page):
    text = page.read_text()
    assert tables.filled(text) == text  # else: halocline study tables
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.fixture
def study(root):
    """A study of guidance of one method at one point, in `docs/results`."""
    point = {
        "space": "latent",
        "method": "ours",
        "label": "step_cap=0.1",
        "seconds_per_member": [2.0, 0.1],
        "as drawn": {"density_error_percent": [0.1432, 0.0051]},
        "adjusted": {"density_error_percent": [0.0, 0.0], "w1_salinity": [0.25, None]},
    }
    content = {
        "truth": {"latent": {"density_error_percent": 0.15}},
        "methods": {"ours": "our_way"},
        "points": {"latent-ours": point},
        "provenance": MADE,
    }
    (root / "docs" / "results" / "guidance.json").write_text(json.dumps(content))


@pytest.mark.usefixtures("study")
def test_a_study_of_guidance_shows_means_and_spreads_over_seeds():
    lines = tables.table("guidance", "drawn").splitlines()
    assert lines[2].startswith("| truth | 0.15 | –")
    assert lines[3].startswith("| our way, step cap 0.1 | 0.143 ± 0.005 | –")
    assert lines[3].endswith("| 2 ± 0.1 |")
    adjusted = tables.table("guidance", "adjusted").splitlines()[3]
    assert "| 0 ± 0 |" in adjusted and "| 0.25 |" in adjusted
    with pytest.raises(UserError, match="no group 'cost' in a study of guidance"):
        tables.table("guidance", "cost")


@pytest.mark.usefixtures("study")
def test_the_short_table_shows_each_space_and_of_a_method_one_point(root):
    path = root / "docs" / "results" / "guidance.json"
    content = json.loads(path.read_text())
    weak, strong = (
        content["points"]["latent-ours"] | {"label": f"step_cap={value}"} for value in (0.1, 1)
    )
    elsewhere = weak | {"space": "data_space"}
    content["points"] = {"weak": weak, "strong": strong, "elsewhere": elsewhere}
    content["truth"]["data_space"] = content["truth"]["latent"]
    content["shown"] = {"latent": {"ours": "step_cap=1"}}
    path.write_text(json.dumps(content))
    lines = tables.table("guidance", "short").splitlines()
    starts = [line.split("|")[1].strip() if line.startswith("| ") else line for line in lines]
    latent, data_space = starts.index("In latent:"), starts.index("In data space:")
    assert starts[latent + 4 : latent + 6] == ["truth", "our way, step cap 1"]
    assert starts[data_space + 4 : data_space + 6] == ["truth", "our way, step cap 0.1"]
    assert "our way, step cap 0.1" not in starts[latent:data_space]


def test_a_benchmark_has_its_ratios_to_the_latent_system(root):
    def system(seconds: float) -> dict:
        cost = {"seconds": seconds, "memory_MB": 10 * seconds, "steps": 30.0}
        return {"unguided": cost, "guided": cost}

    benchmark = {
        "title": "Basin",
        "grid": "5x16x16",
        "device": "CPU",
        "threads": 1,
        "repeats": 3,
        "overturning_columns_percent": 25.0,
        "systems": {
            "latent": system(2.0) | {"training": {"diffusion": {"samples_per_second": 7.0}}},
            "data space": system(50.0),
        },
    }
    content = {"benchmarks": {"basin": benchmark}, "provenance": MADE}
    (root / "docs" / "results" / "benchmark.json").write_text(json.dumps(content))
    shown = tables.table("benchmark")
    assert "**Basin**: 5x16x16, CPU, 1 thread(s), 3 rounds; of the columns 25 % overturn." in shown
    assert "| data space, guided | 30 | 50 | 25 | 500 | 25 |" in shown
    assert "| latent, diffusion | 7 |" in shown


def test_what_nobody_has_measured_says_so(root):
    path = root / "docs" / "results" / "processes.json"
    path.write_text(json.dumps({"processes": {}}))
    assert tables.table("processes") == "(Not measured yet.)\n"
    rows = {
        "basin, 2 of 1 thread(s)": {"states_per_second": 3.0, "states_per_second_of_first": 1.5}
    }
    path.write_text(json.dumps({"processes": rows, "provenance": MADE}))
    assert "| basin, 2 of 1 thread(s) | 3 | 1.5 |" in tables.table("processes")


def test_growth_has_a_row_for_each_grid_and_system(root):
    costs = {"gflop_guided": 8.0, "million_parameters": 2.0, "fields_MB": 4.0}
    grid = {"cells": 500_000, "state_MB": 6.0, "systems": {"latent": costs}}
    content = {"growth": {"5x100x1000": grid}, "provenance": MADE}
    (root / "docs" / "results" / "growth.json").write_text(json.dumps(content))
    shown = tables.table("growth")
    assert "| 5x100x1000, latent | 8 |" in shown and "| 5x100x1000, latent | 2 |" in shown
    assert "| 5x100x1000, latent | 0.5 | 6 | 4 |" in shown
