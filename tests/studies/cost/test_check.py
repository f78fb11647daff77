"""A check of several processes: what it measures in one and in two, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from halocline import main

SCRIPT = Path(__file__).resolve().parents[3] / "configs" / "accelerate" / "check.sh"
STUDY = ["study", "cost", "check"]
SHORT = ["--samples", "8", "--steps", "1", "--sampling.batch_size", "2"]


def _check(config: Path, folder: Path, *words: str) -> None:
    main([*STUDY, str(config), "--folder", str(folder), "--counts", "1", "2", *SHORT, *words])


@pytest.fixture
def refused(tiny_config, tmp_path, capsys):
    """The sentence that ends a check with further words."""

    def sentence(*words: str) -> str:
        with pytest.raises(SystemExit) as caught:
            _check(tiny_config, tmp_path / "check", *words)
        assert not (tmp_path / "check").exists() or not list((tmp_path / "check").glob("*.json"))
        return str(caught.value)

    return sentence


@pytest.mark.slow
def test_one_process_measures_both_stages_and_sampling(tiny_config, tmp_path):
    folder = tmp_path / "check"
    _check(tiny_config, folder)
    record = json.loads((folder / "processes-1.json").read_text())
    assert (record["processes"], record["device"], record["backend"]) == (1, "cpu", None)
    for stage in ("autoencoder", "diffusion"):
        training = record["training"][stage]
        assert training["samples"] == 8
        assert training["same_in_all_processes"]
        assert training["difference_from_replay"] == 0, "one process repeats itself"
        assert training["samples_per_second_of_shared_batch"] > 0
        assert training["gflop_per_sample"] > 0
        assert (folder / "weights" / f"{stage}-replay-2.safetensors").is_file()
    assert all(one["bitwise"] and one["states"] == 4 for one in record["states"].values())
    assert set(record["states"]) == {"unguided", "guided"}
    assert 0 < record["sampling"]["share_of_matmul_peak"][0] < 1.5
    with pytest.raises(SystemExit, match="is not empty"):
        _check(tiny_config, folder)
    with pytest.raises(SystemExit, match=r"processes-2\.json is missing"):
        _check(tiny_config, folder, "--compare")


def test_batches_that_processes_cannot_share_are_refused(refused):
    assert "batch_size is 3, which 2 processes" in refused("--diffusion.training.batch_size", "3")


def test_a_missing_archive_is_refused(refused):
    assert "nowhere.zarr does not exist; make it first" in refused("--data.archive", "nowhere.zarr")


def test_fewer_gpus_than_processes_are_refused(refused, monkeypatch):
    gpu = SimpleNamespace(num_processes=1, device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr("studies.cost.check.launched_processes", lambda: gpu)
    monkeypatch.setattr("studies.cost.check.torch.cuda.device_count", lambda: 1)
    assert "2 processes need 2 GPUs, and this machine shows 1" in refused()


@pytest.mark.parametrize("counts", [["2", "4"], ["1", "4", "2"], ["1", "1"], ["0", "1"]])
def test_the_first_number_of_processes_is_one(tiny_config, tmp_path, counts):
    with pytest.raises(SystemExit, match="expected 1 first"):
        main([*STUDY, str(tiny_config), "--folder", str(tmp_path), "--counts", *counts])


def _script(
    *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *words],
        env=(environment or dict(os.environ)) | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_script_is_well_formed():
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0


def test_a_dry_run_prints_one_launch_for_each_number_of_processes(tmp_path):
    output = tmp_path / "out"
    words = ["--cpu", "--processes", "1 2 4", "--output", str(output), "--dry-run"]
    done = _script(*words, "--samples", "32")
    assert done.returncode == 0, done.stderr
    first, two, four, last = done.stdout.splitlines()
    study = f"-m halocline study cost check configs/quickstart.yaml --folder {output}"
    ending = f"{study} --counts 1 2 4 --samples 32"
    assert "accelerate.commands.launch" not in first and first.endswith(ending)
    for line, count in ((two, 2), (four, 4)):
        assert "two_cpu_processes.yaml" in line
        assert f"--num_processes {count} " in line
        assert line.endswith(ending)
    assert last.endswith(f"{ending} --compare")
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--processes"], "--processes needs a value"),
        (["--processes", "2 x"], "expected numbers, as in"),
    ],
)
def test_the_script_refuses_mistakes_in_a_sentence(words, sentence):
    done = _script("--cpu", *words)
    assert done.returncode == 2
    assert sentence in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_script_checks_two_processes_and_leaves_its_result_alone(
    tiny_config, tmp_path, launch_environment
):
    output = tmp_path / "out"
    words = ["--cpu", "--config", str(tiny_config), "--output", str(output), *SHORT]
    done = _script(*words, environment=launch_environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert [path.name for path in output.iterdir()] == ["check.json"]
    result = json.loads((output / "check.json").read_text())
    two = result["records"][1]
    assert (two["processes"], two["backend"], len(two["devices"])) == (2, "gloo", 2)
    assert two["states"]["unguided"]["bitwise"]
    for stage in ("autoencoder", "diffusion"):
        training = two["training"][stage]
        assert training["same_in_all_processes"]
        assert training["difference_from_replay"] < 1e-3
        assert training["difference_from_one_process"] > training["difference_from_replay"]
        assert len(training["memory_MB"]) == 2
    assert {finding["question"] for finding in result["findings"]} >= {"unguided states", "memory"}
    assert "unguided states: as expected" in done.stdout
