"""The configurations for DINO's output: their grids, networks and reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from autoencoder.codec import Codec
from configs import Experiment, load_experiment
from configs.run import Run
from data.archive.reader import StateArchive
from data.errors import UserError
from data.grid import OceanGrid, wet_tensor
from data.ingest import ingest
from data.normalisation import Statistics
from data.state import State
from latent_diffusion.train import untrained_denoiser

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LEVELS = 36
SHAPES = {"dino_1deg": (199, 62), "dino_quarter": (797, 242)}


def dino_grid(rows: int, columns: int) -> OceanGrid:
    """A basin with walls along the first and last column, open in the channel."""
    latitude = np.linspace(-70, 70, rows)
    wet = np.ones((LEVELS, rows, columns), bool)
    wet[:, [0, -1]] = False
    for column in (0, -1):
        wet[:, :, column] &= (latitude > -65) & (latitude < -45)
    thickness = np.geomspace(10, 260, LEVELS)
    return OceanGrid(
        depth=np.cumsum(thickness) - 0.5 * thickness,
        thickness=thickness[:, None, None] * wet,
        area=np.full((rows, columns), 1e10),
        wet=wet,
        longitude=np.linspace(0, 50, columns),
        latitude=latitude,
        periodic_x=True,
    )


@pytest.fixture
def build(monkeypatch) -> Callable[[Experiment, OceanGrid], Codec]:
    """The codec of an experiment on a grid, its statistics and weights not from any data."""

    def statistics(archive, indices):
        channels = 2 * LEVELS + 1
        wet = wet_tensor(archive.grid)
        return Statistics(
            torch.zeros(channels, *archive.grid.shape[1:]),
            torch.ones(channels),
            torch.cat([wet, wet, wet[:1]]),
            levels=LEVELS,
            grid_digest=archive.grid.digest,
        )

    monkeypatch.setattr(Statistics, "from_archive", statistics)
    monkeypatch.setattr("autoencoder.train.fit_linear_maps", lambda codec, states: None)

    def build_on(experiment: Experiment, grid: OceanGrid) -> Codec:
        assert experiment.data.ingest is not None
        archive = SimpleNamespace(
            grid=grid,
            has_sea_level=True,
            equation_of_state=experiment.data.ingest.equation_of_state,
            salinity_units=experiment.data.ingest.salinity_units,
            indices=lambda split: np.arange(2),
        )
        return Run(experiment).untrained_codec(archive).eval()

    return build_on


@pytest.mark.parametrize("name", SHAPES)
def test_what_dino_is(name):
    settings = load_experiment(CONFIGS / f"{name}.yaml").data.ingest
    reader = settings.reader
    assert reader.name == "nemo" and settings.equation_of_state == "nemo-seos"
    assert reader.variables.sea_level == "ssh"
    assert reader.periodic_x and settings.one_member and reader.mesh_mask is not None


@pytest.mark.parametrize("name", SHAPES)
def test_the_networks_of_its_grid(name, build):
    experiment, grid = load_experiment(CONFIGS / f"{name}.yaml"), dino_grid(*SHAPES[name])
    codec = build(experiment, grid)
    unet = untrained_denoiser(experiment.diffusion, codec).unet
    channels, rows, columns = codec.latent_shape
    assert unet.config.sample_size == (rows, columns)
    assert unet.config.in_channels == 2 * channels + len(codec.static_maps)
    assert rows * 4 >= SHAPES[name][0] and columns * 4 >= SHAPES[name][1]
    assert 30 < codec.compression < 40


@torch.no_grad()
def test_one_forward_pass_at_1_degree(build):
    experiment, grid = load_experiment(CONFIGS / "dino_1deg.yaml"), dino_grid(199, 62)
    codec = build(experiment, grid)
    denoiser = untrained_denoiser(experiment.diffusion, codec).eval()
    wet = wet_tensor(grid)
    profile = 4 + 20 * torch.exp(-torch.from_numpy(grid.depth) / 600)[:, None, None]
    temperature = (profile * wet).float()[None]
    state = State(temperature, 35.0 * wet[None], torch.zeros(1, *grid.shape[1:]))
    latents = codec.encode(state)
    assert latents.shape == (1, *codec.latent_shape)
    estimate = denoiser(latents, 500, signal=0.6, noise=0.8)
    decoded = codec.decode(estimate)
    assert decoded.temperature.shape == (1, LEVELS, 199, 62)
    assert decoded.sea_level.shape == (1, 199, 62)
    assert all(
        bool(field.isfinite().all())
        for field in (decoded.temperature, decoded.salinity, decoded.sea_level)
    )


@pytest.fixture
def raw_output(shared_data, tmp_path) -> Path:
    """The sample at 4 degrees under DINO's own names, with the sea level of its restart."""
    folder = shared_data / "nemo_dino4deg"
    with xr.open_dataset(folder / "nemo_dino_4deg.nc", decode_times=False) as sample:
        fields = sample[["thetao", "so", "nav_lon", "nav_lat"]].load()
    with xr.open_dataset(folder / "DINO_00057600_restart.nc", decode_times=False) as restart:
        level = restart["sshn"].values
    names = {"thetao": "toce", "so": "soce", "time": "time_counter", "z": "deptht"}
    raw = fields.isel(time=slice(3, None, 4)).rename(names)
    raw.encoding = {}
    raw["ssh"] = (("time_counter", "y", "x"), np.repeat(level, len(raw.time_counter), axis=0))
    for part, times in enumerate((slice(0, 15), slice(15, None))):
        raw.isel(time_counter=times).to_netcdf(tmp_path / f"DINO_1y_{part}_grid_T.nc")
    (tmp_path / "mesh_mask.nc").symlink_to(folder / "mesh_mask.nc")
    return tmp_path


def _load(name: str, folder: Path) -> Experiment:
    """The configuration, its paths into `folder`, which holds ten years only."""
    words = ["--data.ingest.files", f"['{folder}/DINO_1y*_grid_T*.nc']"]
    words += ["--data.ingest.mesh_mask", f"{folder}/mesh_mask*.nc"]
    words += ["--data.ingest.split.gap_years", "0.5"]
    return load_experiment(CONFIGS / f"{name}.yaml", words)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_its_ingest_section_reads_the_real_sample(name, raw_output, tmp_path):
    settings = _load(name, raw_output).data.ingest
    ingest(settings, output=tmp_path / "states.zarr")
    archive = StateArchive.open(tmp_path / "states.zarr")
    assert len(archive) == 30 and archive.has_sea_level and not archive.member.any()
    assert archive.grid.shape == (36, 51, 14) and archive.grid.periodic_x
    assert archive.equation_of_state == "nemo-seos"
    assert archive.time[-1] == pytest.approx(3600 / 365.25, rel=0.02)
    # Open across the seam in the channel only.
    seam = archive.grid.wet[0, :, 0] & archive.grid.wet[0, :, -1]
    south = np.broadcast_to(archive.grid.latitude[:, 0], seam.shape)[seam]
    assert seam.any() and south.min() > -70 and south.max() < -45


@pytest.mark.slow
def test_output_without_sea_level_is_refused(raw_output):
    for file in raw_output.glob("DINO*.nc"):
        with xr.open_dataset(file, decode_times=False) as raw:
            poor = raw.drop_vars("ssh").load()
        poor.to_netcdf(file)
    settings = _load("dino_1deg", raw_output).data.ingest
    with pytest.raises(UserError, match="has no variable ssh for sea_level"):
        ingest(settings, output=raw_output / "states.zarr")
