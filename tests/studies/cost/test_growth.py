"""Costs counted without numbers: the same as those of networks that have them."""

from __future__ import annotations

import json

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from configs.schema import BenchmarkSettings
from halocline import main
from studies.cost.chains import GUIDED, UNGUIDED
from studies.cost.codec import decode_gradient
from studies.cost.counting import LiveMemory, counted
from studies.cost.growth import costs_on, decode_some, guided_steps, meta_pipeline
from studies.cost.systems import DATA_SPACE, LATENT
from studies.cost.windows import window_cost

SHAPE = (5, 24, 16)


@pytest.fixture
def experiment(tiny_experiment):
    benchmark = BenchmarkSettings(grid=SHAPE, sea_level=True)
    return tiny_experiment().model_copy(update={"benchmark": benchmark})


def test_an_unguided_chain_costs_what_is_counted(experiment, chains, gflop):
    chain = chains[UNGUIDED]
    generators = [torch.Generator().manual_seed(0)]
    measured = gflop(lambda: chain.pipeline.draw(generators=generators, steps=chain.steps))
    assert costs_on(experiment, SHAPE)["gflop_unguided"] == pytest.approx(measured)


@pytest.mark.parametrize("strip_numbers", [2**18, 1])
def test_a_guided_chain_costs_a_gradient_more_in_each_guided_step(
    experiment, chains, monkeypatch, strip_numbers, gflop
):
    """In one strip, and in strips of one latent row each."""
    monkeypatch.setattr("autoencoder.strips.STRIP_NUMBERS", strip_numbers)
    chain = chains[GUIDED]
    pipeline = meta_pipeline(experiment, SHAPE)
    assert guided_steps(experiment, pipeline) == chain.guided_steps > 0
    codec = chain.pipeline.codec
    pull = gflop(lambda: decode_gradient(codec, torch.randn(1, *codec.latent_shape)))
    costs = costs_on(experiment, SHAPE)
    extra = costs["gflop_guided"] - costs["gflop_unguided"]
    assert extra == pytest.approx(chain.guided_steps * pull)
    assert costs["memory_guided_MB"] >= costs["memory_unguided_MB"]
    codec, latents = pipeline.codec, torch.zeros(1, *pipeline.codec.latent_shape, device="meta")
    with torch.no_grad(), LiveMemory() as memory:
        codec.decode(latents)
    assert costs["memory_decoding_MB"] == memory.peak / 1e6
    assert costs["memory_unguided_MB"] >= costs["memory_decoding_MB"]


@pytest.mark.parametrize("strip_numbers", [2**18, 2**11, 1])
def test_decoding_takes_the_memory_of_one_state_and_few_strips(
    experiment, monkeypatch, strip_numbers
):
    """In one strip, in four and in many."""
    monkeypatch.setattr("autoencoder.strips.STRIP_NUMBERS", strip_numbers)
    codec = meta_pipeline(experiment, (5, 48, 16)).codec
    latents = torch.zeros(1, *codec.latent_shape, device="meta")
    with torch.no_grad():
        with LiveMemory() as memory:
            codec.decode(latents)
        assert counted(lambda: decode_some(codec, latents))[1] == memory.peak / 1e6
    if strip_numbers == 1:
        assert memory.peak < 2 * codec.statistics.mean.nbytes


def test_checkpointing_takes_less_memory_and_more_operations(experiment):
    costs = costs_on(experiment, SHAPE)
    assert costs["diffusion_checkpointed_memory_MB"] < costs["diffusion_memory_MB"]
    ratio = costs["diffusion_checkpointed_gflop"] / costs["diffusion_gflop"]
    assert 1 < ratio < 4 / 3


def test_memory_is_not_that_of_counting_operations():
    """Which keeps what gradient checkpointing drops."""
    body = torch.nn.Sequential(*(torch.nn.Conv2d(8, 8, 3, padding=1) for _ in range(6)))
    x = torch.zeros(1, 8, 64, 64, requires_grad=True)

    def learn() -> None:
        body.zero_grad()
        y = x
        for layer in (body[:3], body[3:]):
            y = checkpoint(layer, y, use_reentrant=False)
        y.sum().backward()

    with LiveMemory() as memory:
        learn()
    assert counted(learn)[1] == memory.peak / 1e6


