"""Studies of designs: what is shipped loads, and variants are complete experiments."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from studies.compression.settings import load_compression_study

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = CONFIGS / "studies" / "compression_eddying_channel.yaml"


@pytest.fixture
def write_study(tiny_config, tmp_path):
    """Writes a study of the tiny experiment with the given variants; returns its path."""

    def write(variants, **settings):
        path = tmp_path / "compression_tiny.yaml"
        path.write_text(yaml.safe_dump({"base": tiny_config.name, "variants": variants} | settings))
        return path

    return write


def test_the_shipped_study_compares_at_equal_training():
    variants = load_compression_study(SHIPPED).variants
    assert 6 <= len(variants) <= 8
    assert len({experiment.run_directory for experiment in variants.values()}) == len(variants)
    designs = {name: v for name, v in variants.items() if name.startswith("compression")}
    numbers = {
        name: v.autoencoder.latent_channels / v.autoencoder.factor**2 for name, v in designs.items()
    }
    # Half the compression: twice as many numbers for each column.
    assert numbers["compression_8"] == 2 * numbers["compression_16"]
    assert numbers["compression_16"] == 2 * numbers["compression_32"]
    assert numbers["compression_8"] / numbers["compression_8_patch_2"] == 60 / 64
    plans = {
        (v.autoencoder.training.samples, v.diffusion.training.samples)
        for name, v in designs.items()
        if not name.endswith("longer")
    }
    assert len(plans) == 1
    longer, base = variants["compression_32_longer"], load_compression_study(SHIPPED).base
    assert longer.autoencoder == base.autoencoder  # the shipped experiment itself
    assert longer.diffusion == base.diffusion
    assert variants["data_space"].autoencoder.kind == "identity"
    assert variants["data_space"].diffusion.channels == (64, 64, 128, 128)


def test_a_shipped_study_differs_in_one_stage_alone():
    study = load_compression_study(CONFIGS / "studies" / "compression_one_more_stage.yaml")
    shipped, longer = study.variants["as_shipped"], study.variants["one_more_stage"]
    assert shipped.diffusion.channels == study.base.diffusion.channels
    # As `DiffusionSettings.widths_on` appends it.
    widths = (*shipped.diffusion.channels, shipped.diffusion.channels[-1])
    assert longer.diffusion == shipped.diffusion.model_copy(update={"channels": widths})
    assert longer.autoencoder == shipped.autoencoder
    assert shipped.diffusion.training.samples == 12000


def test_common_settings_hold_for_all_variants_and_yield_to_their_own(write_study):
    common = {"autoencoder": {"blocks": 2, "latent_channels": 8}}
    variants = {"plain": {}, "narrow": {"autoencoder": {"latent_channels": 2}}}
    study = load_compression_study(write_study(variants, common=common))
    plain, narrow = study.variants["plain"].autoencoder, study.variants["narrow"].autoencoder
    assert (plain.blocks, plain.latent_channels) == (2, 8)
    assert (narrow.blocks, narrow.latent_channels) == (2, 2)
    assert study.base.autoencoder.blocks == 1


def test_a_variant_may_have_another_base(write_study, tiny_config, tmp_path):
    other = yaml.safe_load(tiny_config.read_text())
    other["autoencoder"] |= {"kind": "identity"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    variants = {"plain": {}, "pixels": {"base": "other.yaml", "diffusion": {"blocks": 2}}}
    study = load_compression_study(write_study(variants))
    assert study.variants["plain"].autoencoder.kind == "vae"
    assert study.variants["pixels"].autoencoder.kind == "identity"
    assert study.variants["pixels"].diffusion.blocks == 2
    assert study.variants["pixels"].run_directory == study.directory / "pixels"


def test_a_first_pass_is_shorter_and_elsewhere(write_study):
    path = write_study({"plain": {}})
    whole = load_compression_study(path)
    part = load_compression_study(path, ["--training_share", "0.6"])
    for stage in ("autoencoder", "diffusion"):
        plans = [getattr(study.variants["plain"], stage).training for study in (whole, part)]
        assert [plan.samples for plan in plans] == [16, 8]  # 9.6 are 2 batches of 4
        assert [plan.warmup_samples for plan in plans] == [4, 2]
    assert part.directory != whole.directory
    assert part.variants["plain"].run_directory.parent == part.directory


@pytest.mark.parametrize(
    ("variants", "settings", "message"),
    [
        (
            {"plain": {"autoencoder": {"chanels": [8]}}},
            {},
            "variant plain: autoencoder.chanels: no such key; .* autoencoder.channels",
        ),
        ({"plain": {"base": "absent.yaml"}}, {}, "no configuration .*absent.yaml"),
        ({"plain": {"data": {"archive": "else.zarr"}}}, {}, "plain: its section data differs"),
        ({"plain": {}}, {"training_share": 2}, "training_share"),
        (
            {"plain": {}},
            {"common": {"diffusion": {"depth": 3}}},
            "diffusion.depth: no such key; `halocline schema` prints",
        ),
        ({}, {}, "variants"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named(write_study, variants, settings, message):
    with pytest.raises(UserError, match=message):
        load_compression_study(write_study(variants, **settings))
