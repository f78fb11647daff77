"""The verdict: what is fit to start a model, what is not, and for which reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.checks import CRITERIA, STABLE
from evaluation.verdict import FEWEST, as_text, judge_product, read_verdict
from evaluation.yardsticks import BASELINE, FLOOR, PRODUCT

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
NAN = float("nan")
FIELDS = ("temperature", "salinity")
ENOUGH = {name: 10 * fewest for name, fewest in FEWEST.items()}
DATA = "the data, not the model, is the reason"


def row(**changes: float) -> dict[str, float]:
    """Metrics of states that are like the truth; `changes` of variances apply to T and S."""
    values = {
        "density_error_percent": 0.0,
        "near_neutral_pairs_percent": 10.0,
        "mixed_layer_depth_mean_m": 100.0,
        "mixed_layer_depth_p90_m": 200.0,
        "w1_temperature_K": 0.06,
        "w1_salinity": 0.006,
        "spectra_ratio_small_scales": 1.0,
        "novelty": 1.0,
        "copies_percent": 1.0,
    }
    values |= {f"variance_{of}": 1.0 for of in ("mean", "smallest", "largest")} | changes
    for of in ("mean", "smallest", "largest"):
        value = values.pop(f"variance_{of}")
        values |= {f"variance_ratio_{of}_{field}_training": value for field in FIELDS}
    return values


def rows_of(
    *, product: dict[str, float], training: dict[str, float] | None = None, **truth: float
) -> dict[str, dict[str, float]]:
    """Rows of a run; the truth is at its targets except for what is given."""
    exact = {"w1_temperature_K": 0.0, "w1_salinity": 0.0, "copies_percent": 0.0}
    return {
        "truth": row(**exact | {"density_error_percent": 0.1} | truth),
        "truth_halves": row(w1_temperature_K=0.02, w1_salinity=0.002),
        FLOOR: row(novelty=NAN, copies_percent=NAN, **training or {}),
        BASELINE: row(mixed_layer_depth_p90_m=120.0),
        PRODUCT: row(**product),
    }


CASES = {
    "an undertrained model": (
        {"mixed_layer_depth_mean_m": 38.0, "mixed_layer_depth_p90_m": 46.0},
        ["Mixed layer, mean: 38 m (allowed: 80 to 120 m; truth: 100 m", "Mixed layer, 90th"],
    ),
    "half as deep": ({"mixed_layer_depth_mean_m": 50.0}, ["Mixed layer, mean: 50 m (allowed"]),
    "twice as deep": ({"mixed_layer_depth_p90_m": 400.0}, ["Mixed layer, 90th percentile: 400 m"]),
    "stratified mixed layers": (
        {"near_neutral_pairs_percent": 3.0},
        ["Near-neutral pairs: 3 % (allowed: 7.5 to 12.5 %; truth: 10 %"],
    ),
    "unstable states": (
        {"density_error_percent": 0.05},
        ["Density error: 0.05 % (allowed: at most 0 %"],
    ),
    "collapsed variance": (
        {"variance_mean": 0.1, "variance_smallest": 0.02, "variance_largest": 0.3},
        [f"Variance ratio, {of}, {symbol}, training: " for of in ("mean", "smallest", "largest")
         for symbol in "TS"],
    ),
    "one level without variance": (
        {"variance_smallest": 0.1},
        ["Variance ratio, smallest, T, training: 0.1", "Variance ratio, smallest, S, training"],
    ),
    "far too much variance": (
        {"variance_mean": 1.6, "variance_largest": 5.0},
        [f"Variance ratio, {of}, {symbol}, training: " for of in ("mean", "largest")
         for symbol in "TS"],
    ),
    "smooth states": (
        {"spectra_ratio_small_scales": 0.1},
        ["Small-scale power: 0.1 (allowed: 0.5 to 2; truth: 1"],
    ),
    "noise at the grid scale": ({"spectra_ratio_small_scales": 20.0}, ["Small-scale power: 20"]),
    "copies of training states": (
        {"novelty": 0.05, "copies_percent": 100.0},
        ["Novelty: 0.05 (allowed: 0.5 to 1.5; truth: 1", "Copies: 100 % (allowed: at most 10 %"],
    ),
    "every second state a copy": ({"copies_percent": 50.0}, ["Copies: 50 %"]),
    "far from everything": ({"novelty": 6.0}, ["Novelty: 6 (allowed: 0.5 to 1.5"]),
    "another climate": (
        {"w1_temperature_K": 1.5},
        ["W₁ of T: 1.5 K (allowed: at most 0.11 K; truth, half to half: 0.02 K; "
         "training states: 0.06 K"],
    ),
    "missing values": (
        {"mixed_layer_depth_mean_m": NAN},
        ["Mixed layer, mean could not be computed"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("product", "reasons"), CASES.values(), ids=CASES)
def test_what_is_wrong_with_the_product_is_the_reason(product, reasons):
    verdict = judge_product(rows_of(product=product), sizes=ENOUGH)
    assert not verdict.fit
    assert sum(check.passed for check in verdict.checks) == len(verdict.checks) - len(reasons)
    for found, expected in zip(sorted(verdict.reasons), sorted(reasons), strict=True):
        assert found.startswith(expected)
        assert DATA not in found


@pytest.mark.parametrize(
    "product",
    [
        {},
        {"mixed_layer_depth_mean_m": 88.0, "mixed_layer_depth_p90_m": 225.0},
        {"near_neutral_pairs_percent": 8.4, "spectra_ratio_small_scales": 1.8},
        {"variance_mean": 0.83, "variance_smallest": 0.6, "variance_largest": 1.5},
        {"novelty": 0.8, "copies_percent": 4.0, "w1_temperature_K": 0.085},
    ],
)
def test_sampling_noise_condemns_nothing(product):
    verdict = judge_product(rows_of(product=product), sizes=ENOUGH)
    assert verdict.fit
    (reason,) = verdict.reasons
    assert reason.startswith("All 19 checks passed; the closest to its limit is")


def test_the_closest_check_is_named():
    (reason,) = judge_product(rows_of(product={"mixed_layer_depth_mean_m": 118.0})).reasons
    assert "is mixed layer, mean: 118 m (allowed: 80 to 120 m; truth: 100 m" in reason


def test_what_is_better_than_asked_uses_no_tolerance():
    near = integration(distances_K=[0.001, 0.001, 0.001])
    product = {"mixed_layer_depth_mean_m": 110.0}
    (reason,) = judge_product(rows_of(product=product), integration=near).reasons
    assert "the closest to its limit is mixed layer, mean" in reason


FAR = {
    "mixed_layer_depth_mean_m": 40.0,
    "near_neutral_pairs_percent": 4.0,
    "w1_temperature_K": 1.2,
    "w1_salinity": 0.2,
}


def test_drifting_data_are_the_reason_and_not_the_model():
    drifted = rows_of(product=FAR, training=FAR, novelty=8.0, variance_mean=0.05)
    verdict = judge_product(drifted, sizes=ENOUGH)
    assert not verdict.fit
    assert len(verdict.reasons) == 7  # the four of FAR, novelty, and variances of T and S
    assert all(DATA in reason for reason in verdict.reasons)
    assert any("Mixed layer, mean: 40 m" in reason for reason in verdict.reasons)


def test_a_model_that_is_worse_than_drifting_data_is_itself_a_reason():
    worse = {**FAR, "mixed_layer_depth_mean_m": 10.0}
    *of_data, own = judge_product(rows_of(product=worse, training=FAR)).reasons
    assert len(of_data) == 3 and all(DATA in reason for reason in of_data)
    assert own.startswith("Mixed layer, mean: 10 m") and DATA not in own


def test_a_product_nearer_to_the_truth_than_its_training_states_is_fit():
    assert judge_product(rows_of(product={}, training=FAR), sizes=ENOUGH).fit


def test_as_near_as_the_training_states_is_enough():
    near = {"mixed_layer_depth_mean_m": 85.0, "spectra_ratio_small_scales": 0.8}
    product = {"mixed_layer_depth_mean_m": 70.0, "spectra_ratio_small_scales": 0.45}
    assert not judge_product(rows_of(product=product)).fit
    assert judge_product(rows_of(product=product, training=near)).fit


def test_five_training_states_allow_no_conclusion():
    few = ENOUGH | {"training states": 5, "independent training states": 2}
    verdict = judge_product(rows_of(product={}), sizes=few)
    assert not verdict.fit
    assert verdict.reasons == [
        "Too little data, so that nothing can be concluded: 5 training states (needed: 100), "
        "2 independent training states (needed: 20)."
    ]


@pytest.mark.parametrize("name", FEWEST)
def test_each_part_must_have_enough_states(name):
    assert judge_product(rows_of(product={}), sizes=FEWEST).fit
    assert not judge_product(rows_of(product={}), sizes=FEWEST | {name: FEWEST[name] - 1}).fit


def integration(**generated: object) -> dict[str, object]:
    """The nearest members' states are lost where others end far away."""
    ours = {"blown_up": 0, "drift_ratio_to_truth": 1.1, "distances_K": [0.03, 0.07, 5.0]}
    return {
        "by_start": {
            "truth": {"blown_up": 0, "distances_K": []},
            "nearest_member": {"blown_up": 1, "distances_K": [0.03, 0.05, None]},
            "generated": ours | generated,
        }
    }


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ({"blown_up": 1, "drift_ratio_to_truth": None}, "Integrations that blew up: 1"),
        ({"drift_ratio_to_truth": 6.5}, "Drift relative to the truth's: 6.5 (allowed: at most 3"),
        ({"distances_K": [0.12, 0.14, 0.0]}, "Distance from the truth after integration: 0.13 K "
         "(allowed: at most 0.08 K; nearest training member: 0.04 K)."),
    ],
)  # fmt: skip
def test_integrations_count_where_there_are_any(generated, expected):
    rows = rows_of(product={})
    good = judge_product(rows, integration=integration())
    assert good.fit and len(good.checks) == len(judge_product(rows).checks) + 3
    (reason,) = judge_product(rows, integration=integration(**generated)).reasons
    assert reason.startswith(expected)


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("quickstart", True),
        ("quickstart_amx", True),
        ("global4deg", True),
        ("global4deg_conditions", False),
        ("global4deg_conditions_seed1", False),
        ("global4deg_conditions_seed2", False),
        ("quickstart_tenth", False),
    ],
)
def test_the_kept_results_are_judged_as_their_pages_say(name, fit):
    assert judge(name).fit == fit


