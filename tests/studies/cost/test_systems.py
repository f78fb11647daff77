"""The systems of the benchmark: each is the experiment with what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs import load_experiment
from configs.loading import read_experiment
from configs.schema import BenchmarkSettings, GuidanceSettings
from data.errors import UserError
from studies.cost.systems import (
    DATA_SPACE,
    LATENT,
    SEED_PAPER,
    seed_paper_guidance,
    synthetic_archive,
    systems_of,
)

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
GRID = BenchmarkSettings(grid=(5, 16, 16))


@pytest.fixture
def experiment(tiny_experiment):
    return tiny_experiment().model_copy(update={"benchmark": GRID})


def test_data_space_has_no_autoencoder_and_the_seed_paper_a_thousand_steps(experiment):
    systems = systems_of(experiment)
    assert systems[LATENT] == experiment
    for name in (DATA_SPACE, SEED_PAPER):
        assert systems[name].autoencoder.kind == "identity"
        assert systems[name].diffusion.channels == (64, 64, 128, 128)
    assert systems[DATA_SPACE].sampling == experiment.sampling
    assert systems[DATA_SPACE].guidance == experiment.guidance
    assert systems[SEED_PAPER].sampling.steps == 1000
    assert systems[SEED_PAPER].sampling.scheduler == "DDPMScheduler"


def test_variants_are_systems_beside_the_experiments_own(experiment):
    variants = {"in 2 steps": {"sampling": {"steps": 2}}, "wide": {"diffusion": {"channels": [16]}}}
    benchmark = GRID.model_copy(update={"variants": variants})
    systems = systems_of(experiment.model_copy(update={"benchmark": benchmark}))
    names = [LATENT, "latent, in 2 steps", "latent, wide", DATA_SPACE, SEED_PAPER]
    assert list(systems) == names
    assert systems["latent, in 2 steps"].sampling.steps == 2
    assert systems["latent, in 2 steps"].diffusion == experiment.diffusion
    assert systems["latent, wide"].diffusion.channels == (16,)


def test_a_variant_that_is_no_experiment_is_refused(experiment):
    benchmark = GRID.model_copy(update={"variants": {"odd": {"sampling": {"paces": 2}}}})
    with pytest.raises(UserError, match=r"benchmark\.variants\.odd.*paces"):
        systems_of(experiment.model_copy(update={"benchmark": benchmark}))


@pytest.mark.parametrize("name", ["dino_quarter", "dino_1deg"])
def test_the_variants_of_the_shipped_configurations_are_experiments(name):
    systems = systems_of(load_experiment(CONFIGS / f"{name}.yaml"))
    coarse = systems["latent, patches of 8, in 4 steps"]
    assert (coarse.autoencoder.patch, coarse.sampling.steps) == (8, 4)


def test_the_seed_papers_guidance_is_the_same_wherever_it_is_used(experiment):
    guidance = seed_paper_guidance()
    assert guidance.acts_on == "noisy_sample"
    assert systems_of(experiment)[SEED_PAPER].guidance == guidance
    methods = read_experiment(CONFIGS / "studies" / "methods" / "guidance.yaml")
    method = GuidanceSettings.model_validate(methods["mean_profile"]["guidance"])
    # A study of guidance judges its states both as drawn and adjusted.
    assert method.model_copy(update={"adjust": False}) == guidance


def test_a_missing_archive_without_a_grid_is_reported_in_one_sentence(experiment, tmp_path):
    data = experiment.data.model_copy(update={"archive": tmp_path / "no.zarr"})
    nowhere = experiment.model_copy(update={"data": data, "benchmark": None})
    with pytest.raises(
        UserError, match=r"no\.zarr, which defines the grid .* does not exist; create it, or"
    ):
        synthetic_archive(nowhere)
