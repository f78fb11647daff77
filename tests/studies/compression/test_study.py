"""A study of designs: it trains, judges, resumes and reports whole chains."""

from __future__ import annotations

import json

import pytest
import yaml

from data.errors import UserError
from evaluation.metrics.row import evaluate_row
from evaluation.yardsticks import PRODUCT
from halocline import main
from studies.compression import study as designs
from studies.compression.figures import Point, accuracy_against_cost, frontier
from studies.compression.settings import load_compression_study
from studies.compression.study import compare, summarise
from studies.compression.tables import compression_table
from studies.compression.targets import TARGETS

VARIANTS = {
    "plain": {},
    "pixels": {"autoencoder": {"kind": "identity"}},
}
COSTS = {
    "compression", "million_parameters", "training_minutes", "largest_process_GiB",
    "unguided_seconds_per_state", "guided_seconds_per_state", "guided_memory_MB", "guided_gflop",
}  # fmt: skip


@pytest.fixture
def study_path(tiny_config, tmp_path):
    """A study of a latent and a data-space variant of the tiny experiment."""
    path = tmp_path / "compression_tiny.yaml"
    path.write_text(
        yaml.safe_dump({"base": tiny_config.name, "variants": VARIANTS}, sort_keys=False)
    )
    return path


@pytest.fixture
def result():
    """A study of two designs and its floor, as study.json holds it."""

    def variant(seconds: float, spectrum: float) -> dict:
        row = {target.column.key: 1.0 for target in TARGETS} | {"worst_spectrum": spectrum}
        return {
            "cost": {"guided_seconds_per_state": seconds, "training_minutes": 10.0},
            "rows": {PRODUCT: row | {"w1_temperature_K": 0.25}},
            "autoencoder": {"compression": 32.0, "spectrum_ratio_surface_third_2": 0.75},
        }

    return {
        "yardsticks": {"truth": {}, "training": {"worst_spectrum": 1.25, "w1_temperature_K": 0.1}},
        "variants": {"cheap": variant(2.0, 0.5), "dear": variant(4.0, 0.8)},
    }


@pytest.mark.slow
def test_a_study_runs_resumes_and_reports(study_path, monkeypatch):
    monkeypatch.setattr("evaluation.evaluate.draw_figures", lambda *_, **__: [])
    main(["study", "compression", str(study_path), "--only", "plain"])
    study = load_compression_study(study_path)
    summary = study.directory / "study.json"
    ((name, plain),) = json.loads(summary.read_text())["variants"].items()
    assert name == "plain"
    assert plain["cost"].keys() >= COSTS
    assert all(plain["cost"][key] > 0 for key in COSTS - {"guided_memory_MB"})
    assert plain["cost"]["guided_guided_steps"] > plain["cost"]["unguided_guided_steps"] == 0
    assert plain["rows"][PRODUCT]["worst_spectrum"] > 0
    assert plain["autoencoder"]["training"]["rmse_temperature_percent_of_anomaly_std"] > 0

    ran = []
    run_variant = designs.run_variant
    monkeypatch.setattr(
        designs, "run_variant", lambda s, name: (ran.append(name), run_variant(s, name))
    )
    judged = []
    monkeypatch.setattr(
        "evaluation.evaluate.evaluate_row",
        lambda *args, **kw: (judged.append(args), evaluate_row(*args, **kw))[1],
    )
    compare(study)
    assert ran == ["pixels"]
    assert len(judged) == 4  # autoencoded and three kinds of samples; the others are known
    content = json.loads(summary.read_text())
    assert list(content["variants"]) == ["plain", "pixels"]
    assert content["variants"]["plain"] == plain
    assert content["variants"]["pixels"]["cost"]["autoencoder_minutes"] < 0.1
    assert list(content["yardsticks"]) == [
        "truth", "training", "eof_gaussian", "eof_gaussian_adjusted",
    ]  # fmt: skip
    assert content["yardsticks"]["training"]["auc_above_training"] in (0, None)
    results = [study.variants[name].run_directory / "variant.json" for name in VARIANTS]
    first, second = (json.loads(path.read_text())["metrics"]["rows"] for path in results)
    assert list(second) == list(first)
    assert all(second[name] == first[name] for name in designs.INDEPENDENT)
    galleries = {path.stem for path in (study.directory / "gallery").iterdir()}
    assert galleries == {"plain", "pixels"}
    assert (study.directory / "accuracy_against_cost.png").is_file()

    changed = load_compression_study(study_path, ["--common.sampling.steps", "5"])
    only_pixels = {"pixels": changed.variants["pixels"]}
    with pytest.raises(UserError, match=r"no variant in .* is finished"):
        summarise(
            designs.CompressionStudy(changed.settings, changed.base, changed.directory, only_pixels)
        )


def test_a_study_without_results_says_so(study_path):
    with pytest.raises(SystemExit, match=r"no variant in .* is finished"):
        main(["study", "compression", str(study_path), "--finished"])


def test_a_variant_that_is_not_there_is_named(study_path):
    with pytest.raises(UserError, match="no variant absent; it has plain, pixels"):
        compare(load_compression_study(study_path), only=["absent"])


def test_a_variant_that_costs_more_and_is_no_better_is_not_on_the_frontier():
    points = [Point("c", 3, 0.5), Point("a", 1, 0.4), Point("b", 2, 0.2), Point("d", 2, 0.3)]
    assert [point.name for point in frontier(points)] == ["a", "b"]
    assert frontier([]) == []


def test_the_figure_names_every_variant_and_joins_the_frontier(result):
    for variant in result["variants"].values():  # as with few states
        variant["rows"][PRODUCT]["auc_above_training"] = None
    figure = accuracy_against_cost(result)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cheap", "dear"]
    spectra = figure.axes[1]
    (joined,) = (line for line in spectra.lines if line.get_color() == "0.6")
    assert joined.get_xdata().tolist() == [2, 4]
    assert joined.get_ydata() == pytest.approx([1.0, 0.25])


def test_the_table_begins_with_cost_and_has_the_floor(result):
    lines = compression_table(result, None).splitlines()
    assert lines[0].startswith("| | training [min] | state [s] | variance, worst level |")
    assert lines[2].startswith("| training states (floor) | – | – | – | 1.25 |")
    assert lines[3].startswith("| cheap | 10 | 2 | 1 | 0.5 |")
    assert len(lines) == 5


def test_other_tables_are_of_autoencoders_and_of_states(result):
    assert "| cheap | 32 | 0.75 |" in compression_table(result, "spectra")
    assert "| training states (floor) | 0.1 |" in compression_table(result, "distribution")
    assert "| dear | 4 |" in compression_table(result, "cost")
    with pytest.raises(UserError, match="no group 'colour'; its groups are accuracy, cost"):
        compression_table(result, "colour")
