"""What an autoencoder costs: seconds, memory and operations of encoding, decoding and its gradient.

Guidance decodes and backpropagates in every guided step, so a decoder is judged by one decode with
its vector-Jacobian product beside one forward pass of the data-space network on the same grid:

    python -m studies.cost.codec configs/X.yaml --grid 36x800x256 [--section.key value ...]

measures the design of an experiment, untrained, on an all-wet grid of any size.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoencoder.codec import Codec
from autoencoder.train import build_codec
from configs import Experiment, load_experiment
from data.archive.format import SPLITS
from data.archive.reader import StateArchive
from data.errors import UserError, user_errors_in_one_sentence
from data.grid import OceanGrid
from data.state import State
from evaluation.provenance import provenance
from guidance.energy import Decoder, WeightedTerm, energy_and_gradient
from latent_diffusion.denoiser import build_unet, predict
from training.log import tell

DATA_SPACE_CHANNELS = (64, 64, 128, 128)
DATA_SPACE_BLOCKS = 1  # residual blocks in a stage; more would flatter the codec
OCEAN_DEPTH = 4000.0  # m
TIMESTEP = 500.0  # any: the cost does not depend on it


@dataclass(frozen=True)
class Meter:
    """Measures calls on `device`: `repeats` timed ones after a warm-up, and one for memory."""

    repeats: int = 3
    device: str = "cpu"

    def cost(self, call: Callable[[], object], *, gradient: bool = False) -> dict[str, float]:
        """Median seconds, peak memory growth [MB] and GFLOPs of `call`."""
        with torch.set_grad_enabled(gradient):
            with FlopCounterMode(display=False) as counter:
                call()
            seconds = median(self.seconds(call) for _ in range(self.repeats))
            memory = self.peak_memory_growth(call)
        return {"seconds": seconds, "memory_MB": memory, "gflops": counter.get_total_flops() / 1e9}

    def peak_memory_growth(self, call: Callable[[], object]) -> float:
        """Growth of memory to its peak while `call` runs [MB], NaN where it cannot be read.

        Of the process: Linux keeps the peak of its resident memory and lets it be reset; freed
        memory is first given back to the system, so that it does not hide what the call needs.
        On a GPU: of what torch has allocated.
        """
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            call()
            return (torch.cuda.max_memory_allocated(self.device) - before) / 1e6
        if not _reset_peak():
            return float("nan")
        start = _resident("VmRSS")
        call()
        return max(_resident("VmHWM") - start, 0.0)

    @property
    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def seconds(self, call: Callable[[], object]) -> float:
        """Wall time of one call."""
        self._synchronise()
        start = time.perf_counter()
        call()
        self._synchronise()
        return time.perf_counter() - start

    def median_seconds(self, call: Callable[[], object]) -> float:
        """Seconds of a call, the median of `repeats` without a warm-up."""
        return median(self.seconds(call) for _ in range(self.repeats))

    def _synchronise(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self.device)


PLAIN_METER = Meter()


class SyntheticArchive(StateArchive):
    """Random stratified states on an all-wet grid, in no file, the last one for validation.

    noise: standard deviation of the temperature around its profile [K]
    """

    def __init__(
        self, grid: OceanGrid, *, sea_level: bool, samples: int = 3, noise: float = 1.0
    ) -> None:
        self.noise = noise
        self.path = Path("synthetic")
        self.grid = grid
        self.equation_of_state = "nemo-seos"
        self.has_sea_level = sea_level
        self.salinity_units = "1e-3"
        self.parameters = {}
        self.member = np.zeros(samples, np.int64)
        self.time = np.arange(samples, dtype=np.float64)
        self.split = np.zeros(samples, np.int8)
        self.split[-1] = SPLITS["validation"]
        self.attributes = {}

    @property
    def digest(self) -> str:
        return f"synthetic {self.grid.digest}"

    def read(self, indices: Sequence[int] | np.ndarray) -> State:
        """Warm and light above, with noise that is a function of the index."""
        states = [self._state(int(index)) for index in indices]
        return State.cat(states)

    def _state(self, index: int) -> State:
        generator = torch.Generator().manual_seed(index)
        levels, rows, columns = self.grid.shape
        profile = torch.linspace(20, 2, levels)[:, None, None]
        temperature, salinity = torch.randn(2, 1, levels, rows, columns, generator=generator)
        sea_level = 0.1 * torch.randn(1, rows, columns, generator=generator)
        return State(
            self.noise * temperature + profile,
            35 + 0.1 * self.noise * salinity - 0.05 * profile,
            sea_level if self.has_sea_level else None,
        )


def synthetic_grid(levels: int, rows: int, columns: int, *, periodic_x: bool) -> OceanGrid:
    """An ocean without land: `levels` layers, thicker with depth, 4000 m in all."""
    weights = np.linspace(0.1, 1.9, levels) if levels > 1 else np.ones(1)
    layers = OCEAN_DEPTH * weights / weights.sum()
    shape = (levels, rows, columns)
    return OceanGrid(
        depth=np.cumsum(layers) - 0.5 * layers,
        thickness=np.broadcast_to(layers[:, None, None], shape).copy(),
        area=np.full((rows, columns), 6e8),
        wet=np.ones(shape, dtype=bool),
        longitude=np.arange(columns) * 360.0 / columns,
        latitude=np.linspace(-70, 70, rows),
        periodic_x=periodic_x,
    )


def codec_cost(codec: Codec, state: State, *, repeats: int = 3) -> dict[str, float]:
    """Cost of `codec` per state, for the one `state` given; the codec's parameters are frozen.

    Seconds are medians of `repeats` after a warm-up, with `threads` threads. Memory [MB] is the
    growth of the resident memory of the process (on a GPU, of what torch allocates) up to the peak
    of a call; NaN where the system does not tell. GFLOPs count matrix products and convolutions, 2
    for each multiplication and addition. The VJP is the gradient of the sum of all decoded numbers
    with respect to the latents, taken as guidance takes it, in strips.
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
    """Gradient `b c h w` of the sum of all decoded numbers with respect to the latents."""
    return energy_and_gradient([SUM], latents, decoder)[1]


