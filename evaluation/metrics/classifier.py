"""Classifier two-sample test: how well a small network tells two sets of states apart.

Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests". The test sees every statistic
that a convolutional network can learn from a few dozen states, such as the shape of eddies and the
covariance of T, S and depth. Its score is the area under the ROC curve (AUC; Fawcett 2006): the
probability that a generated state looks more generated to the network than a reference state does.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from data.grid import OceanGrid, wet_tensor
from data.state import State
from evaluation.columns import Column

FEWEST_STATES = 8  # halves of fewer than four states show nothing of a distribution
MOST_STATES = 64  # of each set; a network learns more from more states, so the AUC would grow
WINDOW = 96  # rows and columns; bounds the cost on large grids
SEEDS = (0, 1)
ITERATIONS = 30  # the AUC of held-back states no longer grows after about 20
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
WIDTHS = (24, 64)

COLUMNS = (
    Column(
        "auc_surface", "classifier AUC, surface", "",
        "probability that a network tells a generated from a held-out state by T and S of the top "
        "level; target: 0.5 (±0.06 by chance); 1: always told apart",
        target=0.5,
    ),
    Column(
        "auc_all_levels", "classifier AUC, all levels", "",
        "as at the surface, by T and S of all levels; where the model drifts, held-out states "
        "differ from training states too",
        target=0.5,
    ),
    Column(
        "auc_surface_training", "classifier AUC against training, surface", "",
        "as at the surface, against training states; target: 0.5", target=0.5,
    ),
    Column(
        "auc_all_levels_training", "classifier AUC against training, all levels", "",
        "as at all levels, against training states; target: 0.5", target=0.5,
    ),
)  # fmt: skip


def two_sample_metrics(
    state: State, reference: State, grid: OceanGrid, *, suffix: str = ""
) -> dict[str, float]:
    """AUC of the classifier by T and S of the top level, and by T and S of all levels.

    suffix: ends the keys; "" for held-out, "_training" for training states as reference. Sea level
    is left out. Of a grid of more than 96 rows or columns, only the window of that size with most
    ocean at the surface is seen. The reference must be in the order of time, see `two_sample_auc`.
    """
    wet = wet_tensor(grid)
    window = wettest_window(wet[0], size=WINDOW)
    state, reference = (each.map(lambda field: field[..., *window]) for each in (state, reference))
    wet = wet[:, *window]
    levels = {"auc_surface": 1, "auc_all_levels": len(wet)}
    return {
        key + suffix: two_sample_auc(
            _top_levels(state, count),
            _top_levels(reference, count),
            wet=torch.cat([wet[:count], wet[:count]]),
        )
        for key, count in levels.items()
    }


def wettest_window(wet: Tensor, *, size: int) -> tuple[slice, slice]:
    """Rows and columns of the window of at most `size` by `size` with most wet cells of `y x`."""
    rows, columns = (min(size, length) for length in wet.shape)
    sums = F.pad(wet.long().cumsum(0).cumsum(1), (1, 0, 1, 0))
    strips = sums[rows:] - sums[:-rows]
    count = strips[:, columns:] - strips[:, :-columns]
    y, x = divmod(int(count.argmax()), count.shape[1])
    return slice(y, y + rows), slice(x, x + columns)


def two_sample_auc(
    generated: Tensor, reference: Tensor, *, wet: Tensor, seeds: Sequence[int] = SEEDS
) -> float:
    """AUC with which a network tells `generated` from `reference` states, both `b c y x`.

    wet: `c y x`, True in the ocean; land has no effect. The mean over `seeds` and two folds: the
    network learns on one half of both sets and is tested on the other, then the halves swap.
    0.5: the sets cannot be told apart; 1: always. NaN with fewer than 8 states in either set, or
    NaN in a wet cell. States of a model run must be in the order of time. Runs on the device of
    the states, and leaves the global random numbers as they are.
    """
    count = min(len(generated), len(reference), MOST_STATES) // 2 * 2
    if count < FEWEST_STATES:
        return float("nan")
    areas: list[float] = []
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        sets = torch.stack([_draw(states, count, random) for states in (generated, reference)])
        areas += _areas_of_folds(sets, wet.to(sets.device), random)
    return fmean(areas)


def roc_area(positive: Tensor, negative: Tensor) -> float:
    """Area under the ROC curve of scores `n` and `m`: how often a positive scores higher.

    The Mann-Whitney statistic (Fawcett 2006, section 7); ties count half. NaN if a score is.
    """
    difference = positive[:, None].double() - negative
    if not difference.isfinite().all():
        return float("nan")
    return float((1 + difference.sign()).mean() / 2)


def _top_levels(state: State, count: int) -> Tensor:
    """T, then S of the top `count` levels, `b c y x`."""
    return torch.cat([state.temperature[:, :count], state.salinity[:, :count]], dim=1)


def _draw(states: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` of the states, drawn at random, in their order.

    Evenly spaced reference states would repel each other: a generated state, drawn at random, then
    lies closer to those that the network has learned than the next reference state does. The AUC
    of perfect samples would be 0.4.
    """
    if len(states) == count:
        return states
    return states[torch.randperm(len(states), generator=random)[:count].sort().values]


