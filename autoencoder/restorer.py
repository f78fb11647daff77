"""A restorer of small scales: draws what the latents could not hold, given the decoded state.

A decoder that minimises an error smooths what it cannot know. The restorer learns the distribution
of the residual, truth minus decoded, by conditional flow matching (Lipman et al. 2023) and adds one
draw of it, in a few steps at the end of sampling. It leaves scales alone that the latents hold
well: the residual is that of scales smaller than a smoothing window, so a draw costs little error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from autoencoder.codec import VolumeCodec
from autoencoder.layers import head, residuals, zero
from autoencoder.linear import ColumnModes, fit
from autoencoder.periodic import make_periodic
from data.state import State

MAPS = 3  # wet share of the surface and of the column, and distance north
TIMES = 4  # harmonics of the flow's time
RINGS = 12  # of horizontal wavenumbers, in which the noise is calibrated
LARGEST = 0.5**0.5  # wavenumber [cycles per cell], of waves along the diagonal
LARGEST_GAIN = 3.0


class _Moments(NamedTuple):
    """Mean squares of amplitudes `m` of decoded states and of the truth, and their mean product."""

    known: Tensor
    common: Tensor
    truth: Tensor


class Restorer(ModelMixin, ConfigMixin):
    """The velocity of a flow from noise to the small-scale residual, in amplitudes of few modes.

    fields: c, all levels of all variables; rows, columns: those of padded states, `y x`
    modes: m, vertical modes of the residual, of its principal components
    window: cells; small scales are what a Hann window of twice this width smooths away
    patch: cells a side that the first layer folds into channels
    width, blocks: of the residual blocks
    periodic_x: whether the x axis closes on itself
    steps: of the flow, for which it is calibrated
    """

    residual_std: Tensor
    noise_spectrum: Tensor
    gain: Tensor
    kept: Tensor
    added: Tensor
    wet: Tensor

    @register_to_config
    def __init__(
        self,
        fields: int,
        rows: int,
        columns: int,
        *,
        modes: int,
        window: int,
        patch: int,
        width: int,
        blocks: int,
        periodic_x: bool,
        steps: int = 4,
    ) -> None:
        super().__init__()
        self.basis = ColumnModes(fields, modes, trainable=False)
        seen = (2 * modes + fields + MAPS) * patch**2 + TIMES
        self.network = nn.Sequential(
            nn.Conv2d(seen, width, 1),
            residuals(width, blocks),
            head(width, modes * patch**2, kernel=1),
            nn.PixelShuffle(patch),
        )
        # At the cells themselves, so that the edges of the folds do not show.
        self.last = zero(nn.Conv2d(3 * modes, modes, 3, padding=1))
        if periodic_x:
            make_periodic(self)
        self.register_buffer("residual_std", torch.ones(fields))
        self.register_buffer("noise_spectrum", torch.ones(modes, rows, columns // 2 + 1))
        self.register_buffer("gain", torch.ones(fields, RINGS))
        self.register_buffer("kept", torch.ones(modes))
        self.register_buffer("added", torch.zeros(modes))
        self.register_buffer("wet", torch.zeros(fields, rows, columns))

    @torch.no_grad()
    def adopt(self, wet: Tensor, *, training: Tensor, held_out: Tensor) -> None:
        """Take over the wet mask `c y x`, and measure residuals.

        training, held_out: decoded states and the truth, normalised, `n 2 c y x`
        The standard deviations, modes and spectra are those of held-out states: training states
        are decoded better than any that is sampled. By how much is measured as well, see `unseen`.
        """
        self.wet.copy_(wet)
        residual = held_out[:, 1] - held_out[:, 0]
        squares = self.small_scales(residual).square().sum(dim=(2, 3)).mean(dim=0)
        std = (squares / wet.sum(dim=(1, 2)).clamp_min(1)).sqrt()
        self.residual_std.copy_(torch.where(std > 0, std, 1.0))
        fit(self.basis, lambda: [self._scaled(residual)], self.config.modes)
        amplitudes = self.amplitudes(residual)
        power = torch.fft.rfft2(amplitudes, norm="ortho").abs().square().mean(dim=0)
        self.noise_spectrum.copy_(power.sqrt())
        ours, theirs = self._moments(training), self._moments(held_out)
        kept = (theirs.common / theirs.truth) / (ours.common / ours.truth)
        self.kept.copy_(kept.clamp(0, 1))
        wanting = theirs.known / theirs.truth * ours.truth - self.kept.square() * ours.known
        added = wanting / amplitudes.square().mean(dim=(0, 2, 3))
        self.added.copy_(added.clamp_min(0).sqrt())

    @torch.no_grad()
    def calibrate(self, held_out: Tensor, *, steps: int) -> None:
        """Scale what draws have beyond the mean, so that small scales have the truth's power.

        held_out: decoded states and the truth, normalised, `n 2 c y x`
        By field and ring of wavenumbers, of waves no longer than two windows. A few steps lose
        variance, and what the network knows of training states it knows less well of others.
        """
        generator, totals = torch.Generator().manual_seed(0), []
        for known, truth in (part.unbind(dim=1) for part in held_out.split(16)):
            mean, beyond = self._flow(known, steps=steps, generators=[generator] * len(known))
            fields = (self.small_scales(known) + mean, beyond, self.small_scales(truth))
            a, b, t = (torch.fft.rfft2(field) for field in fields)
            products = (a.abs() ** 2 - t.abs() ** 2, (a * b.conj()).real, b.abs() ** 2)
            totals.append(torch.stack([self._by_ring(product) for product in products]))
        missing, common, power = torch.stack(totals).sum(dim=0)
        root = (common.square() - power * missing).clamp_min(0).sqrt()
        gain = ((root - common) / power.clamp_min(1e-9)).clamp(0, LARGEST_GAIN)
        gain[:, : int(RINGS / (LARGEST * 2 * self.config.window))] = 1
        self.gain.copy_(gain)

    def _by_ring(self, spectrum: Tensor) -> Tensor:
        """Sums `c r` of a spectrum `b c y x/2+1` over states and rings."""
        total = torch.zeros(spectrum.shape[1], RINGS, device=spectrum.device)
        return total.index_add(1, self._rings().flatten(), spectrum.sum(dim=0).flatten(1))

    def _rings(self) -> Tensor:
        """Which ring each wavenumber belongs to, by its length, `y x/2+1`."""
        rows, columns = self.wet.shape[1:]
        meridional = torch.fft.fftfreq(rows, device=self.wet.device)[:, None]
        length = torch.hypot(meridional, torch.fft.rfftfreq(columns, device=self.wet.device))
        return (length / LARGEST * RINGS).long().clamp(max=RINGS - 1)

    def _moments(self, pairs: Tensor) -> _Moments:
        """Of decoded states and the truth `n 2 c y x`, a few at a time."""
        parts = [[self.amplitudes(x) for x in part.unbind(dim=1)] for part in pairs.split(16)]
        known, truth = (torch.cat(each) for each in zip(*parts, strict=True))
        products = (known * known, known * truth, truth * truth)
        return _Moments(*(product.mean(dim=(0, 2, 3)) for product in products))

    def unseen(self, known: Tensor, generator: torch.Generator) -> Tensor:
        """Decoded training states `b c y x` made as wrong at small scales as those of others.

        In each mode what was decoded is scaled and noise with the residual's spectrum added, by as
        much as gives its power and its covariance with the truth the values of held-out states.
        """
        noise = self.noise([generator] * len(known))
        kept, added = (factor[:, None, None] for factor in (self.kept, self.added))
        return known + self._fields((kept - 1) * self.amplitudes(known) + added * noise)

    def _fields(self, amplitudes: Tensor) -> Tensor:
        """Amplitudes `b m y x` as normalised fields `b c y x`."""
        return self.scaled_fields(amplitudes) * self.residual_std[:, None, None]

    def noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Where the flow starts: normal numbers with the residual's spectrum, `b m y x`.

        One state per generator, drawn on the CPU. White noise would have to lose nearly all its
        power at the smallest scales, and a few steps leave too much of it.
        """
        shape = (self.config.modes, *self.wet.shape[1:])
        white = torch.stack([torch.randn(shape, generator=each) for each in generators])
        spectrum = torch.fft.rfft2(white.to(self.wet), norm="ortho")
        spectrum = spectrum * self.noise_spectrum
        return torch.fft.irfft2(spectrum, s=white.shape[2:], norm="ortho")

    def small_scales(self, x: Tensor) -> Tensor:
        """Normalised fields `b c y x` minus their smooth part, the wet cells' weighted mean."""
        smooth = self.smoothed(x * self.wet) / self.smoothed(self.wet[None]).clamp_min(1e-6)
        return (x - smooth) * self.wet

    def amplitudes(self, residual: Tensor) -> Tensor:
        """The small scales of a normalised residual `b c y x` in modes, `b m y x`."""
        return self.basis.encode(self._scaled(residual))

    def scaled_fields(self, amplitudes: Tensor) -> Tensor:
        """Amplitudes `b m y x` as fields `b c y x` in units of the residual's std; land 0."""
        return self.basis.decode(amplitudes) * self.wet

    def velocity(self, x: Tensor, time: Tensor, known: Tensor) -> Tensor:
        """The flow's velocity `b m y x` at `x` `b m y x` and time `b` (0 noise, 1 residual).

        known: the decoded state, normalised and padded, `b c y x`
        The network learns what differs from a residual that is noise of the same spectrum and
        independent of the state, for which the velocity is x (2 t - 1) / (t^2 + (1 - t)^2).
        """
        t = time[:, None, None, None]
        small = self.amplitudes(known)
        seen = torch.cat([x, known, small, self._maps(len(x))], dim=1)
        folded = F.pixel_unshuffle(seen, self.config.patch)
        harmonics = torch.cos(
            math.pi * t * torch.arange(1, TIMES + 1, device=x.device)[:, None, None]
        )
        times = harmonics.expand(-1, -1, *folded.shape[2:])
        coarse = self.network(torch.cat([folded, times], dim=1))
        learnt = self.last(torch.cat([x, small, coarse], dim=1))
        plain = (2 * t - 1) / (t.square() + (1 - t).square())
        return plain * x + learnt

    @torch.no_grad()
    def draw(self, known: Tensor, *, steps: int, generators: Sequence[torch.Generator]) -> Tensor:
        """A draw of the residual's small scales given a decoded state, both normalised `b c y x`.

        One step gives their mean; more draw from their distribution (Euler steps), and what a draw
        has beyond the mean is scaled as calibrated. Each state has its own generator.
        """
        mean, beyond = self._flow(known, steps=steps, generators=generators)
        spectrum = torch.fft.rfft2(beyond) * self.gain[:, self._rings()]
        return mean + torch.fft.irfft2(spectrum, s=beyond.shape[2:]) * self.wet

    def _flow(
        self, known: Tensor, *, steps: int, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """The mean of the small scales and what a draw has beyond it, each `b c y x`."""
        x = mean = self.noise(generators)
        for step in range(steps):
            time = torch.full((len(x),), step / steps, device=x.device)
            velocity = self.velocity(x, time, known)
            if step == 0:
                mean = x + velocity
            x = x + velocity / steps
        parts = [self.small_scales(self._fields(part)) for part in (mean, x - mean)]
        return parts[0], parts[1]

    def _scaled(self, residual: Tensor) -> Tensor:
        return self.small_scales(residual) / self.residual_std[:, None, None]

    def smoothed(self, x: Tensor) -> Tensor:
        """`x` `b c y x` under a Hann window; cells beyond a closed edge count 0."""
        rows, columns = x.shape[2:]
        over_rows = _window_matrix(rows, self.config.window, periodic=False)
        over_columns = _window_matrix(columns, self.config.window, periodic=self.config.periodic_x)
        return over_rows.to(x) @ x @ over_columns.to(x).T

    def _maps(self, batch: int) -> Tensor:
        """What the network is told of each place, `b 3 y x`."""
        rows, columns = self.wet.shape[1:]
        north = torch.linspace(-1, 1, rows, device=self.wet.device)[:, None].expand(rows, columns)
        maps = torch.stack([self.wet[0], self.wet.mean(dim=0), north])
        return maps.expand(batch, *maps.shape)


@lru_cache(maxsize=8)
def _window_matrix(cells: int, window: int, *, periodic: bool) -> Tensor:
    """Weights `i j` of cell j in the mean around cell i: Hann, `window` cells to where it ends."""
    place = torch.arange(cells)
    distance = (place[:, None] - place).abs()
    if periodic:
        distance = torch.minimum(distance, cells - distance)
    weights = torch.cos(0.5 * math.pi * distance.clamp(max=window) / window).square()
    return weights / window


class RestorerObjective(nn.Module):
    """The flow and its error on a batch of decoded states as one module."""

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of `batch` `b 2 c y x`, decoded states and the truth, under noise from `generator`.

        The squared error of the velocity in units of the residual's variance, mean over wet cells.
        """
        restorer = self.restorer
        known, truth = batch.unbind(dim=1)
        if self.training:
            known = restorer.unseen(known, generator)
        clean = restorer.amplitudes(truth - known)
        noise = restorer.noise([generator] * len(clean))
        time = torch.rand(len(clean), generator=generator).to(clean)
        t = time[:, None, None, None]
        predicted = restorer.velocity((1 - t) * noise + t * clean, time, known)
        error = restorer.scaled_fields(predicted - (clean - noise))
        return {"loss": error.square().sum() / (len(batch) * restorer.wet.sum())}


@torch.no_grad()
def decoded_and_truth(codec: VolumeCodec, truth: State) -> Tensor:
    """States auto-encoded and as they are, normalised and padded, `b 2 c y x`."""
    decoded = codec.decode(codec.encode(truth))
    return torch.stack([codec.network_input(state) for state in (decoded, truth)], dim=1)


@torch.no_grad()
def restore(
    codec: VolumeCodec,
    restorer: Restorer,
    latents: Tensor,
    *,
    steps: int,
    generators: Sequence[torch.Generator],
) -> State:
    """Decode latents `b c h w` and add small scales, of each state by its own generator.

    They are added before the decoder's vertical mixing, so that mixed layers stay mixed.
    """
    fields, further = codec.decode_padded(latents)
    known = codec.network_input(codec.reconstruct((fields, further)))
    added = restorer.draw(known, steps=steps, generators=generators)
    return codec.reconstruct((fields + added, further))
