"""States through a codec, a few at a time, on its device.

How many pass together depends on their size. Results are on the CPU, where archives and metrics
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from data.batches import fitting_at_once
from data.normalisation import Statistics
from data.state import State

AT_ONCE = 16  # states that pass together, if they are not large


class StateCodec(Protocol):
    """Anything that encodes and decodes like a codec."""

    @property
    def statistics(self) -> Statistics:
        """Statistics of the training states; they are on the codec's device."""
        ...

    def encode(self, state: State) -> Tensor:
        """Latents `b c h w` of a state in physical units."""
        ...

    def decode(self, latents: Tensor) -> State:
        """The state in physical units for latents `b c h w`."""
        ...


class DistributionCodec(StateCodec, Protocol):
    """One that also knows how uncertain latents are."""

    def encode_distribution(self, state: State) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a state's latents, each `b c h w`."""
        ...


def passing_at_once(codec: StateCodec, wanted: int = AT_ONCE) -> int:
    """How many states pass a codec together: `wanted`, or 1 if they are large."""
    return fitting_at_once(codec.statistics.mean.numel(), wanted)


@torch.no_grad()
def encoded(codec: StateCodec, states: State, *, at_once: int = AT_ONCE) -> Iterator[Tensor]:
    """Latents `b c h w` of parts of the states, in their order."""
    for part in _parts(codec, states, at_once):
        yield codec.encode(part).cpu()


@torch.no_grad()
def encoded_distributions(
    codec: DistributionCodec, states: State, *, at_once: int = AT_ONCE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of the latents, each `b c h w`, of parts of the states."""
    for part in _parts(codec, states, at_once):
        mean, deviation = codec.encode_distribution(part)
        yield mean.cpu(), deviation.cpu()


@torch.no_grad()
def decoded(codec: StateCodec, latents: Tensor, *, at_once: int = AT_ONCE) -> Iterator[State]:
    """States of parts of the latents `b c h w`, in their order."""
    device = codec.statistics.mean.device
    for part in latents.split(passing_at_once(codec, at_once)):
        yield codec.decode(part.to(device)).map(Tensor.cpu)


@torch.no_grad()
def reconstructed(codec: StateCodec, states: State, *, at_once: int = AT_ONCE) -> Iterator[State]:
    """Parts of the states, encoded and decoded, in their order."""
    for part in _parts(codec, states, at_once):
        yield codec.decode(codec.encode(part)).map(Tensor.cpu)


def _parts(codec: StateCodec, states: State, at_once: int) -> Iterator[State]:
    """Parts of the states, on the codec's device."""
    device = codec.statistics.mean.device
    for part in states.split(passing_at_once(codec, at_once)):
        yield part.map(lambda field: field.to(device))
