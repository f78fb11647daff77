"""Damage to a folder is found before use."""

from __future__ import annotations

import pytest

from data.checksums import (
    CHECKSUMS,
    check_file,
    check_folder,
    write_checksums,
)
from data.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """A product of three files, one of them in a folder within."""
    made = tmp_path / "model"
    (made / "unet").mkdir(parents=True)
    (made / "unet" / "weights").write_bytes(bytes(range(200)))
    (made / "config.json").write_text('{"channels": [8, 16]}')
    (made / "README.md").write_text("# A model")
    write_checksums(made)
    return made


def test_a_sound_folder_may_gain_files_and_another_model_card(folder):
    (folder / "README.md").write_text("# My model")
    (folder / ".gitattributes").write_text("*.safetensors lfs")
    assert check_folder(folder)


def test_a_folder_of_an_earlier_version_has_no_checksums(folder):
    (folder / CHECKSUMS).unlink()
    assert not check_folder(folder)
    check_file(folder / "config.json")


def test_every_flipped_bit_is_found(folder, flip_bits):
    (folder / "README.md").unlink()
    for file in flip_bits(folder, times=60):
        with pytest.raises(UserError, match=r"damaged or was changed|cannot be read"):
            check_folder(folder)
        if file.name == "config.json":
            with pytest.raises(UserError, match=r"config.json does not match its checksum"):
                check_file(file)
    assert check_folder(folder)


def test_a_missing_file_is_named(folder):
    (folder / "unet" / "weights").unlink()
    with pytest.raises(UserError, match="unet/weights is missing"):
        check_folder(folder)
