"""What is damaged: how it is made whole, how a user reads it, and what must not change."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from configs.loading import load_experiment
from configs.run import Run
from configs.stages import train_codec, train_denoiser
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.checksums import CHECKSUMS
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import origin_of_model
from latent_diffusion.pipeline import StatePipeline
from tests.conftest import _tiny_grid, _tiny_settings, _tiny_states
from tests.data.test_read_mitgcm import write_mds
from training.records import latest_checkpoint


@dataclass(frozen=True)
class Subject:
    """One kind of input.

    trials: number of damaged ones
    make: makes a whole one in a folder and returns its path
    read: reads it as a user would, and returns a digest of all numbers
    checked: whether it carries checksums, so that no changed number may be accepted
    """

    trials: int
    make: Callable[[Path], Path]
    read: Callable[[Path], str]
    checked: bool = True


def digest(*values: Any) -> str:
    """Digest of arrays and texts."""
    total = hashlib.sha256()
    for value in values:
        is_array = isinstance(value, np.ndarray | Tensor)
        total.update(np.ascontiguousarray(value).tobytes() if is_array else str(value).encode())
    return total.hexdigest()


def make_archive(folder: Path, name: str = "states.zarr") -> Path:
    """24 states of a tiny ocean."""
    grid, path = _tiny_grid(), folder / name
    states = _tiny_states(grid, batch=24, seed=0)
    with ArchiveWriter(path, grid=grid, equation_of_state="veros-vallis") as writer:
        for index in range(24):
            member, year = divmod(index, 12)
            state = states.map(lambda field, i=index: field[i : i + 1])
            split = int(year >= 8) + int(year >= 10)
            writer.append(state, member=member, time=float(year), split=split)
    return path


def read_archive(path: Path) -> str:
    """Digest of grid, states and what describes them."""
    archive = StateArchive.open(path)
    archive.verify()
    states = archive.read(range(len(archive))).to_channels()
    return digest(archive.description, states, archive.has_sea_level)


def make_run(folder: Path) -> Path:
    """A run whose stages are done."""
    settings = _tiny_settings(make_archive(folder), folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    run = Run(load_experiment(folder / "run.yaml"))
    train_codec(run)
    train_denoiser(run)
    return folder


def make_model(folder: Path) -> Path:
    """A released model."""
    return Path(shutil.copytree(make_run(folder) / "run" / "model", folder / "model"))


def make_bare_model(folder: Path) -> Path:
    """A released model without checksums."""
    path = make_model(folder)
    (path / CHECKSUMS).unlink()
    return path


def read_model(path: Path) -> str:
    """Digest of a guided state and of all weights."""
    pipeline = StatePipeline.from_pretrained(path)
    pipeline.set_progress_bar_config(disable=True)
    guide = origin_of_model(path).guide(pipeline.codec)
    state = pipeline.draw(generators=[member_generator(0, 0)], steps=4, guide=guide).state
    modules = (pipeline.unet, pipeline.gaussian, pipeline.codec)
    weights = [tensor for module in modules for tensor in module.state_dict().values()]
    return digest(state.to_channels(), *weights)


def make_checkpoint(folder: Path) -> Path:
    """The last checkpoint of a training whose product is missing."""
    make_run(folder)
    shutil.rmtree(folder / "run" / "autoencoder" / "codec")
    checkpoint = latest_checkpoint(folder / "run" / "autoencoder")
    assert checkpoint is not None, "a training leaves checkpoints"
    return checkpoint


def read_checkpoint(path: Path) -> str:
    """Digest of the codec that the resumed training makes."""
    folder = path.parents[2]
    run = Run(load_experiment(folder / "run.yaml", ["--run_directory", str(folder / "run")]))
    train_codec(run)
    return digest(*run.codec().state_dict().values())


def make_yaml(folder: Path) -> Path:
    """The YAML of an experiment."""
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(_tiny_settings(Path("states.zarr"), Path("runs"))))
    return path


def make_netcdf(folder: Path, times: int = 6) -> Path:
    """States of one member, a year apart, as a CF file with HDF5's checksums."""
    import xarray as xr

    grid = _tiny_grid()
    states = _tiny_states(grid, batch=times, seed=0)
    dims = ("time", "depth", "lat", "lon")
    fields = {
        "thetao": (states.temperature, "sea_water_potential_temperature", "degC"),
        "so": (states.salinity, "sea_water_salinity", "1e-3"),
    }
    wet = grid.wet
    dataset = xr.Dataset(
        {
            name: (dims, np.where(wet, field, np.nan), {"standard_name": long, "units": units})
            for name, (field, long, units) in fields.items()
        },
        coords={
            "time": ("time", 365.0 * np.arange(times), {"units": "days since 0001-01-01"}),
            "depth": ("depth", grid.depth, {"units": "m", "positive": "down"}),
            "lat": ("lat", grid.latitude, {"units": "degrees_north"}),
            "lon": ("lon", grid.longitude, {"units": "degrees_east"}),
        },
    )
    dataset["time"].attrs["calendar"] = "noleap"
    path = folder / "output.nc"
    checked = {name: {"fletcher32": True} for name in dataset.variables}
    dataset.to_netcdf(path, encoding=checked)
    return path


def make_mds(folder: Path) -> Path:
    """A run of MITgcm."""
    grid, path = _tiny_grid(), folder / "mitgcm"
    path.mkdir()
    states = _tiny_states(grid, batch=6, seed=0)
    longitude, latitude = np.meshgrid(grid.longitude, grid.latitude)
    constants = {
        "XC": longitude,
        "YC": latitude,
        "RC": -grid.depth[:, None, None],
        "DRF": grid.thickness.max(axis=(1, 2))[:, None, None],
        "hFacC": grid.wet.astype(float),
        "RAC": grid.area,
    }
    for name, values in constants.items():
        write_mds(path, name, values)
    for index, step in enumerate(range(720, 5040, 720)):
        for name, field in (("T", states.temperature), ("S", states.salinity)):
            write_mds(path, name, field[index].numpy(), step=step, seconds=86400.0 * step)
    return path


def read_with(reader: str) -> Callable[[Path], str]:
    """A function that ingests a path with this reader and returns the digest of the archive."""

    def read(path: Path) -> str:
        settings = IngestSettings(
            reader=reader,
            files=[str(path)],
            equation_of_state="veros-vallis",
            split={"train": 0.5, "validation": 0.2, "gap_years": 0},
        )
        output = path.parent / "ingested.zarr"
        ingest(settings, output=output)
        return read_archive(output)

    return read


SUBJECTS = {
    "archives": Subject(40, make_archive, read_archive),
    "zipped archives": Subject(
        20, lambda folder: make_archive(folder, "states.zarr.zip"), read_archive
    ),
    "model folders": Subject(40, make_model, read_model),
    "model folders without checksums": Subject(20, make_bare_model, read_model, checked=False),
    "YAMLs": Subject(
        60, make_yaml, lambda path: digest(load_experiment(path).model_dump()), checked=False
    ),
    "NetCDF files": Subject(30, make_netcdf, read_with("cf"), checked=False),
    "MDS folders": Subject(30, make_mds, read_with("mitgcm-mds"), checked=False),
    "checkpoints": Subject(30, make_checkpoint, read_checkpoint),
}
