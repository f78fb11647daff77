"""The pipeline as users call it: a dataset of CF conventions, of the very states of `draw`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
import torch
import xarray as xr

from configs.stages import sample
from data.archive.dataset import open_archive
from data.archive.reader import StateArchive
from data.checksums import CHECKSUMS
from data.errors import UserError
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.stratification import adjust
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import Origin
from latent_diffusion.pipeline import StatePipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(trained):
    """A trained model, loaded from its folder as users do."""
    loaded = StatePipeline.from_pretrained(trained.model_folder)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def states(pipeline):
    return pipeline(members=3, seed=0, steps=4)


def generators(count, seed=0):
    return [member_generator(seed, member) for member in range(count)]


def same(dataset, state):
    """Whether a dataset holds a state, to the last digit, with NaN on land."""
    fields = {"thetao": state.temperature, "so": state.salinity}
    return all(
        np.array_equal(dataset[name].fillna(0), field) and dataset[name].isnull().any()
        for name, field in fields.items()
    )


def test_the_states_are_those_of_draw_guided_and_adjusted(trained, pipeline, states):
    guide = trained.guide(pipeline.codec)
    drawn = pipeline.draw(generators=generators(3), steps=4, guide=guide).state
    grid = pipeline.codec.grid
    expected = adjust(drawn, eos=equation_of_state("veros-vallis"), grid=grid)
    assert not torch.equal(drawn.temperature, expected.temperature)
    assert same(states, expected)
    assert same(pipeline(members=3, seed=0, steps=4, adjusted=False), drawn)
    plain = pipeline.draw(generators=generators(3), steps=4).state
    assert same(pipeline(members=3, seed=0, steps=4, guided=False, adjusted=False), plain)


def test_the_states_are_those_of_the_sampling_stage(trained, tmp_path):
    """Drawn two at a time there, and here."""
    sample(trained, output=tmp_path / "states.zarr")
    archive = StateArchive.open(tmp_path / "states.zarr")
    dataset = trained.pipeline()(members=3, seed=0, at_once=2)
    assert same(dataset, archive.read([0, 1, 2]))
    stored = open_archive(tmp_path / "states.zarr")
    assert stored.thetao.dims == dataset.thetao.dims
    xr.testing.assert_equal(stored, dataset)
    for name in dataset.variables:
        assert stored[name].attrs == dataset[name].attrs, name
    raw = xr.open_zarr(tmp_path / "states.zarr", chunks=None)
    for name in ("thetao", "so"):
        assert raw[name].attrs.items() <= dataset[name].attrs.items(), "as in a NetCDF file"
    for name in ("model", "seed", "sampler", "steps", "source", "title", "convective_adjustment"):
        assert stored.attrs[name] == dataset.attrs[name], name
    assert json.loads(stored.attrs["guidance"]) == json.loads(dataset.attrs["guidance"])


def test_land_is_nan_and_coordinates_are_those_of_cf(pipeline, states):
    grid = pipeline.codec.grid
    assert states.thetao.dims == ("member", "depth", "lat", "lon")
    for member in range(3):
        np.testing.assert_array_equal(np.isnan(states.so[member]), ~grid.wet)
    np.testing.assert_array_equal(states.lat, grid.latitude)
    np.testing.assert_array_equal(states.depth_bnds[:, 1], grid.faces[1:])
    assert states.depth.attrs["axis"] == "Z" and states.depth.attrs["positive"] == "down"
    assert states.lon.attrs["standard_name"] == "longitude"
    assert states.member.attrs["standard_name"] == "realization"
    assert states.thetao.attrs == {
        "standard_name": "sea_water_potential_temperature",
        "long_name": "potential temperature",
        "units": "degC",
        "cell_methods": "area: mean where sea",
        "cell_measures": "area: cell_area",
    }
    column = states.thetao.sel(lat=-20, lon=11, method="nearest")
    assert column.dims == ("member", "depth")


def test_the_attributes_say_where_the_states_come_from(states):
    found = states.attrs
    assert found["Conventions"] == "CF-1.11"
    assert (found["model"], found["seed"], found["steps"]) == ("tiny", 0, 4)
    assert found["sampler"] == "DPMSolverMultistepScheduler"
    assert json.loads(found["guidance"])["start"] == 0.5
    assert "Halocline" in found["source"] and "torch" in found["source"]
    assert found["precision"] == "float32"
    assert datetime.fromisoformat(found["creation_date"]).tzinfo


def test_the_dataset_goes_through_netcdf_and_zarr(states, tmp_path):
    states.to_netcdf(tmp_path / "states.nc")
    with xr.open_dataset(tmp_path / "states.nc") as back:
        xr.testing.assert_identical(back.load(), states)
    states.to_zarr(tmp_path / "states.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "states.zarr", consolidated=False, chunks=None)
    xr.testing.assert_equal(back, states)


def test_the_names_of_diffusers(pipeline, states):
    own = pipeline(generator=generators(3), num_inference_steps=4)
    xr.testing.assert_equal(own, states)
    assert "seed" not in own.attrs

    def one():
        return torch.Generator().manual_seed(5)

    first, again = (pipeline(members=2, generator=one(), steps=2) for _ in range(2))
    xr.testing.assert_equal(first, again)
    assert abs(first.thetao[0] - first.thetao[1]).max() > 0.1


def test_without_a_seed_the_dataset_tells_which_was_taken(pipeline):
    first, second = pipeline(steps=2), pipeline(steps=2)
    assert first.sizes["member"] == 1
    assert first.attrs["seed"] != second.attrs["seed"]
    again = pipeline(seed=first.attrs["seed"], steps=2)
    xr.testing.assert_equal(again, first)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seed": 0, "generator": torch.Generator()}, "a seed and a generator: give one"),
        ({"steps": 2, "num_inference_steps": 3}, "num_inference_steps is 3"),
        ({"num_inference_steps": 0}, "steps is 0: give a whole number"),
        ({"members": 0}, "members is 0"),
        ({"members": 2, "generator": [torch.Generator()]}, "number of states is not clear"),
        ({"generator": []}, "length of generator is 0"),
        ({"generator": [3]}, "something else than generators"),
        ({"guidance_scale": 7.5}, "no guidance_scale: .* give guided=False"),
        ({"batch_size": 4}, "give members"),
        ({"output_type": "np"}, "xarray.Dataset"),
        ({"member": 4}, "did you mean members"),
        ({"at_once": 0}, "at_once is 0"),
        ({"at": {"gm": 900}}, "the model has no conditions"),
        ({"steps": 2000}, "does not support 2000 steps"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(pipeline, arguments, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        pipeline(**arguments)
    assert "\n" not in str(error.value)


def test_states_that_are_no_sea_water_are_refused(pipeline, monkeypatch):
    draw = StatePipeline.draw

    def boiling(self, **options):
        output = draw(self, **options)
        output.state.temperature[0, 0, 5, 5] = 90.0
        return output

    monkeypatch.setattr(StatePipeline, "draw", boiling)
    with pytest.raises(UserError, match="take more steps"):
        pipeline(seed=0, steps=2)


def test_a_pipeline_without_a_folder_says_that_it_knows_no_guidance(trained, pipeline):
    bare = trained.pipeline_around(pipeline.unet, pipeline.codec)
    with pytest.raises(UserError, match=r"set pipeline\.origin"):
        bare(seed=0, steps=2)
    off = GuidanceSettings(enabled=False, adjust=False)
    bare.origin = Origin("bare", off, trained.climatology)
    bare.set_progress_bar_config(disable=True)
    dataset = bare(seed=0, steps=2)
    assert dataset.attrs["guidance"] == "none"
    assert "convective_adjustment" not in dataset.attrs


def test_a_folder_without_its_configuration_says_so(trained, pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    loaded = StatePipeline.from_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match=r"has no experiment\.yaml"):
        loaded(seed=0)
    assert "not stated" in repr(loaded)


@pytest.fixture(scope="module")
def at_conditions(conditional):
    loaded = StatePipeline.from_pretrained(conditional.model_folder)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_states_carry_their_conditions(conditional, at_conditions, tmp_path):
    at = {"gm": [600.0, 900.0], "season": 0.25}
    dataset = at_conditions(at=at, seed=1)
    assert dataset.sizes["member"] == 2
    np.testing.assert_array_equal(dataset.gm, [600.0, 900.0])
    np.testing.assert_array_equal(dataset.season, [0.25, 0.25])
    assert np.isinf(dataset.age).all()
    assert dataset.gm.dims == ("member",) and "gm" in dataset.thetao.coords
    dataset.to_netcdf(tmp_path / "states.nc")
    with xr.open_dataset(tmp_path / "states.nc") as back:
        xr.testing.assert_identical(back.load(), dataset)


def test_conditions_are_those_of_the_sampling_stage_and_of_draw(
    conditional, at_conditions, tmp_path
):
    path = tmp_path / "states.zarr"
    sample(conditional, output=path, at=["gm=900"])
    expected = open_archive(path)
    # The stage draws two at a time.
    dataset = at_conditions(members=3, seed=0, at={"gm": 900}, at_once=2)
    xr.testing.assert_equal(dataset, expected)
    noise = generators(2, seed=4)
    output = at_conditions.draw(
        generators=generators(2, seed=4), guide=conditional.guide(at_conditions.codec)
    )
    drawn = at_conditions(generator=noise, adjusted=False)
    assert same(drawn, output.state)
    np.testing.assert_array_equal(drawn.gm, output.conditions.values["gm"])
    assert drawn.gm.attrs["units"] == "m2 s-1" and drawn.age.attrs["units"] == "year"


def test_conditions_that_make_no_sense_are_refused(at_conditions):
    for at, sentence in (
        ({"gm": 9000.0}, "outside the range"),
        ({"wind": 1.0}, "does not know wind"),
        ({"gm": "a lot"}, "give a number"),
        ({"gm": [600.0, 700.0, 800.0]}, "number of states is not clear"),
    ):
        with pytest.raises(UserError, match=sentence):
            at_conditions(members=2, seed=0, at=at)


def test_the_pipeline_introduces_itself(pipeline, at_conditions):
    lines = repr(pipeline).splitlines()
    assert lines[0] == "Halocline StatePipeline" and len(lines) == 9
    for word in ("tiny", "thetao", "12 lat x 8 lon", "periodic in x", "5, from 10 to 2000 m"):
        assert word in repr(pipeline), word
    for word in ("DPMSolverMultistepScheduler, 4 steps", "nearest_stable_state", "adjusted"):
        assert word in repr(pipeline), word
    assert "gm 500 to 1000 m2 s-1; season 0 to 1; age" in repr(at_conditions)


def test_the_table_for_notebooks_is_escaped(trained):
    named = trained.pipeline()
    named.origin = Origin("<script>", trained.settings.guidance, trained.climatology)
    table = named._repr_html_()
    assert "&lt;script&gt;" in table and "<script>" not in table
    assert table.count("<tr>") == 8


CUSTOM = """
import socket, sys
socket.socket.connect = lambda *_: sys.exit("a network connection")
import torch
torch.load = lambda *_, **__: sys.exit("a pickle")
from diffusers import DiffusionPipeline
folder = sys.argv[1]
if len(sys.argv) > 2:
    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder)