def test_the_undertrained_quickstart_fails_in_the_mixed_layer():
    reasons = judge("quickstart_tenth").reasons
    assert reasons[0].startswith("Mixed layer, mean: 35.5 m (allowed: 61.8 to 105 m; truth: 87.4 m")
    assert not any(DATA in reason for reason in reasons)


@pytest.mark.parametrize("seed", ["", "_seed1", "_seed2"])
def test_the_world_at_its_conditions_fails_because_of_its_data(seed):
    (reason,) = judge(f"global4deg_conditions{seed}").reasons
    assert reason.startswith("Variance within members, mean, S:") and DATA in reason


def test_the_eddying_channel_is_fit_by_a_hair_of_its_small_scales():
    verdict = judge("eddying_channel")
    (reason,) = verdict.reasons
    assert verdict.fit
    assert "closest to its limit is small-scale power: 0.517 (allowed: 0.5 to 2.48" in reason


def test_the_channel_of_an_earlier_training_fails_in_its_small_scales_only():
    content = json.loads((RESULTS / "eddying_channel.json").read_text())
    product = {**content["rows"]["guided_adjusted"], "spectra_ratio_small_scales": 0.475}
    (reason,) = judge_product({**content["rows"], "guided_adjusted": product}).reasons
    assert reason.startswith("Small-scale power: 0.475 (allowed: 0.5 to 2.48")


