"""Model folders from anywhere: a damaged or hostile one ends in one sentence, and runs nothing."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.checksums import CHECKSUMS
from data.errors import UserError
from guidance.climatology import saved_climatology
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import origin_of_model
from latent_diffusion.pipeline import StatePipeline

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(trained, tmp_path) -> Path:
    """A copy of a trained model whose checksums were removed, as by who changes it."""
    shutil.copytree(trained.model_folder, tmp_path / "model")
    (tmp_path / "model" / CHECKSUMS).unlink()
    return tmp_path / "model"


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_weights(path: Path, name: str, function) -> None:
    tensors = load_file(path)
    tensors[name] = function(tensors[name]).contiguous()
    save_file(tensors, path)


def refused(model: Path, *words: str) -> None:
    with pytest.raises(UserError) as error:
        StatePipeline.from_pretrained(model)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and len(sentence) < 600


@pytest.mark.parametrize(
    ("component", "declared"),
    [
        ("unet", ["os", "system"]),
        ("unet", ["diffusers", "UNet2DConditionModel"]),
        ("codec", ["mischief", "VolumeCodec"]),
        ("codec", [["a"], {"b": 1}]),
        ("scheduler", ["diffusers", "FlowMatchEulerDiscreteScheduler"]),
        ("scheduler", ["builtins", "eval"]),
        ("gaussian", [None, None]),
        ("expectation", ["subprocess", "Popen"]),
    ],
)
def test_classes_are_checked_before_anything_is_imported(
    model, component, declared, monkeypatch, tmp_path
):
    (tmp_path / "mischief.py").write_text("raise SystemExit('imported')")
    (model / "codec" / "mischief.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    change(model / "model_index.json", **{component: declared})
    refused(model, "model_index.json", component)


def test_a_pipeline_of_another_class_is_refused(model):
    change(model / "model_index.json", _class_name=["pipeline", "Mischief"])
    (model / "pipeline.py").write_text("raise SystemExit('imported')")
    refused(model, "expected a StatePipeline")


@pytest.mark.parametrize(
    "name",
    [f"{part}/{WEIGHTS}" for part in ("unet", "gaussian", "codec")]
    + ["unet/config.json", "scheduler/scheduler_config.json", "model_index.json"],
)
def test_missing_cut_and_nonsensical_files_are_named(model, name):
    whole = (model / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"\xff" * 100, b"[" * 100_000, b'{"a": NaN}'):
        (model / name).write_bytes(damaged)
        refused(model, name.split("/")[0])
    (model / name).unlink()
    refused(model, name.split("/")[0])


def test_no_pickle_is_read_where_weights_are_missing(model):
    torch.save(load_file(model / "unet" / WEIGHTS), model / "unet" / "diffusion_pytorch_model.bin")
    (model / "unet" / WEIGHTS).unlink()
    refused(model, "unet", "no weights")


@pytest.mark.parametrize(
    ("component", "name", "function"),
    [
        ("unet", "conv_in.weight", lambda tensor: tensor[:, :1]),
        ("unet", "conv_in.weight", lambda tensor: tensor * torch.nan),
        ("codec", "statistics.std", lambda tensor: tensor * 0),
        ("codec", "statistics.mean", lambda tensor: tensor + torch.inf),
        ("codec", "latent_unit", lambda tensor: -tensor),
        ("gaussian", "remainder", lambda tensor: tensor - 10),
    ],
)
def test_wrong_shapes_and_numbers_are_refused(model, component, name, function):
    change_weights(model / component / WEIGHTS, name, function)
    refused(model, component, name)


def test_a_codec_that_claims_a_huge_ocean_takes_no_memory(model):
    config = json.loads((model / "codec" / "config.json").read_text())
    for claim in ({"levels": 10**6}, {"levels": 10**6, "rows": 10**6, "columns": 10**6}):
        change(model / "codec" / "config.json", ocean=config["ocean"] | claim)
        refused(model, "codec")
    change(
        model / "codec" / "config.json",
        ocean=config["ocean"],
        design=config["design"] | {"blocks": 10**9},
    )
    refused(model, "codec", "blocks 1000000000")


def test_parts_of_different_models_are_refused(model):
    config = json.loads((model / "gaussian" / "config.json").read_text())
    channels, rows, columns = config["latent_shape"]
    change(model / "gaussian" / "config.json", latent_shape=[channels, columns, rows])
    tensors = load_file(model / "gaussian" / WEIGHTS)
    tensors |= {
        name: tensors[name].transpose(-1, -2).contiguous() for name in ("means", "patterns")
    }
    save_file(tensors, model / "gaussian" / WEIGHTS)
    refused(model, "do not fit together")


@pytest.mark.parametrize(
    "options",
    [{"prediction_type": "epsilon"}, {"num_train_timesteps": 10**12}, {"beta_schedule": "linear"}],
)
def test_a_schedule_that_no_training_has_is_refused(model, options):
    change(model / "scheduler" / "scheduler_config.json", **options)
    refused(model, "scheduler_config.json", *options)


@pytest.mark.parametrize(
    "damage",
    [
        {"step_std": [float("nan")] * 4},
        {"step_std": [1.0]},
        {"density_std": [-1.0] * 5},
        {"tolerance": "none"},
        {"density": {"a": 1}},
    ],
)
def test_a_damaged_climatology_never_switches_guidance_off(model, damage):
    change(model / "climatology.json", **damage)
    with pytest.raises(UserError, match=r"climatology\.json"):
        saved_climatology(model)


def test_a_climatology_of_another_ocean_is_refused(model):
    saved = json.loads((model / "climatology.json").read_text())
    change(model / "climatology.json", **{name: values[:-1] for name, values in saved.items()})
    settings = (model / "experiment.yaml").read_text()
    terms = "guidance:\n  terms:\n  - density_steps: {}\n"
    (model / "experiment.yaml").write_text(settings.split("guidance:")[0] + terms)
    with pytest.raises(UserError, match="4 levels, but the codec 5"):
        origin_of_model(model).guide(StatePipeline.from_pretrained(model).codec)


@pytest.mark.parametrize("kind", [Path, str])
def test_a_folder_that_is_not_there_is_never_looked_up_on_the_network(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a network connection"))
    with pytest.raises(UserError, match="quickstart holds no model"):
        StatePipeline.from_pretrained(kind("quickstart"))


def test_a_released_model_holds_no_path_of_the_disk_it_was_made_on(trained):
    root = str(trained.directory.parents[1])
    for file in trained.model_folder.rglob("*"):
        assert not file.is_file() or root.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_network_only(trained, precision):
    def draw(pipeline):
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.draw(generators=[member_generator(0, 0)], steps=4).state.temperature

    folder = trained.model_folder
    full = draw(StatePipeline.from_pretrained(folder))
    loaded = StatePipeline.from_pretrained(folder, torch_dtype=precision)
    converted = StatePipeline.from_pretrained(folder).to(precision)
    assert loaded.unet.dtype == converted.unet.dtype == precision
    assert loaded.codec.grid_depth.dtype == torch.float64
    assert converted.gaussian.dtype == torch.float32
    torch.testing.assert_close(draw(loaded), full, atol=0.02, rtol=0)
    assert torch.equal(draw(loaded), draw(converted))


def test_the_expectation_of_a_half_precision_model_is_exact(conditional):
    full = StatePipeline.from_pretrained(conditional.model_folder)
    half = StatePipeline.from_pretrained(conditional.model_folder).to(torch.bfloat16)
    assert half.expectation.amplitudes.dtype == torch.float64
    conditions = full.expectation.unknown([member_generator(0, 0)])
    assert torch.equal(half.expectation.mean(conditions), full.expectation.mean(conditions))
    state = half.draw(generators=[member_generator(0, 0)], steps=4).state
    assert state.temperature.isfinite().all()