def _areas_of_folds(sets: Tensor, wet: Tensor, random: torch.Generator) -> list[float]:
    """AUC of both folds, for generated and reference states `2 b c y x`."""
    half = _balanced_half(sets.shape[1])
    return [
        _area_of_fold(sets[:, learned], sets[:, ~learned], wet, random) for learned in (half, ~half)
    ]


def _balanced_half(count: int) -> Tensor:
    """Which of `count` states form the first half, `b`: the Thue-Morse sequence.

    States of a run drift, and come member by member. Contiguous halves would hold other members or
    another part of the drift: what tells the first from generated states is wrong for the second,
    and the AUC of perfect samples is 0.3. Here each half gets one of two neighbours, so both hold
    the same; strict alternation could pick up a cycle, such as the season. Neighbours in time are
    alike, so a run with few independent states is known a little too well: its AUC may exceed 0.5
    even for perfect samples.
    """
    return torch.tensor([position.bit_count() % 2 == 0 for position in range(count)])


def _area_of_fold(learned: Tensor, tested: Tensor, wet: Tensor, random: torch.Generator) -> float:
    """AUC for `tested` states of a network that `learned` others, both `2 b c y x`."""
    learned, tested = _normalised(learned, tested, wet)
    with torch.enable_grad():
        network = _learn(_Classifier(learned.shape[2], random).to(learned.device), learned)
    with torch.no_grad():
        generated, reference = (network(states).cpu() for states in tested)
    return roc_area(generated, reference)


def _normalised(learned: Tensor, tested: Tensor, wet: Tensor) -> tuple[Tensor, Tensor]:
    """Anomalies of both, in units of the standard deviation of each channel; 0 on land.

    Mean and deviation are those of both sets that are learned, together: the reference's own mean
    would make its anomalies smaller than those of other states, which gives it away.
    """
    climatology = learned.double().mean(dim=(0, 1))
    first, second = (torch.where(wet, states - climatology, 0.0) for states in (learned, tested))
    variance = first.square().sum(dim=(0, 1, 3, 4)) / wet.sum(dim=(1, 2)).clamp(min=1)
    scale = (variance / (2 * learned.shape[1])).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)[:, None, None]
    return (first / scale).float(), (second / scale).float()


class _Classifier(nn.Module):
    """Scores `b` of states `b c y x`: two strided convolutions, mean and maximum over the basin.

    The mean sees what is common in a state, the maximum what is rare, such as convection.
    """

    def __init__(self, channels: int, random: torch.Generator) -> None:
        super().__init__()
        shapes = zip((channels, *WIDTHS), WIDTHS, strict=False)
        self.convolutions = nn.ModuleList(_convolution(*shape, random) for shape in shapes)
        self.score = skip_init(nn.Linear, 2 * WIDTHS[-1], 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, states: Tensor) -> Tensor:
        for convolution in self.convolutions:
            states = F.silu(convolution(states))
        pooled = torch.cat([states.mean(dim=(2, 3)), states.amax(dim=(2, 3))], dim=1)
        return self.score(pooled)[:, 0]


def _convolution(before: int, after: int, random: torch.Generator) -> nn.Conv2d:
    """A convolution of stride 2 whose weights come from `random`, not from global numbers."""
    layer = skip_init(nn.Conv2d, before, after, 3, stride=2, padding=1)
    nn.init.kaiming_normal_(layer.weight, generator=random)
    nn.init.zeros_(layer.bias)
    return layer


def _learn(network: _Classifier, sets: Tensor) -> _Classifier:
    """Fit the scores of generated and reference states `2 b c y x`: high, and low."""
    states = sets.flatten(0, 1)
    label = torch.tensor([1.0, 0.0], device=sets.device).repeat_interleave(sets.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=ITERATIONS, pct_start=0.2
    )
    for _ in range(ITERATIONS):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(states), label).backward()
        optimiser.step()
        schedule.step()
    return network
