"""The cost of a run's stages: added up over all the times that they are resumed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from training import launch
from training.cost import largest_process, read_cost, timed


def test_stages_are_added_up_even_if_they_fail(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 13.5, 20.0, 21.0])
    monkeypatch.setattr("training.cost.time.monotonic", lambda: next(clock))
    processor = iter([0.0, 3.0, 5.0, 6.5, 7.0, 7.2])
    monkeypatch.setattr("training.cost.time.process_time", lambda: next(processor))
    assert read_cost(tmp_path) == {}
    timed("diffusion", lambda: None, directory=tmp_path)

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timed("diffusion", fail, directory=tmp_path)
    timed("sampling", lambda: None, directory=tmp_path)
    cost = read_cost(tmp_path)
    assert (cost["diffusion_seconds"], cost["sampling_seconds"]) == (5.5, 1.0)
    assert cost["diffusion_processor_seconds"] == 4.5
    assert cost["sampling_processor_seconds"] == 0.2
    assert 0 < cost["largest_process_GiB"] <= largest_process()


def test_of_several_processes_the_main_one_notes_the_cost(tmp_path, monkeypatch):
    monkeypatch.setattr(
        launch, "launched_processes", lambda: SimpleNamespace(is_main_process=False)
    )
    done = []
    timed("sampling", lambda: done.append("once"), directory=tmp_path)
    assert done == ["once"]
    assert read_cost(tmp_path) == {}
