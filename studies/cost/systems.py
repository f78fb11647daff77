"""The systems that the benchmark compares, each an experiment, and the ocean they are measured on.

The experiment itself; its variants; the same sampler in data space; and the recipe of the seed
paper (Meunier et al. 2025) in data space: 1000 steps of DDPM with the mean profile as constraint on
the noisy sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import configs
from autoencoder.settings import AutoencoderSettings
from configs import Experiment, load_experiment
from configs.loading import checked, merged, read_settings
from data.archive.reader import StateArchive
from data.errors import UserError
from guidance.settings import GuidanceSettings
from studies.cost.synthetic import NOISE, SyntheticArchive, synthetic_grid

LATENT, DATA_SPACE, SEED_PAPER = "latent", "data space", "data space, 1000 steps"
DATA_SPACE_CHANNELS = (64, 64, 128, 128)
DATA_SPACE_BLOCKS = 1  # residual blocks in a stage; more would flatter the codec
SEED_PAPER_BLOCKS = 2  # of its network
SEED_PAPER_STEPS = 1000
SEED_PAPER_GUIDANCE = Path(configs.__file__).parent / "guidance" / "seed_paper.yaml"


def load_experiments(paths: Sequence[Path], overrides: Sequence[str]) -> list[Experiment]:
    """Several experiments, the same settings changed in each."""
    return [load_experiment(path, overrides) for path in paths]


def systems_of(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment itself, its variants, in data space, and as the seed paper draws states.

    Raises `UserError` for a variant that is no experiment.
    """
    data_space = in_data_space(experiment)
    return {
        LATENT: experiment,
        **variants_of(experiment),
        DATA_SPACE: data_space,
        SEED_PAPER: as_seed_paper(data_space),
    }


def in_data_space(experiment: Experiment) -> Experiment:
    """The experiment without an autoencoder, and with the data-space network."""
    plain = experiment.diffusion.model_copy(
        update={
            "channels": DATA_SPACE_CHANNELS,
            "blocks": DATA_SPACE_BLOCKS,
            "attention": False,
            "dropout": 0.0,
        }
    )
    identity = AutoencoderSettings(kind="identity", training=experiment.autoencoder.training)
    return experiment.model_copy(update={"autoencoder": identity, "diffusion": plain})


def as_seed_paper(experiment: Experiment) -> Experiment:
    """An experiment in data space with the seed paper's network, sampler and guidance."""
    network = experiment.diffusion.model_copy(update={"blocks": SEED_PAPER_BLOCKS})
    sampling = experiment.sampling.model_copy(
        update={"steps": SEED_PAPER_STEPS, "scheduler": "DDPMScheduler", "scheduler_options": {}}
    )
    return experiment.model_copy(
        update={"diffusion": network, "sampling": sampling, "guidance": seed_paper_guidance()}
    )


def seed_paper_guidance() -> GuidanceSettings:
    """The seed paper's guidance at its published strength."""
    content = read_settings(SEED_PAPER_GUIDANCE)
    return checked(content, GuidanceSettings, source=str(SEED_PAPER_GUIDANCE))


def variants_of(experiment: Experiment) -> dict[str, Experiment]:
    """What the section `benchmark` adds to be measured beside the experiment, by name."""
    settings = experiment.benchmark
    own = experiment.model_dump(mode="json")
    return {
        f"{LATENT}, {name}": checked(
            merged(own, changes), Experiment, source=f"benchmark.variants.{name}"
        )
        for name, changes in (settings.variants if settings else {}).items()
    }


def one_at_a_time(experiment: Experiment) -> Experiment:
    """The experiment with batches of one state, which fit into memory on any grid."""
    single = {"batch_size": 1}
    return experiment.model_copy(
        update={
            name: stage.model_copy(update={"training": stage.training.model_copy(update=single)})
            for name, stage in (
                ("autoencoder", experiment.autoencoder),
                ("diffusion", experiment.diffusion),
            )
        }
    )


def synthetic_archive(experiment: Experiment) -> SyntheticArchive:
    """States without land on the grid of the experiment's archive, or of its section `benchmark`.

    Raises `UserError` if it has neither.
    """
    settings, path = experiment.benchmark, experiment.data.archive
    if settings is not None:
        shape, periodic_x, sea_level = settings.grid, settings.periodic_x, settings.sea_level
    elif path.exists():
        archive = StateArchive.open(path)
        levels, rows, columns = archive.grid.shape
        shape, periodic_x = (levels, rows, columns), archive.grid.periodic_x
        sea_level = archive.has_sea_level
    else:
        raise UserError(
            f"{path}, whose grid {experiment.name} is measured on, does not exist; make it, or "
            "name a grid in the section benchmark, as in configs/dino_quarter.yaml"
        )
    grid = synthetic_grid(*shape, periodic_x=periodic_x)
    return SyntheticArchive(grid, has_sea_level=sea_level, noise=NOISE)
