"""Cost of training the autoencoder on a window, counted on the meta device."""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoder.boxes import Box
from autoencoder.codec import VolumeCodec
from autoencoder.cutting import axes_of
from autoencoder.objective import TERMS, Comparison, Stratification, active_weights
from autoencoder.pieces import Inner, Piece
from autoencoder.settings import AutoencoderSettings
from autoencoder.windows import Axis, Span
from data.normalisation import Statistics
from data.state import State
from guidance.seawater import equation_of_state
from studies.cost.counting import counted

WINDOW = (512, 512)  # rows and columns, for experiments that train on whole states
BOXES = 4  # in which spectra are compared


def window_cost(settings: AutoencoderSettings, codec: VolumeCodec) -> dict[str, float]:
    """Cost of training on one state, with all terms of the loss, in a window far from edges.

    GFLOP are those of as many windows as it takes to cover the grid; memory [MB] is that of one.
    """
    window = settings.training.window or WINDOW
    spans = [_middle(axis) for axis in axes_of(codec, window)]
    inner = Inner(*(span.inner for span in spans)).times(codec.design.factor)
    rows, columns = (part.stop - part.start for part in inner)
    gflop, megabytes = counted(lambda: _loss(settings, codec, spans).backward())
    cells = codec.padding.padded_shape
    return {
        "autoencoder_windows_gflop": gflop * cells[0] * cells[1] / (rows * columns),
        "autoencoder_window_memory_MB": megabytes,
    }


def _middle(axis: Axis) -> Span:
    return axis.span((axis.cells - min(axis.width, axis.cells)) // 2)


def _loss(settings: AutoencoderSettings, codec: VolumeCodec, spans: list[Span]) -> Tensor:
    """The loss of a state in a window of an ocean without land."""
    codec.train().requires_grad_().zero_grad()
    factor, known = codec.design.factor, codec.statistics
    latents = tuple(len(span.cells) for span in spans)
    inner = Inner(*(span.inner for span in spans))
    rows, columns = (part.stop - part.start for part in inner.times(factor))
    statistics = Statistics(
        torch.zeros(known.channels, rows, columns),
        known.std,
        torch.ones(known.channels, rows, columns, dtype=torch.bool),
        levels=known.levels,
        grid_digest="",
    )
    thickness = torch.ones(known.levels, rows, columns)
    piece = Piece(
        codec.vae, statistics, codec.grid_depth, thickness, inner, mixing=codec.design.mixing
    )
    states = torch.zeros(1, known.channels, rows, columns)
    noise = torch.zeros(1, codec.design.latent_channels, *latents)
    around = torch.zeros(1, known.channels, *(factor * size for size in latents))
    decoded, mean, log_variance = codec.vae(around, noise)
    box = Box(0, 0, rows, columns)
    comparison = Comparison(
        piece,
        Stratification(
            equation_of_state("nemo-seos"),
            torch.ones(known.levels - 1),
            torch.ones(known.levels - 1, rows, columns, dtype=torch.bool),
        ),
        State.from_channels(states, levels=known.levels),
        decoded,
        mean,
        log_variance,
        jitter=noise,
        share=torch.zeros(1, 1, 1, 1),
        boxes=[(box, known.channels_at(level)) for level in range(min(BOXES, known.levels))],
        inner=inner,
    )
    losses = settings.losses
    weights = active_weights(losses.weights, jitter=losses.latent_jitter > 0)
    terms = [weight * TERMS[name](comparison) for name, weight in weights.items()]
    return torch.stack(terms).sum()
