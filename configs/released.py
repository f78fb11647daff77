"""A released model's folder in place of a run: it draws states and exports them, without data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from configs.loading import checked, read_settings
from configs.run import Run, load_run
from configs.schema import Experiment
from configs.status import layout_of
from data.archive.reader import StateArchive
from data.checksums import check_file
from data.documents import read_object
from data.errors import UserError
from data.shipped import model_to_read
from latent_diffusion.model_folder import INDEX
from latent_diffusion.origin import EXPERIMENT

RELEASE = "release.json"


class ReleasedModel(Run):
    """The experiment of a released model; its run directory is the folder of the model.

    Nothing is ever written into the folder, and there is no archive.
    """

    @property
    def model_folder(self) -> Path:
        """The released folder itself."""
        return self.directory

    @property
    def exports(self) -> Path:
        """The present folder."""
        return Path()

    @property
    def judged_weights(self) -> str | None:
        """Digest of the weights before they were rounded, with which the model was judged."""
        path = self.directory / RELEASE
        if not path.is_file():
            return self.weights
        found = read_object(path, advice="copy the folder again")
        return str(found.get("weights_of_the_run"))

    def samples(self, row: str) -> Path:
        """Raises `UserError`: samples need a place of their own."""
        raise UserError(
            f"{self.directory} is a released model, which commands do not change: give --output to "
            "sample, and --states to export"
        )

    @cached_property
    def archive(self) -> StateArchive:
        """Raises `UserError`: a released model comes without the states that it was trained on."""
        raise UserError(
            f"{self.directory} is a released model, without the states that it was trained on: use "
            "the run that it was made from"
        )


def released_model(folder: Path, overrides: Sequence[str] = ()) -> ReleasedModel:
    """The released model in `folder`, with overrides of its settings.

    Raises `UserError` if the folder holds no model with its settings.
    """
    for name, what in ((INDEX, "model"), (EXPERIMENT, "settings of a model")):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} holds no {what} (no {name}): give the folder of a model, such as one "
                "that halocline pack made, or the CONFIG of a run"
            )
    path = folder / EXPERIMENT
    check_file(path)
    given = read_settings(path, [*overrides, "--run_directory", str(folder)])
    return ReleasedModel(checked(given, Experiment, source=str(path)))


def run_or_model(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The released model in the folder `path`, own or shipped; if there is none, the CONFIG's run.

    Raises `UserError` if `path` is none of these.
    """
    folder = model_to_read(path)
    return released_model(folder, overrides) if folder.is_dir() else load_run(path, overrides)


def run_at(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The run of a CONFIG, or the one that is in a directory."""
    return Run(layout_of(path, overrides).settings)
