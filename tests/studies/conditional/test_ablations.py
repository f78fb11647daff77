"""Other ways to draw at given conditions, and how they are judged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from data.archive.reader import StateArchive
from latent_diffusion import sample
from latent_diffusion.denoiser import Denoiser
from latent_diffusion.latents import latent_datasets
from studies.conditional import draws
from studies.conditional.ablations import ABLATION_LABELS, END_TO_END, run
from studies.conditional.end_to_end import whole_latents
from studies.conditional.strengthened import StrengthenedDenoiser, StrengthenedPipeline
from studies.conditional.tables import conditional_table


@pytest.fixture(scope="module")
def result(conditional, tmp_path_factory):
    """The result of the tiny run, with few draws, and the file that it is written to."""
    path = tmp_path_factory.mktemp("study") / "result.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "FEWEST", 8)
        run(conditional, output=path)
    return json.loads(path.read_text()), path


@pytest.fixture
def denoisers(conditional):
    """The denoiser of the tiny run, and made ones of given strengths."""
    pipeline = conditional.pipeline()
    parts = (pipeline.unet, pipeline.gaussian, pipeline.codec.static_maps, pipeline.embedding)
    return Denoiser(*parts), lambda s: StrengthenedDenoiser(*parts, strength=s)


@torch.no_grad()
def test_strength_multiplies_the_effect_of_the_conditions(denoisers, conditional):
    plain, strengthened = denoisers
    pipeline = conditional.pipeline()
    noisy = torch.randn(3, *pipeline.codec.latent_shape)
    features = torch.randn(3, pipeline.expectation.space.size)
    level = {"signal": 0.6, "noise": 0.8}
    known = plain(noisy, 500, features=features, **level)
    unknown = plain(noisy, 500, **level)
    assert not torch.allclose(known, unknown)
    for strength, expected in ((1.0, known), (0.0, unknown), (3.0, 3 * known - 2 * unknown)):
        found = strengthened(strength)(noisy, 500, features=features, **level)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_strengthened_pipeline_draws_other_states_of_the_same_noise(conditional):
    pipeline = conditional.pipeline()
    conditions = conditional.test_conditions.at(range(2))

    def drawn(one):
        generators = [torch.Generator().manual_seed(k) for k in range(2)]
        return one.draw(generators=generators, conditions=conditions).latents

    same, other = (StrengthenedPipeline.around(pipeline, strength=s) for s in (1.0, 3.0))
    own = drawn(pipeline)
    torch.testing.assert_close(drawn(same), own, atol=1e-4, rtol=1e-3)
    assert float((drawn(other) - own).abs().max()) > 1e-3


def test_whole_latents_are_about_one_mean_whatever_the_conditions(conditional):
    codec, archive = conditional.codec(), conditional.archive
    path = conditional.directory / "diffusion" / "latents.safetensors"
    data = whole_latents(
        latent_datasets(codec, archive, path=path),
        archive,
        conditional.settings.conditions,
        weight=codec.latent_weight,
    )
    expected = data.expectation.mean(conditional.test_conditions)
    assert torch.equal(expected[0], expected[-1])
    generators = [torch.Generator().manual_seed(k) for k in range(len(expected))]
    drawn = data.expectation.draw(conditional.test_conditions, generators)
    torch.testing.assert_close(drawn, expected)
    means = torch.stack(
        [data.residuals["train"][k][0][0] for k in range(len(archive.indices("train")))]
    )
    assert float(means.mean(dim=0).abs().max()) < 1e-4
    features = torch.stack([data.samples["train"][k][0].features for k in (0, len(means) - 1)])
    assert not torch.equal(features[0], features[1])


def test_alternatives_are_judged_like_the_product(result, conditional):
    content = result[0]
    assert set(content["members"]["member 4"]) == set(ABLATION_LABELS)
    errors = content["summary"]["test"]["median"]
    assert errors["truth"]["rmse_temperature"] == 0
    assert all(np.isfinite(errors[row]["rmse_temperature"]) for row in ABLATION_LABELS)
    assert errors[END_TO_END]["density_error_percent"] == 0  # adjusted
    table = conditional_table(content, "variance")
    assert (
        "| end to end | " in table and "| end to end, conditions strengthened 3 times | " in table
    )


def test_training_and_drawing_are_not_repeated(result, conditional, monkeypatch):
    monkeypatch.setattr(draws, "FEWEST", 8)
    monkeypatch.setattr(sample, "_draw_parts", lambda *_, **__: pytest.fail("drawn again"))
    before = (conditional.directory / "ablations" / "model" / "stage.json").stat().st_mtime_ns
    run(conditional, output=result[1].with_name("again.json"))
    after = (conditional.directory / "ablations" / "model" / "stage.json").stat().st_mtime_ns
    assert before == after
    folder = conditional.directory / "ablations"
    assert len(StateArchive.open(folder / f"{END_TO_END}.zarr")) == 80
