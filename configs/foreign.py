"""States of another model, read with the means of `halocline init` and `ingest`."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.draft import given_settings
from data.archive.reader import StateArchive
from data.documents import read_object
from data.equations import is_conservative
from data.errors import UserError
from data.grid import OceanGrid
from data.ingest import ingest
from data.ingest_settings import IngestSettings
from data.inspection import inspect
from data.kinds import taken_kinds
from data.paths import matching
from data.state import State
from data.urls import is_url
from data.validation import checked
from training.log import write_json

SPLIT = {"split": "all_test"}
ARCHIVES = (".zarr", ".zarr.zip")


def foreign_archive(
    files: Sequence[str], *, settings: Sequence[str] = (), output: Path
) -> StateArchive:
    """The states in an archive of Halocline, or in files of model output.

    files: the archive, or paths and patterns that `halocline init` could inspect; settings: of
    `data.ingest` as KEY=VALUE, which files do not state; output: archive to make of files, which is
    used again while files and settings are the same

    Raises `UserError` for files that no reader accepts.
    """
    if len(files) == 1 and files[0].rstrip("/").endswith(ARCHIVES) and not is_url(files[0]):
        return StateArchive.open(files[0].rstrip("/"))
    made_of = output.with_name(output.name + ".json")
    record = {"files": _described(files), "settings": [_stated(word) for word in settings]}
    if output.exists():
        if not made_of.is_file():
            raise UserError(
                f"{output} exists but was not made by this command: remove or rename it"
            )
        if read_object(made_of, advice="remove it") == record:
            return StateArchive.open(output)
        made_of.unlink()
        shutil.rmtree(output)
    found = inspect(files, given=given_settings(settings) | SPLIT)
    known: dict[str, Any] = {key: one.value for key, one in found.settings.items()}
    for key, one in found.settings.items():
        if one.check:
            print(f"check {key}: {one.value} ({one.why}); --set {key}=VALUE changes it")
    for note in found.notes:
        print(f"check: {note}")
    output.parent.mkdir(parents=True, exist_ok=True)
    ingest(checked(known | SPLIT, IngestSettings, source=", ".join(files)), output=output)
    write_json(made_of, record)
    return StateArchive.open(output)


def _described(patterns: Sequence[str]) -> list[list[object]]:
    """Path, size and time of the last change of each file, also of those in folders.

    Of URLs the name alone: their files are copied once, and their stores hardly ever change.
    """
    if any(is_url(pattern) for pattern in patterns):
        local = [pattern for pattern in patterns if not is_url(pattern)]
        urls: list[list[object]] = [[pattern] for pattern in patterns if is_url(pattern)]
        return [*urls, *_described(local)]
    paths = [path.absolute() for pattern in patterns for path in matching(pattern)]
    inside = [file for path in paths if path.is_dir() for file in sorted(path.rglob("*"))]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in (*paths, *inside)]


def _stated(word: str) -> list[object]:
    """A setting, and what it names if that is a file."""
    value = word.partition("=")[2]
    return [word, _described([value]) if Path(value).exists() else []]


def in_kinds_of(state: State, grid: OceanGrid, *, source: str, target: str, convert: bool) -> State:
    """States with the kinds of temperature and salinity that the equation of state `target` takes.

    source: name of the equation of state that the states are of; convert: convert them with gsw

    Raises `UserError` if they are of another kind and `convert` is not given, or gsw is missing.
    """
    if is_conservative(source) == is_conservative(target):
        return state
    if not convert:
        have, want = (" and ".join(taken_kinds(one).values()) for one in (source, target))
        raise UserError(
            f"the states are of {source}, with {have} temperature and salinity, the model's "
            f"equation of state {target} takes {want}: give --convert to convert them with gsw"
        )
    if grid.horizontal_units != "degrees":
        raise UserError(
            "the states have positions in km: expected degrees to convert salinity, which depends "
            "on the place; convert the files first"
        )
    try:
        gsw = importlib.import_module("gsw")
    except ImportError as error:
        raise UserError(
            "converting needs gsw, which is not installed: install it with "
            "pip install 'halocline[observations]'"
        ) from error
    return _converted(state, grid, gsw, to_conservative=is_conservative(target))


def _converted(state: State, grid: OceanGrid, gsw: Any, *, to_conservative: bool) -> State:
    longitude, latitude = grid.positions
    pressure = gsw.p_from_z(-grid.depth[:, None, None], latitude)
    place = pressure, longitude % 360, latitude
    temperature, salinity = (x.double().numpy() for x in (state.temperature, state.salinity))
    if to_conservative:
        absolute = gsw.SA_from_SP(salinity, *place)
        fields = gsw.CT_from_pt(absolute, temperature), absolute
    else:
        fields = gsw.pt_from_CT(salinity, temperature), gsw.SP_from_SA(salinity, *place)
    wet = [np.where(grid.wet & np.isfinite(field), field, 0.0) for field in fields]
    lost = sum(int((grid.wet & ~np.isfinite(field)).any(axis=0).sum()) for field in fields)
    if lost:
        raise UserError(
            f"gsw knows no sea water in {lost} cells of the states: expected positions in the "
            "ocean; convert the files first"
        )
    warm, salt = (torch.from_numpy(field).to(state.temperature) for field in wet)
    return State(warm, salt, state.sea_level)
