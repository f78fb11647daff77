"""The benchmark: what it times is the chain, for each system as it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from configs import load_experiment
from configs.schema import BenchmarkSettings
from data.errors import UserError
from guidance.guide import EstimateGuide
from latent_diffusion.sample import member_generator
from studies.cost.benchmark import (
    DATA_SPACE,
    GUIDED,
    LATENT,
    SEED_PAPER,
    UNGUIDED,
    Chain,
    benchmark_grid,
    chains_of,
    main,
    synthetic_archive,
    systems_of,
)

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
GRID = BenchmarkSettings(grid=(5, 16, 16))


@pytest.fixture
def experiment(tiny_experiment):
    return tiny_experiment().model_copy(update={"benchmark": GRID})


@pytest.fixture
def chains(experiment):
    """Chains of the tiny experiment by how they are guided."""
    return chains_of(experiment, synthetic_archive(experiment), "cpu")


def _result(cells: int) -> dict:
    cost = {"seconds": 1.0, "memory_MB": 2.0, "states_per_second": 3.0}
    return {"cells": cells, "systems": {LATENT: {UNGUIDED: cost, GUIDED: cost}}}


def _gflop(call) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize("how", [UNGUIDED, GUIDED])
def test_the_pieces_of_a_chain_make_up_the_chain(chains, how):
    chain: Chain = chains[how]
    parts = [(piece.count, _gflop(piece.call)) for piece in chain.pieces()]
    whole = _gflop(
        lambda: chain.pipeline(
            generators=[member_generator(0, 0)], steps=chain.steps, guide=chain.guide
        )
    )
    assert sum(count * gflop for count, gflop in parts) == pytest.approx(whole)


def test_steps_that_are_guided_alike_are_timed_once(chains):
    assert chains[UNGUIDED].steps_alike() == {0: chains[UNGUIDED].steps}
    chain = chains[GUIDED]
    assert isinstance(chain.guide, EstimateGuide)
    alike = chain.steps_alike()
    assert sum(alike.values()) == chain.steps
    # Unguided, pulled to the nearest stable state, and the last step, apart.
    assert len(alike) == 3
    assert chain.guided_steps == chain.steps - alike[0]


def test_a_step_on_its_own_is_the_one_of_the_chain(chains):
    chain = chains[UNGUIDED]
    first = next(iter(chain.pieces())).call()
    again = next(iter(chain.pieces())).call()
    assert isinstance(first, torch.Tensor)
    assert torch.equal(first, again)


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
    told = GRID.model_copy(update={"variants": variants})
    systems = systems_of(experiment.model_copy(update={"benchmark": told}))
    names = [LATENT, "latent, in 2 steps", "latent, wide", DATA_SPACE, SEED_PAPER]
    assert list(systems) == names
    assert systems["latent, in 2 steps"].sampling.steps == 2
    assert systems["latent, in 2 steps"].diffusion == experiment.diffusion
    assert systems["latent, wide"].diffusion.channels == (16,)


def test_a_variant_that_is_no_experiment_is_refused(experiment):
    told = GRID.model_copy(update={"variants": {"odd": {"sampling": {"paces": 2}}}})
    with pytest.raises(UserError, match=r"benchmark\.variants\.odd.*paces"):
        systems_of(experiment.model_copy(update={"benchmark": told}))


@pytest.mark.parametrize("name", ["dino_quarter", "dino_1deg"])
def test_the_variants_of_the_shipped_configurations_are_experiments(name):
    systems = systems_of(load_experiment(CONFIGS / f"{name}.yaml"))
    coarse = systems["latent, patches of 8, in 4 steps"]
    assert (coarse.autoencoder.patch, coarse.sampling.steps) == (8, 4)


def test_every_system_has_its_costs(experiment, monkeypatch):
    monkeypatch.setattr("studies.cost.benchmark.DATA_SPACE_CHANNELS", (8, 8))
    monkeypatch.setattr("studies.cost.benchmark.BATCHES", (1, 2))
    result = benchmark_grid(experiment, repeats=2, training_steps=1, device="cpu")
    assert result["cells"] == 5 * 16 * 16
    for name, system in result["systems"].items():
        for how in (UNGUIDED, GUIDED):
            cost = system[how]
            assert 0 < cost["seconds_lowest"] <= cost["seconds"] <= cost["seconds_highest"], name
            assert cost["states_per_second"] > 0
            assert (cost["guided_steps"] > 0) == (how == GUIDED)
    seed_paper = result["systems"][SEED_PAPER]
    assert seed_paper[GUIDED]["guided_steps"] == seed_paper[GUIDED]["steps"] == 1000
    assert set(result["systems"][LATENT]["training"]) == {"autoencoder", "diffusion"}
    assert set(result["systems"][DATA_SPACE]["training"]) == {"diffusion"}


def test_an_experiment_without_archive_or_grid_is_told_what_to_do(experiment, tmp_path):
    data = experiment.data.model_copy(update={"archive": tmp_path / "no.zarr"})
    nowhere = experiment.model_copy(update={"data": data, "benchmark": None})
    with pytest.raises(UserError, match=r"no\.zarr, whose grid .* does not exist; make it, or"):
        synthetic_archive(nowhere)


def test_the_command_adds_to_what_its_file_holds(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.cost.benchmark.benchmark_grid", lambda *_, **__: _result(1))
    output = tmp_path / "costs.json"
    output.write_text(json.dumps({"benchmarks": {"other": _result(2)}}))
    main([str(tiny_config), "--benchmark.grid", "[5, 16, 16]", "--output", str(output)])
    held = json.loads(output.read_text())["benchmarks"]
    assert held.pop("other") == _result(2)
    ((name, result),) = held.items()
    assert name.endswith(" 5x16x16")
    assert (result["cells"], result["device"]) == (1, "CPU")
    assert output.with_suffix(".png").is_file()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--repeats", "0", "give at least 1 round"),
        ("--device", "cuda", "there is no GPU here"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(
    option, value, sentence, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    output = tmp_path / "costs.json"
    with pytest.raises(SystemExit) as caught:
        main([str(tiny_config), option, value, "--output", str(output)])
    assert sentence in str(caught.value)
    assert not output.exists()
