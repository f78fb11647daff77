"""The loss of a window is the whole field's, restricted to the window, and so is its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from autoencoder.boxes import Box
from autoencoder.codec import VolumeCodec
from autoencoder.cutting import Cutter
from autoencoder.objective import AutoencoderObjective, Comparison, Draws
from autoencoder.ocean import describe_ocean
from autoencoder.pieces import Window
from autoencoder.settings import LossSettings
from autoencoder.window_objective import WindowObjective
from data.archive.reader import StateArchive
from data.errors import UserError
from data.normalisation import Statistics
from data.state import State
from guidance.seawater import equation_of_state

DESIGN = {"latent_channels": 3, "patch": 4, "channels": [8], "blocks": 1, "linear_path": True}
LOSSES = {
    "kl": 0.1,
    "stratification": 0.1,
    "created_instability": 0.2,
    "censored": 0.5,
    "between_states": 0.3,
    "spectral": 0.05,
}
ROWS, WINDOW = 42, (16, 8)  # 4 x 2 latent cells of 12 x 22; the rows are padded
OCEANS = {  # columns are padded to 88
    "periodic": {"columns": 88, "periodic_x": True},
    "seam": {"columns": 83, "periodic_x": True},
    "closed": {"columns": 83, "periodic_x": False},
}
PLACES = {"corner": (-2, 0), "inside": (4, 8), "end": (11, 21)}  # starts in latent cells


@dataclass
class Ocean:
    """A codec of random weights and a batch of two states, in double precision."""

    codec: VolumeCodec
    batch: Tensor
    cutter: Cutter

    @property
    def options(self) -> dict[str, object]:
        eos = equation_of_state("veros-vallis")
        return {"eos": eos, "losses": LOSSES, "latent_jitter": 0.2}


@pytest.fixture(scope="module", params=OCEANS)
def ocean(request, tmp_path_factory, write_tiny_archive) -> Ocean:
    path = tmp_path_factory.mktemp(request.param) / "a.zarr"
    archive = StateArchive.open(
        write_tiny_archive(path, rows=ROWS, sea_level=True, **OCEANS[request.param])
    )
    torch.manual_seed(0)
    codec = VolumeCodec(ocean=describe_ocean(archive), multiple=8, design=DESIGN)
    codec.adopt(archive.grid, Statistics.from_archive(archive, indices=archive.indices("train")))
    for parameter in codec.vae.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # residual blocks start as the identity
    codec.double().train()
    batch = archive.read([0, 15]).to_channels().double()
    return Ocean(codec, batch, Cutter(codec, WINDOW, spectral=True))


@dataclass(frozen=True)
class Latents:
    """Latents at numbers of rows and columns, which may lie on both sides of a seam."""

    rows: np.ndarray
    columns: np.ndarray

    def cut(self, field: Tensor) -> Tensor:
        return field[..., torch.from_numpy(self.rows)[:, None], torch.from_numpy(self.columns)]


@dataclass(frozen=True, kw_only=True)
class Restricted(Comparison):
    """A comparison of whole fields of which only the cells of a mask `y x` count."""

    mask: Tensor

    @property
    def wet(self) -> Tensor:
        return self.codec.statistics.wet & self.mask

    @property
    def wet_pairs(self) -> Tensor:
        return self.stratification.wet_pairs & self.mask


def _draws(ocean: Ocean) -> Draws:
    generator = torch.Generator().manual_seed(1)
    shape = (2, *ocean.codec.latent_shape)
    noise, jitter = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return Draws(noise, 0.2 * jitter, torch.full((1, 1, 1, 1), 0.3).double())


def _numbers(cutter: Cutter, row: int, column: int) -> tuple[int, int]:
    """Numbers of these starts."""
    positions = cutter.positions
    return positions.rows.starts.index(row), positions.columns.starts.index(column)


def _whole(ocean: Ocean, window: Window, place: tuple[int, int]) -> dict[str, Tensor]:
    """The losses of whole states, restricted to a window."""
    codec, spans = ocean.codec, ocean.cutter.positions.spans(*place)
    objective = AutoencoderObjective(codec, **ocean.options).double()
    objective.draw = lambda *_, **__: _draws(ocean)
    whole = objective.compare(ocean.batch, torch.Generator())
    latents = Latents(*(span.cells[span.inner] for span in spans))
    rows, columns = _cells_of_the_ocean(codec, latents)
    mask = torch.zeros(codec.grid.shape[1:], dtype=torch.bool)
    mask[np.ix_(rows[rows >= 0], columns[columns >= 0])] = True
    fields = {
        name: getattr(whole, name)
        for name in ("codec", "stratification", "truth", "decoded", "mean", "log_variance")
    }
    boxes = [
        (Box(int(rows[box.top]), int(columns[box.left]), box.rows, box.columns), channels)
        for box, channels in window.boxes
    ]
    return objective.terms(
        Restricted(
            **fields,
            jitter=whole.jitter,
            share=whole.share,
            boxes=boxes,
            inner=latents,
            counted=window.counted,
            mask=mask,
        )
    )


def _cells_of_the_ocean(codec: VolumeCodec, latents: Latents) -> list[np.ndarray]:
    """Rows and columns of the grid in latents; -1 for land and repetitions around them."""
    padding, factor = codec.padding, codec.design.factor
    own = padding.is_own
    found = []
    for source, is_own, cells in zip(
        padding.sources, (own.any(1), own.any(0)), (latents.rows, latents.columns), strict=True
    ):
        padded = (factor * cells[:, None] + np.arange(factor)).ravel()
        found.append(np.where(is_own[padded], source[padded], -1))
    return found


def _windowed(ocean: Ocean, window: Window, place: tuple[int, int]) -> dict[str, Tensor]:
    spans = ocean.cutter.positions.spans(*place)
    around = Latents(*(span.cells for span in spans))
    objective = WindowObjective(ocean.codec, **ocean.options).double()
    noise, jitter, share = _draws(ocean)
    objective.draw = lambda *_, **__: Draws(around.cut(noise), around.cut(jitter), share)
    return objective.terms(objective.compare(window, torch.Generator()))


def _gradients(codec: VolumeCodec, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    codec.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in codec.vae.named_parameters()}


@pytest.mark.parametrize("place", PLACES)
def test_losses_and_gradients_are_those_of_the_whole_field_in_the_window(ocean, place):
    numbers = _numbers(ocean.cutter, *PLACES[place])
    window = ocean.cutter.cut(ocean.batch, *numbers)
    whole_cells = ocean.codec.padding.pad(ocean.batch).numel()
    assert window.surroundings.numel() < whole_cells and window.wet.any()
    assert (window.seam is not None) == (
        len(ocean.batch[0, 0, 0]) == 83 and _is_at_seam(ocean, place)
    )
    windowed, whole = (f(ocean, window, numbers) for f in (_windowed, _whole))
    assert windowed.keys() >= LossSettings().weights.keys() and len(windowed) == 9
    assert bool(window.boxes) == (place == "inside")
    assert all(loss > 0 for name, loss in windowed.items() if name != "spectral" or window.boxes)
    torch.testing.assert_close(windowed, whole, rtol=1e-9, atol=0)
    found, expected = (_gradients(ocean.codec, losses) for losses in (windowed, whole))
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-8, atol=1e-9 * float(gradient.abs().max()), msg=name
        )


def _is_at_seam(ocean: Ocean, place: str) -> bool:
    return ocean.codec.padding.periodic_x and place != "inside"


@torch.no_grad()
def test_windows_side_by_side_add_up_to_the_loss_of_the_whole_field(ocean):
    """Each weighted by its wet cells, as the positions of windows are."""
    codec, cutter = ocean.codec, Cutter(ocean.codec, (16, 44))  # 3 x 2 windows of 4 x 11 latents
    losses = {name: LOSSES[name] for name in ("stratification", "created_instability", "censored")}
    options = ocean.options | {"losses": losses, "latent_jitter": 0.0}
    whole, inside = (
        kind(codec, **options).double() for kind in (AutoencoderObjective, WindowObjective)
    )
    for objective in (whole, inside):
        objective.draw = lambda shape, _, **__: Draws(torch.zeros(shape).double(), None, None)
    expected = whole.terms(whole.compare(ocean.batch, torch.Generator()))
    total, wet = dict.fromkeys(expected, 0.0), int(codec.statistics.wet.sum())
    for row, column in product(range(0, 12, 4), range(0, 22, 11)):
        window = cutter.cut(ocean.batch, *_numbers(cutter, row, column))
        assert window.counted.cells == window.wet.sum()
        for name, loss in inside.terms(inside.compare(window, torch.Generator())).items():
            total[name] += window.counted.cells / wet * loss
    torch.testing.assert_close(total, expected, rtol=1e-9, atol=0)


@torch.no_grad()
def test_a_window_larger_than_the_ocean_is_the_ocean(ocean):
    batch = ocean.batch
    window = Cutter(ocean.codec, (1000, 1000))(batch, torch.Generator())
    assert torch.equal(
        window.surroundings,
        ocean.codec.padding.pad(ocean.codec.statistics.normalise(_state(batch))),
    )
    whole = AutoencoderObjective(ocean.codec, **ocean.options | {"losses": {"kl": 1.0}}).double()
    inside = WindowObjective(ocean.codec, **ocean.options | {"losses": {"kl": 1.0}}).double()
    for objective in (whole, inside):
        objective.draw = lambda *_, **__: _draws(ocean)
    losses = (o(b, torch.Generator()) for o, b in ((whole, batch), (inside, window)))
    torch.testing.assert_close(*losses, rtol=1e-9, atol=0)


def _state(batch: Tensor) -> State:
    return State.from_channels(batch, levels=5)


def test_the_same_generator_draws_the_same_window(ocean):
    one, same, other = (
        ocean.cutter(ocean.batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.states, same.states)
    assert one.states.shape != other.states.shape or not torch.equal(one.states, other.states)


def test_windows_without_room_for_spectra_are_refused(ocean):
    with pytest.raises(UserError, match=r"8 x 8 cells without land.*windows of 4 x 100 cells"):
        Cutter(ocean.codec, (4, 100), spectral=True)


def test_fields_of_the_whole_grid_are_not_part_of_the_trained_module(ocean):
    objective = WindowObjective(ocean.codec, **ocean.options)
    sizes = [buffer.numel() for buffer in objective.buffers()]
    assert max(sizes) <= ocean.codec.statistics.channels
