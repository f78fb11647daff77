"""A released model's folder in place of a run: it draws states and exports them, without data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from configs.run import Run
from data.archive.reader import StateArchive
from data.documents import read_object
from data.errors import UserError

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
