"""Where a run keeps its products, and the settings that they depend on; read without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from configs.schema import Experiment
from training.records import Record

ROWS = ("unguided", "guided", "guided_adjusted")  # the ensembles that are evaluated
PRODUCT = ROWS[-1]


class Layout:
    """Paths of the products of an experiment, and what they depend on.

    settings: the experiment
    opened_by: MODULE:CLASS of the run itself
    """

    opened_by: ClassVar[str] = "configs.run:Run"

    def __init__(self, settings: Experiment) -> None:
        self.settings = settings

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self.settings.run_directory

    def latent_grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the latents, without padding, on a grid of `rows` x `columns`."""
        autoencoder = self.settings.autoencoder
        width = 1 if autoencoder.kind == "identity" else autoencoder.factor
        return -(-rows // width), -(-columns // width)

    def stages_on(self, rows: int, columns: int) -> int:
        """Stages of the denoiser on a grid of `rows` x `columns`; each halves the latent grid."""
        latent_grid = self.latent_grid(rows, columns)
        return len(self.settings.diffusion.widths_on(*latent_grid))

    @property
    def codec_folder(self) -> Path:
        """Folder of the trained codec."""
        return self.directory / "autoencoder" / "codec"

    @property
    def model_folder(self) -> Path:
        """Folder of the trained model."""
        return self.directory / "model"

    @property
    def codec_settings(self) -> Record:
        """The settings that the codec depends on."""
        return {
            "autoencoder": self.settings.autoencoder.record,
            "diffusion_stages": len(self.settings.diffusion.channels),
        }

    @property
    def model_settings(self) -> Record:
        """The settings of codec and denoiser, without their training data."""
        settings = self.codec_settings | {"diffusion": self.settings.diffusion.record}
        if self.settings.conditions:
            settings |= {"conditions": self.settings.conditions.model_dump(mode="json")}
        if self.settings.distillation is None:
            return settings
        sampling = self.settings.sampling.model_dump(
            mode="json", include={"steps", "scheduler", "scheduler_options"}
        )
        distillation = self.settings.distillation.record | {"sampling": sampling}
        return settings | {"distillation": distillation}

    def samples(self, row: str) -> Path:
        """Path of the samples of one of `ROWS`."""
        return self.directory / "samples" / f"{row}.zarr"

    def samples_of_seed(self, seed: int) -> Path:
        """Path of the product of a sampling seed that the run is judged with."""
        first = seed == self.settings.sampling.seed
        return self.samples(PRODUCT if first else f"{PRODUCT}_seed_{seed}")
