"""Whether Halocline's packages are what their names lead to.

The names are generic: a `data.py` or a folder `training/` of the user that comes first on Python's
path would be imported in their place, as with `python -m halocline` in the folder that has it. Only
the standard library is used here, so that this is found before anything else is imported.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    *("data", "guidance", "training", "autoencoder", "latent_diffusion", "configs"),
    *("evaluation", "integration", "studies"),
)
HERE = Path(__file__).resolve().parent


def refuse_hidden(*names: str) -> None:
    """Raise `ImportError`, with one sentence, if one of the packages `names` is not Halocline's."""
    for name in names:
        found = _place(name)
        if found != HERE / name:
            raise ImportError(_sentence(name, found), name=name)


def exit_if_hidden() -> None:
    """End the command with one sentence if one of the packages is not Halocline's."""
    try:
        refuse_hidden(*PACKAGES)
    except ImportError as error:
        sys.exit(f"halocline: {error}")


def _place(name: str) -> Path | None:
    """The file or folder that Python imports as `name`; None if there is none."""
    imported = sys.modules.get(name)
    spec = imported.__spec__ if imported else find_spec(name)
    if spec and spec.origin and not spec.submodule_search_locations:
        return Path(spec.origin).resolve()
    folders = spec.submodule_search_locations if spec else None
    if folders:
        return Path(next(iter(folders))).resolve()
    file = getattr(imported, "__file__", None)
    return Path(file).resolve() if file else None


def _sentence(name: str, found: Path | None) -> str:
    if found is None:
        return f"the package {name} is missing in {HERE}: install Halocline again"
    return (
        f"{found} hides Halocline's package {name}, which is in {HERE}: rename it, or run from "
        "another folder and without this one on PYTHONPATH"
    )
