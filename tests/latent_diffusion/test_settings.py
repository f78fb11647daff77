"""The stages that the network has on a grid: one rule bounds what attention sees."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from configs.layout import Layout
from configs.loading import read_experiment
from configs.schema import Experiment
from latent_diffusion.settings import ATTENDED_CELLS, DiffusionSettings
from training.plan import TrainingPlan

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# Rows and columns of every grid that a shipped configuration is for.
GRIDS = {
    "quickstart": (56, 20),
    "data_space/quickstart": (56, 20),
    "global4deg": (40, 90),
    "data_space/global4deg": (40, 90),
    "eddying_channel": (80, 64),
    "data_space/eddying_channel": (80, 64),
    "patches_of_8/eddying_channel": (80, 64),
    "dino_1deg": (199, 62),
    "dino_quarter": (797, 242),
    "patches_of_8/dino_quarter": (797, 242),
}
SIZES = [(1, 1), (1, 10_000), (33, 32), (10_000, 10_000)]
SIZES += [
    (random.Random(i).randint(1, 5000), random.Random(-i).randint(1, 5000)) for i in range(40)
]


def _settings(channels=(8, 32), **options) -> DiffusionSettings:
    return DiffusionSettings(channels=channels, training=TrainingPlan(samples=1), **options)


def _coarsest(rows: int, columns: int, stages: int) -> int:
    """Halves rows and columns between two stages, rounding up."""
    for _ in range(stages - 1):
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return rows * columns


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("channels", [(32,), (8, 32), (8, 16, 64)])
def test_attention_sees_at_most_so_many_cells_with_as_few_stages_as_can_be(rows, columns, channels):
    settings = _settings(channels)
    widths = settings.widths_on(rows, columns)
    assert _coarsest(rows, columns, len(widths)) <= ATTENDED_CELLS
    appended = len(widths) - len(channels)
    assert widths == channels + channels[-1:] * appended
    if appended:
        assert _coarsest(rows, columns, len(widths) - 1) > ATTENDED_CELLS
        assert settings.record_on(rows, columns) == {"network_widths": list(widths)}
    else:
        assert settings.record_on(rows, columns) == {}
    multiple = 2 ** (len(widths) - 1)  # what the latents are padded to
    padded = [-(-size // multiple) * multiple for size in (rows, columns)]
    assert settings.widths_on(*padded) == widths


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_more_cells_never_have_fewer_stages(rows, columns):
    settings = _settings()
    stages = len(settings.widths_on(rows, columns))
    assert stages <= len(settings.widths_on(rows + 1, columns))
    assert stages <= len(settings.widths_on(rows, 2 * columns))
    assert len(settings.widths_on(2 * rows, 2 * columns)) <= stages + 1


def test_without_attention_the_stages_are_those_of_the_settings():
    assert _settings(attention=False).widths_on(100_000, 100_000) == (8, 32)


@pytest.mark.parametrize("name", GRIDS)
def test_shipped_configurations_have_the_network_that_they_name(name):
    settings = Experiment.model_validate(read_experiment(CONFIGS / f"{name}.yaml"))
    layout = Layout(settings)
    assert settings.diffusion.attention
    assert layout.stages_on(*GRIDS[name]) == len(settings.diffusion.channels)


def test_a_global_grid_of_a_twelfth_degree_has_three_more_stages():
    layout = Layout(Experiment.model_validate(read_experiment(CONFIGS / "dino_quarter.yaml")))
    assert layout.latent_grid(3059, 4322) == (765, 1081)
    assert layout.stages_on(3059, 4322) == 6
