"""What a guide asks of a decoder: latents to physical states, in strips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from data.state import State

Features = tuple[Tensor, ...]


class Decoder(Protocol):
    """What turns latents into states, in strips of rows so that no whole state need be held.

    `features` does what needs all latents; `cut` gives views of what one of the `strips` (for a
    batch of that size) needs of them, and `decode_strip` makes from these the rows of the ocean
    that the strip's attribute `rows` says. All are differentiable. A codec is a decoder.
    """

    def features(self, latents: Tensor) -> Features: ...

    def strips(self, batch: int) -> Sequence[Any]: ...

    def cut(self, features: Features, strip: Any) -> Features: ...

    def decode_strip(self, cut: Features, strip: Any) -> State: ...


class Coder(Decoder, Protocol):
    """A decoder that goes both ways: states to standardised latents `b c h w`."""

    def encode(self, state: State) -> Tensor: ...


class Approximated(Decoder, Protocol):
    """A decoder with a cheap linear stand-in for its gradient."""

    def decode_linearly(self, latents: Tensor) -> State: ...


@dataclass(frozen=True)
class WholeDecoder:
    """A decoder in one strip, from any function of latents `b c h w` to states."""

    decode: Callable[[Tensor], State]

    @property
    def rows(self) -> slice:
        return slice(None)

    def features(self, latents: Tensor) -> Features:
        return (latents,)

    def strips(self, batch: int) -> Sequence[WholeDecoder]:
        return [self]

    def cut(self, features: Features, strip: WholeDecoder) -> Features:
        return features

    def decode_strip(self, cut: Features, strip: WholeDecoder) -> State:
        return self.decode(*cut)