class _Sum:
    """The sum of all numbers of a state, per sample: an energy that costs nothing of its own."""

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
    """Cost of the experiment's codec design, untrained, on an all-wet grid of `shape` `z y x`.

    `codec_cost`, and in the same run: a guided latent step (one forward pass of the experiment's
    denoiser, one decode with its VJP), and with `data_space` one forward pass and one guided step
    of the data-space network (block channels 64, 64, 128, 128), and the latent's ratios to them.
    """
    archive = SyntheticArchive(synthetic_grid(*shape, periodic_x=periodic_x), sea_level=sea_level)
    codec = build_codec(experiment, archive).to(meter.device)
    cost = codec_cost(codec, archive.read([0]), repeats=meter.repeats) | {
        "compression": codec.compression
    }
    diffusion = experiment.diffusion
    unet = build_unet(
        codec.latent_shape,
        static_maps=len(codec.static_maps),
        channels=diffusion.channels,
        blocks=diffusion.blocks,
        attention=diffusion.attention,
        dropout=diffusion.dropout,
    )
    cost |= _named("latent_guided_step", guided_step_cost(unet, codec, meter=meter))
    if data_space:
        cost |= data_space_cost(experiment, archive, meter=meter)
        cost |= _ratios(cost)
    return cost


def data_space_cost(
    experiment: Experiment, archive: StateArchive, *, meter: Meter
) -> dict[str, float]:
    """One forward pass and one guided step of the data-space network on the archive's grid."""
    settings = experiment.autoencoder.model_copy(update={"kind": "identity"})
    diffusion = experiment.diffusion.model_copy(update={"channels": DATA_SPACE_CHANNELS})
    plain = {"autoencoder": settings, "diffusion": diffusion}
    codec = build_codec(experiment.model_copy(update=plain), archive).to(meter.device)
    maps = codec.static_maps
    unet = build_unet(
        codec.latent_shape,
        static_maps=len(maps),
        channels=DATA_SPACE_CHANNELS,
        blocks=DATA_SPACE_BLOCKS,
        attention=False,
        dropout=0.0,
    ).to(meter.device)
    latents = torch.randn(1, *codec.latent_shape, device=meter.device)
    forward = meter.cost(lambda: predict(unet.eval(), latents, TIMESTEP, maps))
    step = guided_step_cost(unet, codec, meter=meter)
    return {
        **_named("data_space_forward", forward),
        **_named("data_space_guided_step", step),
        "data_space_million_parameters": _million_parameters(unet),
    }


