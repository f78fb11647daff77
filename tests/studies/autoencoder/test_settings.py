"""Studies: what is shipped loads with all its variants, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from configs.loading import merged
from data.errors import UserError
from studies.autoencoder.settings import load_study

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
OTHERS = ("guidance_", "compression_", "terms_")
SHIPPED = sorted(
    path for path in (CONFIGS / "studies").glob("*.yaml") if not path.stem.startswith(OTHERS)
)


@pytest.fixture
def study(tiny_config, tmp_path):
    """Writes a study of the tiny experiment with the given variants; returns its path."""

    def write(variants, **settings):
        path = tmp_path / "designs.yaml"
        content = {"base": tiny_config.name, "training_seconds": 1, "variants": variants}
        path.write_text(yaml.safe_dump(content | settings))
        return path

    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_loads(path):
    study = load_study(path)
    assert study.name == path.stem
    assert study.variants
    folders = {experiment.run_directory for experiment in study.variants.values()}
    assert len(folders) == len(study.variants)


def test_there_is_a_shipped_study():
    assert "eddying_channel" in {path.stem for path in SHIPPED}


def test_sections_are_merged_and_lists_replaced():
    base = {"a": {"b": 1, "c": {"d": [1, 2], "e": 3}}, "f": 4}
    changes = {"a": {"c": {"d": [5]}}, "f": {"g": 6}}
    assert merged(base, changes) == {"a": {"b": 1, "c": {"d": [5], "e": 3}}, "f": {"g": 6}}
    assert base["a"]["c"]["d"] == [1, 2]


def test_a_variant_differs_from_the_base_only_where_it_says_so(study):
    variants = {"plain": {}, "wide": {"autoencoder": {"channels": [16], "training": {"seed": 3}}}}
    loaded = load_study(study(variants))
    plain, wide = loaded.variants["plain"], loaded.variants["wide"]
    assert plain.autoencoder == loaded.base.autoencoder
    assert wide.autoencoder.channels == (16,)
    assert wide.autoencoder.training.seed == 3
    assert wide.autoencoder.training.batch_size == plain.autoencoder.training.batch_size
    assert wide.run_directory == loaded.directory / "wide"
    assert loaded.directory == loaded.base.run_directory.parent / "studies" / "designs"


def test_overrides_are_of_the_study(study):
    path = study({"plain": {}})
    words = ["--training_seconds", "7", "--variants.plain.autoencoder.blocks", "3"]
    loaded = load_study(path, words)
    assert loaded.settings.training_seconds == 7
    assert loaded.variants["plain"].autoencoder.blocks == 3


@pytest.mark.parametrize(
    ("variants", "settings", "message"),
    [
        (
            {"plain": {"autoencoder": {"chanels": [8]}}},
            {},
            "variant plain: autoencoder.chanels: no such key; .* autoencoder.channels",
        ),
        ({"plain": {"autoencoder": {"blocks": 0}}}, {}, "variant plain.*autoencoder.blocks"),
        ({"plain": {}}, {"training_minutes": 3}, "training_minutes: no such key"),
        ({"plain": {}}, {"training_seconds": 0}, "training_seconds"),
        ({"plain": {}}, {"cost_grid": [36, 800]}, "cost_grid"),
        ({"plain": {}}, {"base": "absent.yaml"}, "no configuration .*absent.yaml"),
        ({"../up": {}}, {}, "variants"),
        ({}, {}, "variants"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_named(study, variants, settings, message):
    with pytest.raises(UserError, match=message):
        load_study(study(variants, **settings))
