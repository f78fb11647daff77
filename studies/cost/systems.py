"""The systems compared by the benchmark, each an experiment, and their synthetic ocean.

They are the experiment, its variants, the same sampler in data space, and the method of the seed
paper (Meunier et al. 2025) in data space: DDPM with 1000 steps and a constraint on the mean profile
of the noisy sample.
"""

from __future__ import annotations

from pathlib import Path

import configs
from autoencoder.settings import AutoencoderSettings
from configs import Experiment
from configs.loading import checked, merged, read_settings
from data.archive.reader import StateArchive
from data.errors import UserError
from guidance.settings import GuidanceSettings
from studies.cost.synthetic import NOISE, SyntheticArchive, synthetic_grid

LATENT, DATA_SPACE, SEED_PAPER = "latent", "data space", "data space, 1000 steps"
DATA_SPACE_CHANNELS = (64, 64, 128, 128)
DATA_SPACE_BLOCKS = 1  # residual blocks per stage; more would favour the codec
SEED_PAPER_BLOCKS = 2
SEED_PAPER_STEPS = 1000
SEED_PAPER_GUIDANCE = Path(configs.__file__).parent / "guidance" / "seed_paper.yaml"


def systems_of(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment, its variants, and its counterparts in data space and of the seed paper.

    Raises `UserError` for an invalid variant.
    """
    data_space = in_data_space(experiment)
    return {
        LATENT: experiment,
        **variants_of(experiment),
        DATA_SPACE: data_space,
        SEED_PAPER: as_seed_paper(data_space),
    }


def in_data_space(experiment: Experiment) -> Experiment:
    """The experiment without autoencoder and with the data-space network."""
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
    """A data-space experiment with the network, sampler and guidance of the seed paper."""
    network = experiment.diffusion.model_copy(update={"blocks": SEED_PAPER_BLOCKS})
    sampling = experiment.sampling.model_copy(
        update={"steps": SEED_PAPER_STEPS, "scheduler": "DDPMScheduler", "scheduler_options": {}}
    )
    return experiment.model_copy(
        update={"diffusion": network, "sampling": sampling, "guidance": seed_paper_guidance()}
    )


def seed_paper_guidance() -> GuidanceSettings:
    """The guidance of the seed paper at its published strength."""
    content = read_settings(SEED_PAPER_GUIDANCE)
    return checked(content, GuidanceSettings, source=str(SEED_PAPER_GUIDANCE))


def variants_of(experiment: Experiment) -> dict[str, Experiment]:
    """The variants of the section `benchmark` by name."""
    settings = experiment.benchmark
    own = experiment.model_dump(mode="json")
    return {
        f"{LATENT}, {name}": checked(
            merged(own, changes), Experiment, source=f"benchmark.variants.{name}"
        )
        for name, changes in (settings.variants if settings else {}).items()
    }


def one_at_a_time(experiment: Experiment) -> Experiment:
    """The experiment with batches of one state, to save memory."""
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


def synthetic_archive(experiment: Experiment, *, held_out: int = 1) -> SyntheticArchive:
    """Synthetic states on the grid of the section `benchmark`, or else of the archive.

    Two for training, and `held_out` for validation.

    Raises `UserError` if the experiment has neither.
    """
    settings, path = experiment.benchmark, experiment.data.stored
    if settings is not None:
        shape, periodic_x, sea_level = settings.grid, settings.periodic_x, settings.sea_level
    elif path.exists():
        archive = StateArchive.open(path)
        levels, rows, columns = archive.grid.shape
        shape, periodic_x = (levels, rows, columns), archive.grid.periodic_x
        sea_level = archive.has_sea_level
    else:
        raise UserError(
            f"{path}, which defines the grid of {experiment.name}, does not exist; create it, or "
            "add a grid in the section benchmark, as in configs/dino_quarter.yaml"
        )
    grid = synthetic_grid(*shape, periodic_x=periodic_x)
    return SyntheticArchive(
        grid, has_sea_level=sea_level, samples=2 + held_out, held_out=held_out, noise=NOISE
    )
