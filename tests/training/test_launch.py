"""What a training finds out about its machine and its trackers."""

from __future__ import annotations

import os

import pytest
import torch

from data.errors import UserError
from data.locks import exclusive
from training import launch

DEAD = 2**22 + 1  # above the highest number of a process


@pytest.mark.parametrize(
    ("named", "chosen"),
    [("", []), ("tensorboard", ["tensorboard"]), ("wandb, mlflow,", ["wandb", "mlflow"])],
)
def test_trackers_are_those_that_the_environment_names(monkeypatch, named, chosen):
    monkeypatch.setenv("HALOCLINE_TRACKERS", named)
    monkeypatch.setattr(launch, "is_installed", lambda name: True)
    assert launch.chosen_trackers() == chosen


@pytest.mark.parametrize(("installed", "chosen"), [(True, ["tensorboard"]), (False, [])])
def test_without_a_name_curves_go_to_tensorboard_if_there_is_one(monkeypatch, installed, chosen):
    monkeypatch.delenv("HALOCLINE_TRACKERS", raising=False)
    monkeypatch.setattr(launch, "is_installed", lambda name: installed)
    assert launch.chosen_trackers() == chosen


def test_unknown_and_missing_trackers_are_refused(monkeypatch):
    monkeypatch.setenv("HALOCLINE_TRACKERS", "wandbb")
    with pytest.raises(UserError, match=r"wandbb.*expected some of.*tensorboard.*wandb"):
        launch.chosen_trackers()
    monkeypatch.setenv("HALOCLINE_TRACKERS", "mlflow")
    monkeypatch.setattr(launch, "is_installed", lambda name: False)
    with pytest.raises(UserError, match="mlflow, which is not installed"):
        launch.chosen_trackers()


def test_the_accelerator_has_the_chosen_trackers(monkeypatch, tmp_path):
    monkeypatch.setenv("HALOCLINE_TRACKERS", "tensorboard")
    made = launch.build_accelerator(tmp_path)
    assert [str(tracker) for tracker in made.log_with] == ["tensorboard"]


def test_no_tracker_is_no_reason_to_warn(monkeypatch, tmp_path, recwarn):
    monkeypatch.setenv("HALOCLINE_TRACKERS", "")
    assert launch.build_accelerator(tmp_path).log_with == []
    assert not [one for one in recwarn if "log_with" in str(one.message)]


@pytest.mark.parametrize(("flags", "fast"), [("fpu amx_bf16 amx_tile", True), ("fpu avx2", False)])
def test_fast_bf16_is_that_of_amx(tmp_path, flags, fast):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags : {flags}\n")
    assert launch._has_amx(path) is fast
    assert not launch._has_amx(tmp_path / "absent")


def test_all_processes_go_on_with_what_the_main_one_found(monkeypatch):
    assert launch.of_main_process(0.25) == 0.25, "alone, there is nobody to ask"
    two = launch.Alone(torch.device("cpu"), num_processes=2)
    monkeypatch.setattr(launch, "launched_processes", lambda: two)
    monkeypatch.setattr(launch, "broadcast_object_list", lambda objects: [0.5 for _ in objects])
    assert launch.of_main_process(0.25) == 0.5


def test_what_a_killed_job_left_to_look_for_is_removed_by_the_next(monkeypatch, tmp_path):
    """Processes look whether all see a file that the first one writes."""
    other = launch.launched_processes()
    monkeypatch.setattr(other, "num_processes", 2)
    monkeypatch.setattr(launch, "launched_processes", lambda: other)
    monkeypatch.setattr(launch, "broadcast_object_list", lambda objects: objects)
    seen = []

    def killed(objects: list[bool]) -> None:
        seen.extend(tmp_path.iterdir())
        os.link(seen[0], tmp_path / seen[0].name.replace(f"-{os.getpid()}.", f"-{DEAD}."))
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "gather_object", killed)
    with pytest.raises(KeyboardInterrupt):
        launch.require_shared_folder(tmp_path)
    (left,) = tmp_path.iterdir()  # not of this process, which has ended by itself
    assert left != seen[0]
    with exclusive(tmp_path):
        assert not left.exists()
