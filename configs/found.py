"""Finds the run or the model that a command names.

Mistakes in its settings are found before PyTorch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from configs.layout import Layout
from configs.loading import checked, load_experiment, named, read_settings
from configs.schema import Experiment
from configs.status import layout_of
from data.checksums import check_file
from data.conditions import condition_names
from data.errors import UserError
from data.ingest_settings import CHECK_FILES
from data.lazily import lazily
from data.paths import check_matches
from data.points import check_names, read_points
from data.shipped import model_to_read
from latent_diffusion.files import EXPERIMENT, INDEX

if TYPE_CHECKING:
    from configs.run import Run


class ModelLayout(Layout):
    """The experiment of a released model; its run directory is the folder of the model."""

    opened_by: ClassVar[str] = "configs.released:ReleasedModel"


def layout_of_config(path: Path, overrides: Sequence[str] = ()) -> Layout:
    """The run of the experiment in a YAML, with `overrides` of its settings."""
    return Layout(load_experiment(path, overrides))


def layout_of_model(path: Path, overrides: Sequence[str] = ()) -> Layout:
    """The released model in the folder `path`, own or shipped; if there is none, the CONFIG's run.

    Raises `UserError` if `path` is none of these.
    """
    folder = model_to_read(path)
    if not folder.is_dir():
        return layout_of_config(path, overrides)
    for name, what in ((INDEX, "model"), (EXPERIMENT, "settings of a model")):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} holds no {what} (no {name}): give the folder of a model, such as one "
                "that halocline pack made, or the CONFIG of a run"
            )
    saved = folder / EXPERIMENT
    check_file(saved)
    given = read_settings(saved, [*overrides, "--run_directory", str(folder)])
    experiment = checked(given, Experiment, source=str(saved), on_command_line=named(overrides))
    return ModelLayout(experiment)


def opened(layout: Layout) -> Run:
    """The run of a layout, with what opens its products; imports PyTorch."""
    run: Run = lazily(layout.opened_by)(layout.settings)
    return run


def load_run(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The run of the experiment in a YAML, with `overrides` of its settings."""
    return opened(layout_of_config(path, overrides))


def run_from_data(path: Path, overrides: Sequence[str] = ()) -> Run:
    """As `load_run`. Raises `UserError` if files that the run is to ingest are not there."""
    layout = layout_of_config(path, overrides)
    data = layout.settings.data
    if data.ingest and not data.stored.exists():
        check_matches(data.ingest.patterns, advice=CHECK_FILES)
    return opened(layout)


def run_or_model(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The run, or the released model, that `layout_of_model` finds."""
    return opened(layout_of_model(path, overrides))


def run_at(path: Path, overrides: Sequence[str] = ()) -> Run:
    """The run of a CONFIG, or the one that is in a directory."""
    return opened(layout_of(path, overrides))


def check_conditions(layout: Layout, texts: Sequence[str]) -> None:
    """Raise `UserError` for names that are none of the run's conditions; texts: as --at has them.

    A run without conditions is left to what draws its states.
    """
    if layout.settings.conditions is None:
        return
    known = condition_names(layout.settings.conditions)
    for point in read_points(texts):
        check_names(point, known)
