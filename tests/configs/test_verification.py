"""`halocline verify`: what is whole, what is damaged, and what cannot be known."""

from __future__ import annotations

import shutil

import pytest

from configs.stages import sample
from configs.verification import UNKNOWN, products, verify
from data.checksums import CHECKSUMS
from data.errors import UserError
from halocline import main


@pytest.fixture
def run_directory(trained, tmp_path):
    """A copy of a trained run with an ensemble."""
    directory = tmp_path / "run"
    shutil.copytree(trained.directory, directory)
    sample(trained, output=directory / "samples" / "states.zarr")
    return directory


def test_every_product_of_a_run_is_found_and_whole(run_directory, capsys):
    main(["verify", str(run_directory)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{run_directory}/") for line in lines] == [
        "autoencoder/checkpoint-000000008: whole",
        "autoencoder/checkpoint-000000016: whole",
        "autoencoder/codec: whole",
        "diffusion/checkpoint-000000008: whole",
        "diffusion/checkpoint-000000016: whole",
        "diffusion/latents.safetensors: whole",
        "model: whole",
        "samples/states.zarr: whole",
    ]


def test_a_damaged_product_ends_the_command_with_a_sentence(run_directory, capsys):
    weights = run_directory / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-100] ^= 4
    weights.write_bytes(damaged)
    with pytest.raises(SystemExit, match=r"1 of 8 products at .* are damaged"):
        main(["verify", str(run_directory)])
    assert "diffusion_pytorch_model.safetensors does not match" in capsys.readouterr().out


def test_a_flipped_bit_in_any_product_is_found(run_directory, flip_bits):
    for product in products(run_directory):
        for file in flip_bits(product, times=8):
            if product.suffix != ".zarr" and file.suffix != ".md":
                with pytest.raises(UserError, match="damaged"):
                    verify(product)
    verify(run_directory)


def test_an_archive_alone(tiny_archive, capsys):
    main(["verify", str(tiny_archive)])
    assert capsys.readouterr().out == f"{tiny_archive}: whole\n"


def test_a_model_without_checksums_is_neither_whole_nor_damaged(run_directory, capsys):
    (run_directory / "model" / CHECKSUMS).unlink()
    verify(run_directory / "model")
    assert UNKNOWN in capsys.readouterr().out


def test_nothing_to_verify(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="holds nothing to verify"):
            verify(path)
