"""The formats of initial conditions by name."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from data.errors import UserError
from data.restarts.cf import CfFile
from data.restarts.initial_condition import InitialConditionWriter
from data.restarts.mitgcm import MitgcmFiles
from data.restarts.nemo import NemoPair
from data.restarts.nemo_restart import NemoRestart
from data.restarts.veros import VerosRestart

_WRITERS: dict[str, Any] = {
    "cf": CfFile,
    "nemo": NemoPair,
    "nemo-restart": NemoRestart,
    "mitgcm": MitgcmFiles,
    "veros-restart": VerosRestart,
}
FORMATS = tuple(_WRITERS)
_SUFFIXES = {"mitgcm": ".bin", "veros-restart": ".h5"}


def default_name(name: str, member: int) -> str:
    """The file name of a member in the format `name`; each format has its own."""
    kind = "" if name == "cf" else f"_{name}"
    return f"initial_condition_{member}{kind}{_SUFFIXES.get(name, '.nc')}"


def build_writer(name: str, **options: Any) -> InitialConditionWriter:
    """The writer of the format `name`; an option that is None is not set.

    Raises UserError for an unknown format, an option that does not apply, or a missing one.
    """
    if name not in _WRITERS:
        raise UserError(f"there is no format {name}: use one of {', '.join(FORMATS)}.")
    given = {key: value for key, value in options.items() if value is not None}
    known = {field.name: field.default is MISSING for field in fields(_WRITERS[name])}
    foreign = [_option(key) for key in given if key not in known]
    if foreign:
        raise UserError(f"the format {name} does not take {', '.join(foreign)}: leave it out.")
    missing = [_option(key) for key, needed in known.items() if needed and key not in given]
    if missing:
        raise UserError(f"the format {name} needs {', '.join(missing)}: see halocline export -h.")
    return _WRITERS[name](**given)


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