pipeline = DiffusionPipeline.from_pretrained(
    folder, custom_pipeline=folder, trust_remote_code=True
)
pipeline.set_progress_bar_config(disable=True)
print(type(pipeline).__name__, float(pipeline(members=1, seed=0, steps=4).thetao.sum()))
"""


def test_diffusers_loads_the_folder_with_its_own_import(
    trained, states, launch_environment, tmp_path
):
    """In a process of its own, which neither imports Halocline first nor asks the network."""
    assert "pipeline.py" in json.loads((trained.model_folder / CHECKSUMS).read_text())
    environment = launch_environment | {"HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", CUSTOM, str(trained.model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    name, total = done.stdout.split()
    assert name == "StatePipeline"
    assert float(total) == pytest.approx(float(states.thetao[:1].sum()), rel=1e-6)
    refused = subprocess.run(
        [*command, "untrusted"],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert "trust_remote_code=True" in refused.stderr


@pytest.mark.parametrize("adjusted", ["true", "false"])
def test_a_netcdf_file_holds_what_the_archive_holds(trained, tmp_path, adjusted):
    settings = trained.settings.guidance.model_copy(update={"adjust": adjusted == "true"})
    run = trained.with_settings(guidance=settings)
    for name in ("states.zarr", "states.nc"):
        sample(run, output=tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["states.nc", "states.zarr"]
    with xr.open_dataset(tmp_path / "states.nc") as written:
        expected = open_archive(tmp_path / "states.zarr")
        xr.testing.assert_equal(written.load(), expected)
        assert written.thetao.attrs == expected.thetao.attrs
        assert written.attrs["seed"] == 0 and written.attrs["Conventions"] == "CF-1.11"
        assert ("convective_adjustment" in written.attrs) == (adjusted == "true")
    before = (tmp_path / "states.nc").stat().st_mtime_ns
    sample(run, output=tmp_path / "states.nc")
    assert (tmp_path / "states.nc").stat().st_mtime_ns == before, "it is not drawn again"


def test_outputs_of_other_kinds_are_refused_before_anything_is_drawn(trained, tmp_path):
    for name in ("states.h5", "states", "states.zip"):
        with pytest.raises(UserError, match=r"must end in \.zarr"):
            sample(trained, output=tmp_path / name)
    (tmp_path / "mine.nc").write_bytes(b"not NetCDF")
    with pytest.raises(UserError, match=r"mine\.nc cannot be read"):
        sample(trained, output=tmp_path / "mine.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(UserError, match="was not sampled from a model"):
        sample(trained, output=tmp_path / "other.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.nc", "other.nc"]
