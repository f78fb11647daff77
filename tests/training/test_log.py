"""The log of a run."""

from __future__ import annotations

import json

import pytest

from training.log import MetricsLog, print_json, read_log


def test_a_resumed_log_drops_what_lies_beyond_its_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, resume_at=0)
    for counter in (8, 16, 24):
        log.write(counter, {"loss": 1.0 / counter})
    MetricsLog(path, resume_at=16).write(24, {"loss": 0.5})
    assert [(line["samples"], line["loss"]) for line in read_log(path)] == [
        (8, 1 / 8),
        (16, 1 / 16),
        (24, 0.5),
    ]


def test_a_line_cut_short_by_an_interruption_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"samples": 8, "loss": 1.0}\n{"samples": 16, "lo')
    assert read_log(path) == [{"samples": 8, "loss": 1.0}]


def test_json_files_are_standard_json_whatever_the_numbers(tmp_path, capsys):
    path = tmp_path / "result.json"
    nothing = float("nan")
    print_json({"errors": [1.0, nothing, {"ratio": float("inf")}], "best": nothing}, path)
    expected = {"errors": [1.0, None, {"ratio": None}], "best": None}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == expected
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == expected
