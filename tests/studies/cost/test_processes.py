"""Rates in one and in two processes that accelerate launches."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from halocline import main
from studies.cost.processes import RATES

pytestmark = pytest.mark.slow


def test_stages_are_measured_in_each_number_of_processes(tiny_config, tmp_path):
    output = tmp_path / "processes.json"
    words = ["--processes", "1", "2", "--steps", "2", "--output", str(output)]
    main(["study", "cost", "processes", str(tiny_config), *words, "--sampling.batch_size", "2"])
    rows = json.loads(output.read_text())["processes"]
    assert list(rows) == ["tiny, 1 of 1 thread(s)", "tiny, 2 of 1 thread(s)"]
    for count, row in enumerate(rows.values(), start=1):
        assert (row["processes"], row["threads"], row["device"]) == (count, 1, "cpu")
        assert all(row[rate] > 0 for rate in RATES)
    assert all(row == 1 for row in (rows["tiny, 1 of 1 thread(s)"][f"{r}_of_first"] for r in RATES))


def test_processes_that_fail_are_reported_in_one_sentence(tiny_config, monkeypatch):
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr("studies.cost.processes.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as caught:
        main(["study", "cost", "processes", str(tiny_config), "--processes", "3"])
    assert "3 process(es) failed" in str(caught.value)
