"""What the tests share: a tiny ocean, and experiments that learn it in seconds."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from configs import Experiment, load_experiment
from configs.run import Run
from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.basin.forcing import BasinParameters
from data.grid import OceanGrid
from data.regrid import Regridding, coarsened
from data.state import State
from tests.faults.damage import flip_bit
from tests.jobs import job_environment

torch.set_num_threads(1)
# Tests run on the CPU, also where there is a GPU: they assert what two processes on it do.
os.environ["ACCELERATE_USE_CPU"] = "true"

DEPTH = np.array([10.0, 60.0, 200.0, 700.0, 2000.0])
LAYERS = np.array([20.0, 80.0, 200.0, 800.0, 1800.0])
TRAINING_FIXTURES = {"trained", "finished", "conditional", "interrupt_training"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test slow that uses a fixture that trains."""
    for item in items:
        if TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Fail a test, or a fixture that it is the first to use, that trains without the mark."""
    loop = sys.modules.get("training.loop")
    with pytest.MonkeyPatch.context() as patch:
        if loop is not None and item.get_closest_marker("slow") is None:
            patch.setattr(loop.Trainer, "run", _refuse_to_train)
        return (yield)


def _refuse_to_train(trainer: object) -> None:
    pytest.fail("this test trains a network: mark it with @pytest.mark.slow")


@pytest.fixture(scope="session")
def launch_environment() -> dict[str, str]:
    """For processes that a launcher starts, see `tests.jobs.job_environment`."""
    return job_environment()


@pytest.fixture(scope="session")
def flip_bits() -> Callable[..., Iterator[Path]]:
    """Damages a product again and again: `for file in flip_bits(path, times=20)`.

    Each time one bit of one file, both drawn at random, is flipped, and restored afterwards.
    """

    def flip(product: Path, *, times: int) -> Iterator[Path]:
        draw = random.Random(0)
        files = [file for file in [product, *sorted(product.rglob("*"))] if file.is_file()]
        for _ in range(times):
            file = draw.choice(files)
            sound = file.read_bytes()
            damaged = bytearray(sound)
            flip_bit(damaged, draw)
            file.write_bytes(damaged)
            yield file
            file.write_bytes(sound)

    return flip


@pytest.fixture
def shared_data() -> Path:
    """Folder of real ocean-model output beside the repository; skips where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real ocean-model output at {folder}")
    return folder


