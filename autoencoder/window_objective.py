"""The autoencoder's loss within windows."""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoder.codec import VolumeCodec
from autoencoder.objective import Comparison, Objective
from autoencoder.pieces import Piece, Window
from data.normalisation import Statistics
from data.state import State
from guidance.stratification import wet_pairs


class WindowObjective(Objective):
    """The loss of a batch of states in a window, from `autoencoder.cutting.Cutter`.

    With gradients it is that of the whole states, restricted to the window (see
    `autoencoder.windows`). Only the spectra are those of each window, and so is the spread of the
    latents that scales `latent_jitter`.

    Only the codec's network is part of the module, so that fields of the whole grid need not move
    to the device of the training. Arguments are those of `Objective`.
    """

    _std: Tensor
    _depth: Tensor

    def _adopt(self, codec: VolumeCodec) -> None:
        self.vae = codec.vae
        self._mixing, self._levels = codec.design.mixing, codec.statistics.levels
        self.register_buffer("_std", codec.statistics.std.clone())
        self.register_buffer("_depth", codec.grid_depth.clone())

    def compare(self, batch: Window, generator: torch.Generator) -> Comparison:
        """Compare the states in a window with their reconstruction."""
        piece = self._piece(batch)
        draws = self.draw(self._latents_of(batch), generator, device=batch.states.device)
        decoded, mean, log_variance = self.vae(batch.surroundings, draws.noise)
        return Comparison(
            piece,
            self._stratification(wet_pairs(batch.wet[: self._levels])),
            State.from_channels(batch.states, levels=self._levels),
            decoded,
            mean,
            log_variance,
            jitter=draws.jitter,
            share=draws.share,
            boxes=batch.boxes,
            inner=batch.inner,
            counted=batch.counted,
        )

    def _latents_of(self, batch: Window) -> tuple[int, ...]:
        count, _, rows, columns = batch.surroundings.shape
        design = self.vae.design
        return count, design.latent_channels, rows // design.factor, columns // design.factor

    def _piece(self, batch: Window) -> Piece:
        statistics = Statistics(
            batch.mean, self._std, batch.wet, levels=self._levels, grid_digest=""
        )
        return Piece(
            self.vae,
            statistics,
            self._depth,
            batch.thickness,
            batch.inner,
            mixing=self._mixing,
            seam=batch.seam,
        )
