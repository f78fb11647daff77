"""Cost of an autoencoder: time, memory and operations of encoding, decoding and its gradient.

    halocline study cost codec CONFIG --grid 36x800x256

measures the untrained codec of an experiment on an all-wet grid. Guided steps decode and
backpropagate, so a decoding with its vector-Jacobian product is compared with one forward pass of
the data-space network on the same grid.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from autoencoder.codec import Codec
from configs import Experiment
from configs.run import Run
from data.archive.protocol import Archive
from data.state import State
from evaluation.provenance import provenance
from guidance.energy import Decoder, WeightedTerm, energy_and_gradient
from latent_diffusion.denoiser import Denoiser
from latent_diffusion.train import untrained_denoiser
from studies.cost.meter import PLAIN_METER, Meter, use_threads
from studies.cost.synthetic import SyntheticArchive, parse_shape, synthetic_grid
from studies.cost.systems import in_data_space
from training.log import print_json

# Arbitrary; the cost does not depend on them.
TIMESTEP = 500.0
AMPLITUDES = {"signal": 0.6, "noise": 0.8}


def codec_cost(codec: Codec, state: State, *, repeats: int = 3) -> dict[str, float]:
    """Cost of `codec` for the first of `state`; freezes the parameters of the codec.

    Seconds are medians of `repeats` calls after a warm-up, with `threads` threads. Memory [MB] is
    the growth to the peak of a call, of the resident memory of the process or of allocated GPU
    memory; NaN if unavailable. GFLOPs count matrix products and convolutions, with 2 per
    multiply-add. The VJP is the gradient of the sum of all decoded values with respect to the
    latents, computed in strips as in guidance.
    """
    codec.eval().requires_grad_(False)
    meter = Meter(repeats, str(codec.grid_depth.device))
    state = state.map(lambda field: field[:1].to(meter.device))
    with torch.no_grad():
        latents = codec.encode(state)
    return {
        **_named("encode", meter.cost(lambda: codec.encode(state))),
        **_named("decode", meter.cost(lambda: codec.decode(latents))),
        **_named("decode_vjp", meter.cost(lambda: decode_gradient(codec, latents), gradient=True)),
        "codec_million_parameters": _million_parameters(codec),
        "threads": torch.get_num_threads(),
    }


def decode_gradient(decoder: Decoder, latents: Tensor) -> Tensor:
    """Gradient `b c h w` of the sum of all decoded values with respect to the latents."""
    return energy_and_gradient([SUM], latents, decoder)[1]


class _Sum:
    """The sum of all values of a state, per sample: an energy of negligible cost."""

    def __call__(self, state: State) -> Tensor:
        fields = (state.temperature, state.salinity, state.sea_level)
        return torch.stack([x.flatten(1).sum(1) for x in fields if x is not None]).sum(0)

    def part(self, rows: slice) -> _Sum:
        return self


SUM = WeightedTerm(_Sum())


def grid_cost(
    experiment: Experiment,
    shape: tuple[int, int, int],
    *,
    sea_level: bool = False,
    periodic_x: bool = True,
    meter: Meter = PLAIN_METER,
    data_space: bool = True,
) -> dict[str, float]:
    """Cost of the experiment's untrained codec on an all-wet grid of `shape` `z y x`.

    Includes `codec_cost`, a guided latent step (one forward pass of the denoiser and one decoding
    with its VJP), and with `data_space` also a forward pass and a guided step of the data-space
    network (block channels 64, 64, 128, 128), with the ratios of latent to data space.
    """
    grid = synthetic_grid(*shape, periodic_x=periodic_x)
    archive = SyntheticArchive(grid, has_sea_level=sea_level)
    codec = Run(experiment).untrained_codec(archive).to(meter.device)
    cost = codec_cost(codec, archive.read([0]), repeats=meter.repeats) | {
        "compression": codec.compression
    }
    denoiser = untrained_denoiser(experiment.diffusion, codec)
    cost |= _named("latent_guided_step", guided_step_cost(denoiser, codec, meter=meter))
    if data_space:
        cost |= data_space_cost(experiment, archive, meter=meter)
        cost |= _ratios(cost)
    return cost


def data_space_cost(experiment: Experiment, archive: Archive, *, meter: Meter) -> dict[str, float]:
    """Cost of a forward pass and of a guided step of the data-space network."""
    plain = in_data_space(experiment)
    codec = Run(plain).untrained_codec(archive).to(meter.device)
    denoiser = untrained_denoiser(plain.diffusion, codec).to(meter.device)
    latents = torch.randn(1, *codec.latent_shape, device=meter.device)
    forward = meter.cost(lambda: denoiser.eval()(latents, TIMESTEP, **AMPLITUDES))
    step = guided_step_cost(denoiser, codec, meter=meter)
    return {
        **_named("data_space_forward", forward),
        **_named("data_space_guided_step", step),
        "data_space_million_parameters": _million_parameters(denoiser.unet),
    }


def guided_step_cost(denoiser: Denoiser, codec: Codec, *, meter: Meter) -> dict[str, float]:
    """Cost of a forward pass of the denoiser and the gradient of a decoding."""
    denoiser.to(meter.device).eval().requires_grad_(False)
    codec.eval().requires_grad_(False)
    latents = torch.randn(1, *codec.latent_shape, device=meter.device)

    def step() -> Tensor:
        with torch.no_grad():
            estimate = denoiser(latents, TIMESTEP, **AMPLITUDES)
        return decode_gradient(codec, estimate)

    return meter.cost(step, gradient=True)


def _named(name: str, cost: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in cost.items()}


def _million_parameters(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def _ratios(cost: dict[str, float]) -> dict[str, float]:
    memory = cost["data_space_guided_step_memory_MB"]  # 0 if too small to measure
    return {
        "decode_vjp_per_data_space_forward": (
            cost["decode_vjp_seconds"] / cost["data_space_forward_seconds"]
        ),
        "guided_step_memory_per_data_space": (
            cost["latent_guided_step_memory_MB"] / memory if memory else float("nan")
        ),
    }


def run(
    experiment: Experiment,
    *,
    grid: str,
    sea_level: bool = False,
    closed: bool = False,
    repeats: int = PLAIN_METER.repeats,
    device: str = PLAIN_METER.device,
    threads: int | None = None,
    output: Path | None = None,
) -> None:
    """Measure the codec of an experiment on a grid and print the result as JSON."""
    use_threads(threads)
    cost = grid_cost(
        experiment,
        parse_shape(grid),
        sea_level=sea_level,
        periodic_x=not closed,
        meter=Meter(repeats, device),
    )
    origin = provenance(seeds={})
    print_json({"kind": "codec_cost", "grid": grid, "cost": cost, "provenance": origin}, output)
