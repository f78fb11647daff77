"""What `halocline status` says of runs in any state."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from configs.layout import Layout
from configs.loading import load_experiment
from configs.status import announcement, layout_of, stages
from data.errors import UserError
from data.locks import exclusive
from halocline import main


@pytest.fixture
def layout(tiny_config) -> Layout:
    return Layout(load_experiment(tiny_config))


def _states(layout: Layout) -> dict[str, str]:
    return {stage.name: stage.state for stage in stages(layout)}


def _checkpoint(layout: Layout, stage: str, counter: int, at: float) -> None:
    folder = layout.directory / stage / f"checkpoint-{counter:09d}"
    folder.mkdir(parents=True)
    os.utime(folder, (at, at))


def _publish(layout: Layout, folder, settings) -> None:
    folder.mkdir(parents=True)
    (folder / "stage.json").write_text(json.dumps(settings | {"archive": "digest"}, default=str))


def test_a_run_that_has_not_begun_has_everything_to_do(layout):
    states = _states(layout)
    assert states.pop("data") == "done"
    assert set(states.values()) == {"to do"}
    assert list(states) == ["autoencoder", "diffusion", "sampling", "evaluation", "export"]


def test_a_run_announces_what_is_done_and_what_is_left(layout):
    names = ["data", "autoencoder", "diffusion", "evaluation"]
    total = layout.settings.diffusion.training.samples
    _publish(layout, layout.codec_folder, layout.codec_settings)
    _checkpoint(layout, "diffusion", 8, at=1000)
    (layout.directory / "metrics.json").write_text("{}")
    announced = f"diffusion (at sample 8 of {total}), evaluation"
    assert announcement(layout, names) == f"stages done: data, autoencoder; to do: {announced}"


def test_the_archive_of_a_trained_run_may_be_elsewhere(layout, tmp_path):
    data = layout.settings.data.model_copy(update={"archive": tmp_path / "elsewhere.zarr"})
    moved = Layout(layout.settings.model_copy(update={"data": data}))
    assert _states(moved)["data"] == "to do"
    _publish(moved, moved.codec_folder, moved.codec_settings)
    assert _states(moved)["data"] == f"{data.archive} is not here"


def test_a_training_under_way_has_its_counter_and_the_pace_of_its_checkpoints(layout):
    total = layout.settings.autoencoder.training.samples
    _checkpoint(layout, "autoencoder", 8, at=1000)
    _checkpoint(layout, "autoencoder", 16, at=1040)
    found = {stage.name: stage for stage in stages(layout)}["autoencoder"]
    assert found.state == f"at sample 16 of {total}"
    assert found.remaining == pytest.approx((total - 16) * 5)


def test_the_recorded_cost_gives_the_pace_where_there_is_one_checkpoint(layout):
    total = layout.settings.autoencoder.training.samples
    _checkpoint(layout, "autoencoder", 16, at=1000)
    (layout.directory / "cost.json").write_text(json.dumps({"autoencoder_seconds": 32.0}))
    found = {stage.name: stage for stage in stages(layout)}["autoencoder"]
    assert found.remaining == pytest.approx((total - 16) * 2)


def test_a_stage_is_done_with_its_settings_only(layout, tiny_config):
    _publish(layout, layout.codec_folder, layout.codec_settings)
    assert _states(layout)["autoencoder"] == "done"
    other = Layout(load_experiment(tiny_config, ["--autoencoder.training.seed", "7"]))
    assert _states(other)["autoencoder"] == "made with another autoencoder.training.seed"


def test_metrics_of_an_earlier_model_are_old(layout):
    _publish(layout, layout.model_folder, layout.model_settings)
    metrics = layout.directory / "metrics.json"
    metrics.write_text("{}")
    assert _states(layout)["evaluation"] == "done"
    os.utime(metrics, (1000, 1000))
    assert _states(layout)["evaluation"] == "older than the model"


def test_a_directory_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="is no run: it has none of the folders"):
        layout_of(tmp_path)


def test_the_job_in_the_directory_is_named(layout, tiny_config, capsys):
    with exclusive(layout.directory):
        main(["status", str(tiny_config)])
    printed = capsys.readouterr().out
    assert f"used by process {os.getpid()}" in printed
    assert printed.splitlines()[2].split() == ["stage", "state", "taken", "remains"]
    main(["status", str(tiny_config)])
    assert "no job is running here" in capsys.readouterr().out


def test_it_needs_no_tensors(tiny_config):
    words = ["status", str(tiny_config)]
    source = f"import sys, halocline; halocline.main({words!r}); print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", source], text=True).split()
    assert "configs.status" in modules
    assert not {"torch", "xarray", "zarr", "matplotlib"} & set(modules)
