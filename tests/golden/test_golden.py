"""A golden run: a tiny experiment through every stage must give the numbers that are kept here.

On the kind of processor that recorded `golden.json` the digests must agree to the last digit;
elsewhere, where sums may round otherwise, the metrics agree to a tolerance. After a change that is
meant to move a number, record the file again and say why in the commit:

    python -m pytest tests/golden --record-golden

On another processor this is refused; --record-golden=anywhere replaces the reference there, too.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
import zarr
from safetensors.torch import load_file

from halocline import main

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).with_name("golden.json")
ROWS = ("unguided", "guided", "guided_adjusted")
RELATIVE_TOLERANCE = 0.05  # of metrics on another processor: training amplifies rounding

# What the quickstart has, at a size that trains in seconds.
SETTINGS: dict[str, Any] = {
    "autoencoder": {
        "latent_channels": 4,
        "patch": 2,
        "channels": [16],
        "blocks": 1,
        "linear_path": True,
        "losses": {
            "kl": 1e-3,
            "stratification": 0.2,
            "created_instability": 1.0,
            "latent_jitter": 0.2,
            "spectral": 0.02,
        },
    },
    "diffusion": {"channels": [8, 32], "blocks": 1, "attention": True, "noise_emphasis": 2.0},
    "sampling": {
        "members": 3,
        "batch_size": 2,
        "steps": 6,
        "scheduler": "DPMSolverMultistepScheduler",
        "scheduler_options": {"use_lu_lambdas": True},
    },
    "guidance": {"start": 0.5, "adjust": True},
}


@pytest.fixture(scope="module")
def golden_run(
    tmp_path_factory: pytest.TempPathFactory,
    write_tiny_config: Callable[[Path], Path],
    write_tiny_archive: Callable[..., Path],
) -> Path:
    """The run directory of the golden experiment, every stage done."""
    directory = tmp_path_factory.mktemp("golden")
    config = write_tiny_config(directory)
    settings = yaml.safe_load(config.read_text())
    # Large enough for a rectangle without land, where the spectral loss works.
    archive = write_tiny_archive(directory / "ocean.zarr", rows=24, columns=16)
    settings["data"]["archive"] = str(archive)
    for section, values in SETTINGS.items():
        settings[section] = settings[section] | values
    config.write_text(yaml.safe_dump(settings))
    main(["run", str(config)])
    return directory / "run"


@pytest.fixture(scope="module")
def found(golden_run: Path) -> dict[str, Any]:
    """Digests of the run's products, and its metrics."""
    return {
        "processor": processor(),
        "digests": {
            "codec": weights_digest(golden_run / "model" / "codec"),
            "denoiser": weights_digest(golden_run / "model" / "unet"),
            **{row: content(golden_run / "samples" / f"{row}.zarr") for row in ROWS},
        },
        "metrics": dict(numbers(metrics(golden_run))),
    }


@pytest.fixture(scope="module")
def golden(found: dict[str, Any], pytestconfig: pytest.Config) -> dict[str, Any]:
    if choice := pytestconfig.getoption("--record-golden"):
        record(found, GOLDEN, anywhere=choice == "anywhere")
    return json.loads(GOLDEN.read_text())


def record(found: dict[str, Any], path: Path, *, anywhere: bool) -> None:
    """Keep what was found; fails on another processor than the recorded one, unless `anywhere`."""
    recorded = json.loads(path.read_text())["processor"]
    if recorded != found["processor"] and not anywhere:
        pytest.fail(
            f"{path.name} was recorded on {recorded}, this is {found['processor']}; to replace "
            "its digests, use --record-golden=anywhere"
        )
    path.write_text(json.dumps(found, indent=1) + "\n")


def test_another_processor_replaces_the_reference_only_on_request(tmp_path):
    path = tmp_path / "golden.json"
    path.write_text('{"processor": "one"}')
    with pytest.raises(pytest.fail.Exception, match="recorded on one, this is another; to replace"):
        record({"processor": "another"}, path, anywhere=False)
    assert json.loads(path.read_text())["processor"] == "one"
    record({"processor": "another"}, path, anywhere=True)
    assert json.loads(path.read_text())["processor"] == "another"


def test_every_product_is_the_recorded_one(found, golden):
    if found["processor"] != golden["processor"]:
        pytest.skip(f"recorded on {golden['processor']}, this is {found['processor']}")
    assert found["digests"] == golden["digests"]


def test_metrics_are_the_recorded_ones(found, golden):
    assert found["metrics"].keys() == golden["metrics"].keys()
    exact = found["processor"] == golden["processor"]
    different = {
        name: (value, golden["metrics"][name])
        for name, value in found["metrics"].items()
        if not same(value, golden["metrics"][name], exact=exact)
    }
    assert different == {}


def processor() -> str:
    """What decides in which order sums are taken."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else [platform.processor()]
    model = next((line for line in lines if line.startswith("model name")), lines[0])
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model.split(': ')[-1]}, {capability}, torch {torch.__version__}"


def weights_digest(folder: Path) -> str:
    """sha256 over the tensors in a model's folder, whatever their names and order."""
    digests = [
        hashlib.sha256(tensor.to(torch.float32).numpy().tobytes()).hexdigest()
        for file in folder.rglob("*.safetensors")
        for tensor in load_file(file).values()
    ]
    assert digests, f"{folder} has no weights"
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def content(archive: Path) -> str:
    """sha256 over the states of an archive, NaN on land as 0."""
    group = zarr.open_group(archive, mode="r")
    digest = hashlib.sha256()
    for name in ("thetao", "so"):
        digest.update(np.nan_to_num(np.asarray(group[name][...])).tobytes())
    return digest.hexdigest()


def metrics(run: Path) -> dict[str, Any]:
    """The metrics that a reader sees, without what the clock and the machine put there."""
    everything = json.loads((run / "metrics.json").read_text())
    return {name: everything[name] for name in ("rows", "autoencoder")}


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a tree, by their path."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers(one, f"{name}/{key}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from numbers(one, f"{name}/{index}")
    elif isinstance(value, int | float):
        yield name, value


def same(value: float, expected: float, *, exact: bool) -> bool:
    if exact:
        return value == expected or (math.isnan(value) and math.isnan(expected))
    return math.isclose(value, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-3)