def judge(name: str):
    content = json.loads((RESULTS / f"{name}.json").read_text())
    # Drawn at the test states' conditions.
    conditional = name.startswith(("quickstart", "global4deg_conditions"))
    return judge_product(
        content["rows"], integration=content["integration"], at_conditions=conditional
    )


def test_the_verdict_is_kept_with_its_numbers_and_read_again(tmp_path):
    verdict = judge_product(rows_of(product={"mixed_layer_depth_mean_m": 50.0}))
    (tmp_path / "metrics.json").write_text(json.dumps({"verdict": verdict.as_dict()}))
    found = read_verdict(tmp_path)
    assert found == verdict.as_dict()
    (failed,) = [check for check in found["checks"] if not check["passed"]]
    assert (failed["name"], failed["value"], failed["reference"]) == ("mixed layer, mean", 50, 100)
    assert failed["allowed"] == pytest.approx([80.0, 120.0])
    assert as_text(found).splitlines() == [
        "Verdict: not fit to start a model.",
        f"- {verdict.reasons[0]}",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verdict": 1}', '{"verdict": {"fit": "yes"}}'])
def test_what_is_no_verdict_is_none(tmp_path, text):
    assert read_verdict(tmp_path) is None
    (tmp_path / "metrics.json").write_text(text)
    assert read_verdict(tmp_path) is None


def test_the_guide_has_every_check():
    guide = (ROOT / "docs" / "guide" / "judging.md").read_text()
    section = guide.partition("## The verdict")[2].partition("\n## ")[0]
    keys = [STABLE, *(criterion.key for criterion in CRITERIA if "salinity" not in criterion.key)]
    assert [key for key in keys if f"`{key}`" not in section] == []


@pytest.mark.parametrize(("within", "fit"), [(1.0, True), (1.4, False), (0.6, False)])
def test_states_at_given_conditions_vary_within_members_as_the_truth_does(within, fit):
    """Between members they need not: those that are drawn may lie closer together."""
    keys = [f"variance_within_members_{of}_{field}" for of in ("mean", "largest")
            for field in ("temperature", "salinity")]  # fmt: skip
    rows = {name: dict(row) for name, row in rows_of(product={"variance_mean": 0.1}).items()}
    for name, row in rows.items():
        row.update(dict.fromkeys(keys, within if name == "guided_adjusted" else 1.0))
    assert judge_product(rows, sizes=ENOUGH, at_conditions=True).fit is fit
    assert not judge_product(rows, sizes=ENOUGH).fit
