"""Verdicts on made-up records."""

from __future__ import annotations

from copy import deepcopy

import pytest

from studies.cost.check_report import failures, findings, tables


def _record(processes: int) -> dict:
    """Of processes that do exactly what one does, without loss."""
    training = {
        "samples": 256,
        "precision": "bf16",
        "same_in_all_processes": True,
        "difference_from_replay": 0.0,
        "samples_per_second_of_shared_batch": 50.0,
        "samples_per_second": [40.0] * processes,
        "matmul_gflops": [1000.0] * processes,
        "share_of_matmul_peak": [0.3] * processes,
        "memory_MB": [2000.0] * processes,
    }
    cost = ("matmul_gflops", "share_of_matmul_peak", "memory_MB")
    return {
        "processes": processes,
        "experiment": "made up",
        "devices": [f"cuda:{n}: H100, 80 GB" for n in range(processes)],
        "backend": "nccl",
        "threads": 1,
        "training": {"autoencoder": training, "diffusion": deepcopy(training)},
        "states": {
            kind: {"bitwise": True, "largest": 0.0, "rms": 0.0} for kind in ("unguided", "guided")
        },
        "sampling": {
            "states_per_second": [2.0] * processes,
            **{name: training[name] for name in cost},
        },
    }


@pytest.fixture
def records() -> list[dict]:
    return [_record(count) for count in (1, 2, 4)]


def _odd(records) -> dict[str, str]:
    """Sentences of what is not as expected, by question."""
    return {one.question: one.sentence for one in findings(records) if not one.as_expected}


def test_equal_processes_are_as_expected(records):
    found = findings(records)
    assert _odd(records) == {} and failures(found) == []
    assert all("as expected" in one.text for one in found)


def test_weights_that_processes_do_not_share_are_a_failure(records):
    records[2]["training"]["diffusion"]["same_in_all_processes"] = False
    assert "With 4 processes they are not the same in all" in _odd(records)["weights, diffusion"]
    assert failures(findings(records)) == ["weights, diffusion"]


@pytest.mark.parametrize(("difference", "failed"), [(0.009, False), (0.3, True)])
def test_weights_may_differ_from_the_replay_by_rounding(records, difference, failed):
    records[1]["training"]["autoencoder"]["difference_from_replay"] = difference
    assert failures(findings(records)) == (["weights, autoencoder"] if failed else [])
    found = {one.question: one.sentence for one in findings(records)}["weights, autoencoder"]
    assert f"{difference:g}" in found and "2" in found


@pytest.mark.parametrize(
    ("kind", "name", "apart", "odd", "failed"),
    [
        ("unguided", "largest", 1e-5, True, False),
        ("unguided", "largest", 1e-3, True, True),
        ("guided", "rms", 5e-4, False, False),
        ("guided", "rms", 0.1, True, True),
    ],
)
def test_states_that_differ(records, kind, name, apart, odd, failed):
    records[2]["states"][kind] |= {"bitwise": False, name: apart}
    question = f"{kind} states"
    assert (question in _odd(records)) is odd
    assert failures(findings(records)) == ([question] if failed else [])
    sentence = {one.question: one.sentence for one in findings(records)}[question]
    assert f"with 4 processes they differ by {apart:.2g} K" in sentence


def test_an_unguided_experiment_has_no_guided_states(records):
    for record in records:
        del record["states"]["guided"]
    assert "guided states" not in {one.question for one in findings(records)}


def test_a_device_that_does_not_repeat_itself_is_named(records):
    records[0]["training"]["autoencoder"]["difference_from_replay"] = 2e-4
    sentence = {one.question: one.sentence for one in findings(records)}["repetition"]
    assert "0.0002 of the way" in sentence
    assert failures(findings(records)) == []


def test_weights_that_are_no_numbers_are_a_failure(records):
    records[1]["training"]["diffusion"]["difference_from_replay"] = None
    assert failures(findings(records)) == ["weights, diffusion"]


def test_one_process_alone_is_compared_with_nothing(records):
    questions = [one.question for one in findings(records[:1])]
    assert questions == ["repetition", "share of the peak"]
    assert "autoencoder (bf16)" in tables(records[:1])


def test_slow_processes_are_no_failure(records):
    records[2]["sampling"]["states_per_second"] = [1.0] * 4
    records[1]["training"]["autoencoder"]["samples_per_second"] = [20.0] * 2
    odd = _odd(records)
    assert "(4 processes) each works at 50%" in odd["scaling of sampling"]
    assert "(2 processes) each works at 50%" in odd["scaling of training, autoencoder"]
    assert failures(findings(records)) == []


def test_a_small_share_of_the_peak_is_said_to_be(records):
    records[-1]["training"]["diffusion"]["share_of_matmul_peak"] = [0.02] * 4
    assert "diffusion waits more than it computes" in _odd(records)["share of the peak"]


def test_memory_is_compared_with_that_of_one(records):
    records[2]["training"]["diffusion"]["memory_MB"] = [2000.0, 2000.0, 5000.0, 2000.0]
    assert "(diffusion, 4 processes) a process needs 2.50 times" in _odd(records)["memory"]


def test_memory_may_be_unknown(records):
    for record in records:
        parts = [*record["training"].values(), record["sampling"]]
        for part in parts:
            part["memory_MB"] = [None] * record["processes"]
    assert "memory" not in _odd(records)
    assert "-" in tables(records)


def test_tables_have_a_row_for_each_number_of_processes(records):
    records[1]["sampling"]["states_per_second"] = [1.5, 1.5]
    text = tables(records)
    assert "made up on H100, 80 GB" in text
    sampling = text[text.index("sampling (fp32)") :].splitlines()
    assert [line.split()[:4] for line in sampling[2:]] == [
        ["1", "2", "0.5", "100%"],
        ["2", "3", "0.333", "75%"],
        ["4", "8", "0.125", "100%"],
    ]
    assert "shared batch" not in sampling[1] and "shared batch" in text
