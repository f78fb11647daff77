"""A stage's product stands only if it is whole and made with these settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from data.errors import UserError
from training.records import Record
from training.stage import Stage, differing_settings, unknown_settings

RECORD: Record = {"channels": (8, 16), "archive": Path("states.zarr")}


@pytest.fixture
def stage(tmp_path):
    return Stage(directory=tmp_path, product=tmp_path / "codec", record=RECORD)


def _write(text: str):
    return lambda folder: (folder / "weights").write_text(text)


def test_a_product_is_done_for_its_settings_alone(stage):
    assert not stage.is_done
    stage.publish(_write("first"))
    assert stage.is_done
    assert not replace(stage, record={**RECORD, "channels": (8, 8)}).is_done


def test_an_interrupted_stage_leaves_the_former_product(stage):
    stage.publish(_write("first"))

    def interrupted(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt

    other = replace(stage, record={"channels": 1})
    with pytest.raises(KeyboardInterrupt):
        other.publish(interrupted)
    assert stage.is_done
    assert (stage.product / "weights").read_text() == "first"
    stage.publish(_write("second"))
    assert (stage.product / "weights").read_text() == "second"


def test_differing_settings_are_named_with_their_sections(stage):
    losses = {"kl": 1.0, "spectral": 0.1}
    made = replace(stage, record={"autoencoder": {"patch": 4, "blocks": 2, "losses": losses}})
    made.publish(_write("first"))
    now = {"autoencoder": {"patch": 2, "blocks": 2, "losses": {"kl": 1.0}}, "distillation": None}
    assert differing_settings(stage.product, now) == [
        "autoencoder.patch",
        "autoencoder.losses.spectral",
    ]
    assert differing_settings(stage.product, made.record | {"diffusion": {"blocks": 2}}) == [
        "diffusion"
    ]


def test_settings_of_an_earlier_version_are_named(stage):
    former = replace(stage, record={"autoencoder": {"patch": 4, "shortcuts": True}, "version": 1})
    former.publish(_write("first"))
    assert unknown_settings(stage.product, {"autoencoder": {"patch": 2}}) == ["shortcuts"]
    assert unknown_settings(stage.product, {"autoencoder": {"patch": 2, "shortcuts": False}}) == []
    assert unknown_settings(stage.product.parent, {"autoencoder": {}}) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_network_with_a_number_that_is_not_finite_is_no_product(stage, number):
    def write(folder: Path) -> None:
        (folder / "unet").mkdir()
        save_file({"weight": torch.tensor([1.0, number])}, folder / "unet" / "w.safetensors")

    with pytest.raises(UserError, match=r"unet/w\.safetensors of .*codec would hold numbers"):
        stage.publish(write)
    assert not stage.product.exists()
