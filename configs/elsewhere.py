"""A run whose model is judged with the states of another archive, in a folder of its own."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from configs.run import Run
from configs.schema import Experiment
from data.archive.format import ZIP_SUFFIX
from data.archive.held_out import HeldOut
from data.archive.reader import StateArchive
from data.archive.verification import verify_once
from data.errors import UserError
from training.launch import main_first

FOLDER = "evaluations"  # in the run directory


class RunElsewhere(Run):
    """A run with another truth: states of `other`, of the part `split`.

    Training states, codec and denoiser are the run's own; samples, metrics, figures and report are
    in `folder`. The default folder is named after archive and part.
    """

    def __init__(
        self,
        settings: Experiment,
        other: Path,
        *,
        split: str | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(settings)
        self._other, self._split = other, split
        self._folder = folder or self.directory / FOLDER / "_".join(filter(None, [
            other.name.removesuffix(ZIP_SUFFIX).removesuffix(".zarr"), split
        ]))  # fmt: skip
        if self._folder.resolve() == self.directory.resolve():
            raise UserError(
                f"{self._folder} is the run's own directory: choose another --output, so that its "
                "evaluation with its own archive is kept"
            )

    def _of(self, settings: Experiment) -> Run:
        return RunElsewhere(settings, self._other, split=self._split, folder=self._folder)

    @property
    def results(self) -> Path:
        """Folder of the evaluation with the other archive."""
        return self._folder

    def samples(self, row: str) -> Path:
        """Path of the samples at the conditions of the other archive."""
        return self._folder / "samples" / f"{row}.zarr"

    @cached_property
    def held_out(self) -> HeldOut:
        """The states of the other archive.

        Raises `UserError` if its grid, variables, units or equation of state are not the model's,
        and for states that the model was trained on.
        """
        archive = StateArchive.open(self._other)
        try:
            self.codec().check_archive(archive)
        except UserError as error:
            raise UserError(f"{self._other} does not fit the model: {error}") from error
        found = HeldOut.of(archive, self._split)
        if found.has_training_states and archive.digest == self.archive.digest:
            raise UserError(
                f"{self._other} is the archive that the model was trained on, and --split "
                f"{self._split} has its training states: choose --split test or validation"
            )
        return found

    def verify_archive(self) -> None:
        """Verify both archives, each once."""
        super().verify_archive()
        main_first(lambda: verify_once(self.held_out.archive, self._folder / "archive.json"))
