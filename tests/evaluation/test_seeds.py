"""Several sampling seeds: mean and deviation in tables, and one verdict on all of them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from data.archive.reader import StateArchive
from evaluation.columns import format_spread
from evaluation.evaluate import evaluate
from evaluation.seeds import Seeds, verdict_of_seeds, with_spread
from evaluation.verdict import Verdict, judge_product, judged_before


def test_mean_and_deviation_of_what_all_seeds_have():
    seeds = Seeds({4: {"a": 1.0, "b": 2.0}, 5: {"a": 3.0}, 6: {"a": 5.0, "b": 2.0}}).as_dict()
    assert seeds["seeds"] == [4, 5, 6]
    assert seeds["mean"] == {"a": 3.0}
    assert seeds["deviation"] == {"a": 2.0}
    assert seeds["values"] == {"a": [1.0, 3.0, 5.0]}
    assert with_spread({"a": 1.0, "b": 2.0}, seeds) == {"a": "3 ± 2", "b": 2.0}
    assert with_spread({"a": 1.0}, None) == {"a": 1.0}
    nothing = {"mean": {"a": None, "b": np.nan}, "deviation": {"a": None, "b": np.nan}}
    assert with_spread({"a": None, "b": 2.0}, nothing) == {"a": None, "b": 2.0}


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (0.09712, 0.00123, "0.0971 ± 0.001"),
        (86.0, 0.0, "86"),
        (0.021, 4e-18, "0.021"),  # rounding
        (170.7, 44.6, "171 ± 40"),
        (0.005, 2.6e-5, "0.005 ± 0.00003"),
        (-1.5, None, "−1.5"),
        (float("nan"), 1.0, "–"),
        (2.0, float("nan"), "2"),
        (None, 1.0, "–"),
    ],
)
def test_a_mean_is_shown_with_its_deviation(mean, deviation, text):
    assert format_spread(mean, deviation) == text


def verdicts(*mixed_layers: float) -> dict[int, Verdict]:
    """A verdict for each seed, of one check: on the mixed layer, 100 m in the truth."""
    rows = {"truth": {"mixed_layer_depth_mean_m": 100.0}}
    found = {}
    for seed, depth in enumerate(mixed_layers):
        product = {"product": {"mixed_layer_depth_mean_m": depth}}
        checks = judge_product(rows | product, name="product").checks
        # The others lack values.
        found[seed] = Verdict([one for one in checks if one.name == "mixed layer, mean"])
    return found


def test_a_product_is_fit_only_with_all_seeds():
    alone = verdicts(100.0)
    assert verdict_of_seeds(alone) == alone[0]
    fit = verdict_of_seeds(verdicts(100.0, 100.0, 100.0))
    assert fit.fit
    assert fit.reasons[-1].startswith("Fit with all 3 sampling seeds")
    one_wrong = verdicts(100.0, 50.0, 100.0)
    judged = verdict_of_seeds(one_wrong)
    assert not judged.fit
    assert judged.reasons == [
        *one_wrong[1].reasons,
        "Fit with 2 of 3 sampling seeds; the numbers here are of seed 1.",
    ]


@pytest.mark.slow
def test_a_run_is_judged_with_several_seeds(conditional, tmp_path):
    settings = conditional.settings
    shutil.copytree(conditional.directory, tmp_path / "run")
    run = conditional.with_settings(
        run_directory=tmp_path / "run",
        evaluation=settings.evaluation.model_copy(update={"seeds": 3, "states": 8}),
        sampling=settings.sampling.model_copy(update={"members": 4, "seed": 5}),
    )
    evaluate(run, cost={})
    metrics = json.loads((run.directory / "metrics.json").read_text())
    seeds, product = metrics["seeds"], metrics["rows"]["guided_adjusted"]
    assert seeds["seeds"] == [5, 6, 7]
    values = seeds["values"]["mixed_layer_depth_mean_m"]
    assert values[0] == product["mixed_layer_depth_mean_m"]
    assert len(set(values)) == 3
    assert seeds["mean"]["mixed_layer_depth_mean_m"] == pytest.approx(np.mean(values))
    page = (run.directory / "report.html").read_text()
    assert "tables are mean ± standard deviation over 3 sampling seeds" in page
    assert "sampling, 3 7" in page
    assert format_spread(np.mean(values), np.std(values, ddof=1)) in page
    first, other = (
        StateArchive.open(run.samples_of_seed(seed)).read([0, 1, 2, 3]).temperature
        for seed in (5, 6)
    )
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("metrics", "judged"),
    [
        ({"rows": {"truth": {"states": 8}}, "seeds": {"seeds": [0, 1, 2]}}, (8, 3)),
        ({"rows": {"truth": {"states": 8}}, "seeds": None}, (8, 1)),
        ({"rows": {"truth": {"states": 8}}}, (8, 1)),
        ({"rows": {"truth": {"states": None}}}, (0, 0)),
        ({"rows": {"truth": {"states": 8}}, "verdict": None}, (0, 0)),
        ({"rows": {"truth": {"states": 8}}, "verdict": {"weights": "others"}}, (0, 0)),
    ],
)
def test_what_an_evaluation_rests_on_is_read_again(tmp_path, metrics, judged):
    content = {"verdict": {"weights": "abc"}, **metrics}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert tuple(judged_before(tmp_path, weights="abc").values()) == judged
