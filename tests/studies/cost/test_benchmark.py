"""The benchmark: what it times is the chain, for each system as it says."""

from __future__ import annotations

import json

import pytest

from configs.schema import BenchmarkSettings
from halocline import main
from studies.cost.benchmark import benchmark_grid
from studies.cost.chains import GUIDED, UNGUIDED
from studies.cost.systems import DATA_SPACE, LATENT, SEED_PAPER

GRID = BenchmarkSettings(grid=(5, 16, 16))
STUDY = ["study", "cost", "benchmark"]


@pytest.fixture
def experiment(tiny_experiment):
    return tiny_experiment().model_copy(update={"benchmark": GRID})


def _result(cells: int) -> dict:
    cost = {"seconds": 1.0, "memory_MB": 2.0, "states_per_second": 3.0}
    return {"cells": cells, "systems": {LATENT: {UNGUIDED: cost, GUIDED: cost}}}


def test_every_system_has_its_costs(experiment, monkeypatch):
    monkeypatch.setattr("studies.cost.systems.DATA_SPACE_CHANNELS", (8, 8))
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


def test_the_command_adds_to_what_its_file_holds(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.cost.benchmark.benchmark_grid", lambda *_, **__: _result(1))
    output = tmp_path / "costs.json"
    output.write_text(json.dumps({"benchmarks": {"other": _result(2)}}))
    words = ["--benchmark.grid", "[5, 16, 16]", "--output", str(output)]
    main([*STUDY, str(tiny_config), *words])
    held = json.loads(output.read_text())["benchmarks"]
    assert held.pop("other") == _result(2)
    ((name, result),) = held.items()
    assert name.endswith(" 5x16x16")
    assert (result["cells"], result["device"]) == (1, "CPU")
    assert output.with_suffix(".png").is_file()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--repeats", "0", "must be at least 1"),
        ("--device", "cuda", "needs a GPU, and none is available"),
    ],
)
def test_what_cannot_be_measured_is_reported_in_one_sentence(
    option, value, sentence, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    output = tmp_path / "costs.json"
    with pytest.raises(SystemExit) as caught:
        main([*STUDY, str(tiny_config), option, value, "--output", str(output)])
    assert sentence in str(caught.value)
    assert not output.exists()