def guided_step_cost(unet: UNet2DModel, codec: Codec, *, meter: Meter) -> dict[str, float]:
    """One forward pass of the denoiser, then the gradient of one decode; without the scheduler."""
    unet.to(meter.device).eval().requires_grad_(False)
    codec.eval().requires_grad_(False)
    maps, latents = codec.static_maps, torch.randn(1, *codec.latent_shape, device=meter.device)

    def step() -> Tensor:
        with torch.no_grad():
            estimate = predict(unet, latents, TIMESTEP, maps)
        return decode_gradient(codec, estimate)

    return meter.cost(step, gradient=True)


def _reset_peak() -> bool:
    """Set the kernel's peak of resident memory to its present value; whether that worked."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _resident(entry: str) -> float:
    """`VmRSS` (now) or `VmHWM` (peak) of this process [MB]."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{entry}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * float(found[1]) / 1e6 if found else float("nan")


def _named(name: str, cost: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in cost.items()}


def _million_parameters(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def _ratios(cost: dict[str, float]) -> dict[str, float]:
    memory = cost["data_space_guided_step_memory_MB"]  # 0 where too little to be measured
    return {
        "decode_vjp_per_data_space_forward": (
            cost["decode_vjp_seconds"] / cost["data_space_forward_seconds"]
        ),
        "guided_step_memory_per_data_space": (
            cost["latent_guided_step_memory_MB"] / memory if memory else float("nan")
        ),
    }


def parse_shape(text: str) -> tuple[int, int, int]:
    """Levels, rows and columns from "36x800x256"; raises `UserError` for anything else."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise UserError(f"the grid is '{text}'; write levels x rows x columns as 36x800x256")
    levels, rows, columns = map(int, parts)
    return levels, rows, columns


def measuring_parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with what all measurements take: threads and an output file."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="threads of torch; without it, its own choice")
    parser.add_argument("--output", type=Path, help="JSON file to write as well")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure an experiment's design on a grid and print the result as JSON."""
    parser = measuring_parser(__doc__)
    parser.add_argument("config", type=Path, help="YAML of the experiment")
    parser.add_argument("--grid", required=True, help="levels x rows x columns, as 36x800x256")
    parser.add_argument("--sea-level", action="store_true", help="with a channel of sea level")
    parser.add_argument("--closed", action="store_true", help="x does not close on itself")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls of each kind (3)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    options, overrides = parser.parse_known_args(arguments)
    with user_errors_in_one_sentence():
        if options.threads:
            torch.set_num_threads(options.threads)
        cost = grid_cost(
            load_experiment(options.config, overrides),
            parse_shape(options.grid),
            sea_level=options.sea_level,
            periodic_x=not options.closed,
            meter=Meter(options.repeats, options.device),
        )
        result: dict[str, object] = {
            "kind": "codec_cost",
            "grid": options.grid,
            "cost": cost,
            "provenance": provenance(seeds={}),
        }
        tell(result, options.output)


if __name__ == "__main__":
    main()
