"""Settings of studies of training terms."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from studies.terms.settings import Point, load_terms_study

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "studies" / "terms_quickstart.yaml"


def test_the_shipped_study_has_three_values_of_each_term():
    study = load_terms_study(SHIPPED)
    assert study.baseline == "baseline"
    assert len(study.points) == 3 * len(study.variants)
    assert [point.seed for point in study.points[: len(study.variants)]] == [1] * len(
        study.variants
    )
    assert study.directory.as_posix() == "runs/studies/terms_quickstart"
    assert study.points[0] == Point("baseline", 1)


def test_a_short_training_warms_up_less_and_validates_once():
    run = load_terms_study(SHIPPED).run(seed=7, autoencoder=1600, diffusion=32000)
    codec, denoiser = run.settings.autoencoder.training, run.settings.diffusion.training
    assert (codec.samples, codec.warmup_samples, codec.validation_samples) == (1600, 320, 1600)
    assert (denoiser.samples, denoiser.warmup_samples) == (32000, 1000)
    assert codec.seed == denoiser.seed == run.settings.sampling.seed == 7
    assert run.settings.sampling.members == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"a": {"censored": {"scale": 1}}}}, "exactly one variant has no term"),
        ({"variants": {"a": {}, "b": {}}}, "but 2 have none"),
        ({"seeds": [1, 1]}, "seeds must be distinct"),
        (
            {"variants": {"a": {}, "b": {"censor": {}}}},
            "variants.b.censor: no such key",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(tmp_path, changes, message):
    content = yaml.safe_load(SHIPPED.read_text()) | changes
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        load_terms_study(path)


def test_data_space_is_refused(tmp_path, tiny_config):
    settings = yaml.safe_load(tiny_config.read_text())
    settings["autoencoder"]["kind"] = "identity"
    tiny_config.write_text(yaml.safe_dump(settings))
    content = yaml.safe_load(SHIPPED.read_text()) | {"base": str(tiny_config)}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="need a trained decoder"):
        load_terms_study(tmp_path / "study.yaml")