def test_memory_is_what_exists_at_a_time():
    x = torch.zeros(250_000, requires_grad=True)  # 1 MB
    with LiveMemory() as memory:
        y = (2 * x).exp()  # keeps its result, and for a moment what it is made of
        del y
        assert x.sin().sum() == 0
    assert memory.peak == 2_000_000
    with LiveMemory() as memory:
        views = x[1:], x[None]
    assert memory.peak == 0 and len(views) == 2
    shapes = (1, 8, 64, 32)
    meta = counted(lambda: torch.zeros(shapes, device="meta").exp().sin())
    assert meta == counted(lambda: torch.zeros(shapes).exp().sin())


def test_attention_is_counted_without_its_matrix():
    def attend() -> torch.Tensor:
        q = torch.zeros(1, 2, 4096, 32, device="meta")
        return torch.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.0)

    gflop, megabytes = counted(attend)
    assert gflop == pytest.approx(4 * 2 * 4096**2 * 32 / 1e9)
    assert megabytes < 4096**2 * 4 / 1e6


def test_training_on_windows_takes_the_memory_of_a_window_on_any_grid(tiny_experiment):
    words = (
        *("--autoencoder.training.window", "[32, 32]"),
        *("--autoencoder.losses", "{stratification: 0.1, between_states: 0.1, spectral: 0.1}"),
    )
    experiment = tiny_experiment(*words)
    costs = []
    for shape in ((5, 128, 128), (5, 1024, 512)):
        codec = meta_pipeline(experiment, shape).codec
        with torch.device("meta"):
            costs.append(window_cost(experiment.autoencoder, codec))
    small, large = costs
    assert large["autoencoder_window_memory_MB"] == small["autoencoder_window_memory_MB"] > 0
    ratio = large["autoencoder_windows_gflop"] / small["autoencoder_windows_gflop"]
    assert ratio == pytest.approx(1024 * 512 / 128**2)  # proportional to the cells


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "is_proportional"), [(16, True), (10**6, False)])
def test_with_attention_to_few_cells_cost_is_proportional_to_the_grid(
    tiny_experiment, monkeypatch, cells, is_proportional
):
    """And with attention to all of them it is not."""
    monkeypatch.setattr("latent_diffusion.settings.ATTENDED_CELLS", cells)
    words = ("--diffusion.channels", "[8, 32]", "--diffusion.attention", "true")
    experiment = tiny_experiment(*words)
    small, large = (costs_on(experiment, shape) for shape in ((5, 256, 256), (5, 512, 512)))
    assert (large["coarsest_cells"] <= cells) and (large["stages"] > 2) == is_proportional
    for key in ("gflop_denoiser", "diffusion_gflop"):
        assert (large[key] <= 4.2 * small[key]) == is_proportional, key
    for key in ("gflop_guided", "memory_guided_MB", "memory_denoiser_MB", "diffusion_memory_MB"):
        assert large[key] <= 4.2 * small[key] or not is_proportional, key


@pytest.mark.slow
def test_the_command_counts_a_grid_that_fits_nowhere(tiny_config, tmp_path):
    output = tmp_path / "growth.json"
    words = ["--grid", "5x24x16", "75x30000x40000", "--output", str(output)]
    main(["study", "cost", "growth", str(tiny_config), *words])
    small, large = json.loads(output.read_text())["growth"].values()
    assert large["cells"] == 75 * 30000 * 40000
    assert large["state_MB"] == pytest.approx(2 * large["cells"] * 4 / 1e6)
    for system in (LATENT, DATA_SPACE):
        costs = large["systems"][system]
        assert "gflop_guided_exponent" not in small["systems"][system]
        assert 0.5 < costs["gflop_guided_exponent"] < 1.5
        # The grid before is the first.
        assert costs["gflop_guided_exponent_from_first"] == costs["gflop_guided_exponent"]
        # In data space there is no decoder to go through.
        assert (costs["gflop_guided"] > costs["gflop_unguided"]) == (system == LATENT)
        assert costs["diffusion_memory_MB"] > 1e4
    assert ("autoencoder_gflop" in large["systems"][LATENT]) and (
        "autoencoder_gflop" not in large["systems"][DATA_SPACE]
    )