def _tiny_grid(rows: int = 12, columns: int = 8, *, periodic_x: bool = True) -> OceanGrid:
    """Five levels; land in the south, an island, and a sill that closes the two deepest levels."""
    wet = np.ones((len(DEPTH), rows, columns), dtype=bool)
    wet[:, 0] = False
    wet[:, rows // 2, columns // 2] = False
    wet[3:, rows // 3, :2] = False
    return OceanGrid(
        depth=DEPTH,
        thickness=LAYERS[:, None, None] * wet,
        area=np.linspace(3e10, 5e10, rows)[:, None] * np.ones(columns),
        wet=wet,
        longitude=np.arange(columns) * 4.0,
        latitude=np.arange(rows) * min(4.0, 120 / rows) - 40.0,
        periodic_x=periodic_x,
    )


def _tiny_states(grid: OceanGrid, *, batch: int, seed: int, sea_level: bool = False) -> State:
    """Stratified states with anomalies of a few waves, and a layer that overturns in places."""
    random = np.random.default_rng(seed)
    _, rows, columns = grid.shape
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack(
        [
            np.cos(2 * np.pi * k * x / columns + phase) * np.cos(np.pi * m * y / rows)
            for k, m, phase in ((0, 1, 0.0), (1, 1, 0.3), (1, 2, 1.1), (2, 1, 2.0))
        ]
    )
    decay = np.exp(-DEPTH / 600)[:, None, None]

    def anomaly() -> np.ndarray:
        amplitudes = random.normal(size=(batch, len(waves)))
        return np.einsum("bk,kyx->byx", amplitudes, waves)[:, None] * decay

    warm = np.array([18.0, 17.6, 12.0, 6.0, 2.0])[:, None, None] + np.cos(np.pi * y / rows)
    inversion = np.zeros_like(warm)
    inversion[1] = 0.5 * (np.sin(2 * np.pi * x / columns) > 0.8)
    wet = torch.from_numpy(grid.wet)
    temperature = torch.from_numpy(warm + inversion + anomaly()).float() * wet
    salinity = torch.from_numpy(35.0 + 0.1 * anomaly()).float() * wet
    zos = torch.from_numpy(0.1 * anomaly()[:, 0]).float() * wet[0]
    return State(temperature, salinity, zos if sea_level else None)


@pytest.fixture(scope="session")
def tiny_grid() -> Callable[..., OceanGrid]:
    """Makes a grid: `tiny_grid(rows=12, columns=8, periodic_x=True)`."""
    return _tiny_grid


@pytest.fixture(scope="session")
def tiny_states() -> Callable[..., State]:
    """Makes states: `tiny_states(grid, batch=2, seed=0, sea_level=False)`."""
    return _tiny_states


@pytest.fixture(scope="session")
def write_tiny_archive() -> Callable[..., Path]:
    """Writes 24 states of two members, split by time into 16, 4 and 4; returns the path."""

    def write(
        path: Path,
        *,
        rows: int = 12,
        columns: int = 8,
        sea_level: bool = False,
        periodic_x: bool = True,
        seed: int = 0,
    ) -> Path:
        grid = _tiny_grid(rows, columns, periodic_x=periodic_x)
        states = _tiny_states(grid, batch=24, seed=seed, sea_level=sea_level)
        with ArchiveWriter(
            path, grid=grid, equation_of_state="veros-vallis", sea_level=sea_level
        ) as writer:
            for index in range(24):
                member, year = divmod(index, 12)
                writer.append(
                    states.map(lambda field, i=index: field[i : i + 1]),
                    member=member,
                    time=float(year),
                    split=int(year >= 8) + int(year >= 10),
                )
        return path

    return write


@pytest.fixture(scope="session")
def tiny_archive(
    tmp_path_factory: pytest.TempPathFactory, write_tiny_archive: Callable[..., Path]
) -> Path:
    """An archive of 24 states of 5 levels, 12 rows and 8 columns, periodic in x."""
    return write_tiny_archive(tmp_path_factory.mktemp("archive") / "tiny.zarr")


def _tiny_settings(archive: Path, directory: Path) -> dict[str, Any]:
    training = {
        "samples": 16,
        "batch_size": 4,
        "warmup_samples": 4,
        "checkpoint_samples": 8,
        "validation_samples": 8,
        "precision": "fp32",
    }
    return {
        "name": "tiny",
        "run_directory": str(directory / "run"),
        "data": {"archive": str(archive)},
        "autoencoder": {
            "latent_channels": 4,
            "patch": 2,
            "channels": [8],
            "blocks": 1,
            "losses": {"stratification": 0.02},
            "training": dict(training),
        },
        "diffusion": {
            "channels": [8, 16],
            "blocks": 1,
            "attention": False,
            "training": dict(training),
        },
        "sampling": {"members": 3, "batch_size": 2, "steps": 4},
        "guidance": {"start": 0.5},
    }


@pytest.fixture(scope="session")
def write_tiny_config(tiny_archive: Path) -> Callable[[Path], Path]:
    """Writes the YAML of an experiment on `tiny_archive` that runs in the given folder."""

    def write(directory: Path) -> Path:
        path = directory / "tiny.yaml"
        path.write_text(yaml.safe_dump(_tiny_settings(tiny_archive, directory)))
        return path

    return write


@pytest.fixture
def tiny_config(tmp_path: Path, write_tiny_config: Callable[[Path], Path]) -> Path:
    """The YAML of a tiny experiment; its run directory is in `tmp_path`."""
    return write_tiny_config(tmp_path)


@pytest.fixture
def tiny_experiment(tiny_config: Path) -> Callable[..., Experiment]:
    """Loads the tiny experiment: `tiny_experiment("--sampling.steps", "2")`."""

    def load(*overrides: str) -> Experiment:
        return load_experiment(tiny_config, overrides)

    return load


@pytest.fixture
def tiny_run(tiny_experiment: Callable[..., Experiment]) -> Callable[..., Run]:
    """The run of the tiny experiment: `tiny_run("--sampling.steps", "2")`."""
    return lambda *overrides: Run(tiny_experiment(*overrides))


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, write_tiny_config: Callable[[Path], Path]
) -> Run:
    """A tiny run whose both stages are done; for reading and for sampling elsewhere."""
    from configs.stages import train_codec, train_denoiser

    run = Run(load_experiment(write_tiny_config(tmp_path_factory.mktemp("trained"))))
    train_codec(run)
    train_denoiser(run)
    return run


@pytest.fixture(scope="session")
def conditional_archive(
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """20 states of each of 7 members; water is warmer where the parameter gm is large, in summer.

    The member with gm of 1300 is for validation, two of 2000 for test, that of 2500 is outside.
    """
    grid = _tiny_grid()
    gms = (500.0, 800.0, 1000.0, 1300.0, 2000.0, 2000.0, 2500.0)
    members = list(zip(gms, (0, 0, 0, 1, 2, 2, 3), strict=True))
    known, unseen = _tiny_states(grid, batch=100, seed=0), _tiny_states(grid, batch=40, seed=1)
    states = State.cat([known, unseen])
    wet = torch.from_numpy(grid.wet)
    path = tmp_path_factory.mktemp("conditional") / "states.zarr"
    with ArchiveWriter(
        path, grid=grid, equation_of_state="veros-vallis", units={"gm": "m2 s-1"}
    ) as writer:
        for index in range(len(states)):
            member, number = divmod(index, 20)
            (gm, split), season = members[member], 0.3 * number % 1
            warmth = 2 * np.log(gm / 1000) + np.cos(2 * np.pi * season)
            one = states.map(lambda field, i=index: field[i : i + 1])
            writer.append(
                State(one.temperature + wet * (6 + warmth), one.salinity),
                member=member,
                time=80.0 + number,
                split=split,
                parameters={"gm": gm, "season": season, "age": 80.0 + number},
            )
    return path


@pytest.fixture
def coarse(conditional_archive: Path, tmp_path: Path) -> StateArchive:
    """Means over 2 by 2 cells of the states 20, 25 and 30 of `conditional_archive`, gm 800."""
    archive = StateArchive.open(conditional_archive)
    grid = coarsened(archive.grid, 2)
    regridding = Regridding(archive.grid, grid)
    path = tmp_path / "coarse.zarr"
    with ArchiveWriter(path, grid=grid, equation_of_state=archive.equation_of_state) as writer:
        for row in (20, 25, 30):
            state = regridding(archive.read([row])).state
            writer.append(state, member=0, time=0.0, split=UNUSED)
    return StateArchive.open(path)


@pytest.fixture(scope="session")
def conditional(conditional_archive: Path) -> Run:
    """A run on `conditional_archive`, with gm, season and age as conditions; both stages done."""
    from configs.stages import train_codec, train_denoiser

    settings = _tiny_settings(conditional_archive, conditional_archive.parent)
    # So that the codec knows the members' differences without a long training.
    settings["autoencoder"]["linear_path"] = True
    settings["conditions"] = {"parameters": {"gm": "log"}, "season": True, "age": True}
    path = conditional_archive.parent / "conditional.yaml"
    path.write_text(yaml.safe_dump(settings))
    run = Run(load_experiment(path))
    train_codec(run)
    train_denoiser(run)
    return run


@pytest.fixture(scope="session")
def basin_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight states of each of seven members, as if of an ensemble of the basin.

    Three for training, one for validation, two for test of which one has a replicate, one outside.
    """
    winds = {"a": 0.6, "b": 1.0, "c": 1.4, "valid": 0.9, "one": 0.8, "two": 1.2}
    winds |= {"strong": 1.6, "one_replicate": 0.8}
    parts = {"valid": 1, "one": 2, "two": 2, "strong": 3, "one_replicate": 2}
    grid, basin = _tiny_grid(), BasinParameters(southern_salinity=34.4)
    states = _tiny_states(grid, batch=8 * len(winds), seed=1)
    path = tmp_path_factory.mktemp("basin") / "states.zarr"
    attributes = {
        "members": [*winds],
        "ensemble_settings": {"basin": basin.model_dump()},
        "tracer_step_days": {name: 1.0 if name == "two" else 2.0 for name in winds},
        "simulated_years": 200.0,
    }
    with ArchiveWriter(
        path, grid=grid, equation_of_state="veros-vallis", attributes=attributes
    ) as writer:
        for index in range(len(states)):
            member, number = divmod(index, 8)
            age = 50 + 1.25 * number
            writer.append(
                states.map(lambda field, i=index: field[i : i + 1]),
                member=member,
                time=age,
                split=parts.get([*winds][member], 0),
                parameters={
                    "wind_stress_scale": [*winds.values()][member],
                    "age": age,
                    "season": age % 1,
                },
            )
    return path


@pytest.fixture
def basin_run(basin_archive: Path, tmp_path: Path) -> Run:
    """A run on `basin_archive` with conditions and the default integration; nothing is trained."""
    settings = _tiny_settings(basin_archive, tmp_path)
    settings["conditions"] = {"parameters": {"wind_stress_scale": "log"}, "season": True}
    settings["integration"] = {"directory": str(tmp_path / "study")}
    path = tmp_path / "basin.yaml"
    path.write_text(yaml.safe_dump(settings))
    return Run(load_experiment(path))


@pytest.fixture
def interrupt_training(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `stage(run)` and interrupts it once the sample counter has reached `at`."""
    from training.loop import Trainer

    def interrupt(stage: Callable[[Run], None], run: Run, *, at: int) -> None:
        step = Trainer.step

        def interrupted_step(trainer: Trainer, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            if trainer.counter >= at:
                raise KeyboardInterrupt
            return step(trainer, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", interrupted_step)
            with pytest.raises(KeyboardInterrupt):
                stage(run)

    return interrupt


@pytest.fixture(scope="session")
def assert_same_training() -> Callable[[Path, Path], None]:
    """Asserts that two stage directories hold the same weights, averages, moments and log."""
    from safetensors.torch import load_file

    def check(one: Path, other: Path) -> None:
        mine, theirs = max(one.glob("checkpoint-*")), max(other.glob("checkpoint-*"))
        assert mine.name == theirs.name
        for name in ("network", "ema", "optimizer"):
            tensors = load_file(mine / f"{name}.safetensors")
            expected = load_file(theirs / f"{name}.safetensors")
            assert tensors.keys() == expected.keys()
            different = [key for key in tensors if not torch.equal(tensors[key], expected[key])]
            assert different == [], name
        log = (one / "metrics.jsonl").read_text()
        assert log.count("\n") == 3
        assert log == (other / "metrics.jsonl").read_text()

    return check


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-golden",
        nargs="?",
        const="here",
        choices=("here", "anywhere"),
        help="keep the golden run's numbers as they are now; anywhere: also on another processor",
    )
