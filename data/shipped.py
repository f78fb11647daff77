"""Files that come with the installed packages, found by the names that they have in a checkout.

A path in settings is relative to the working directory. A file to read that is not there is looked
for under the same name among the packages; nothing is ever written there.
"""

from __future__ import annotations

from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent  # the checkout, or site-packages
FOLDERS = ("configs", "data/archives")
MODELS = "data/models"


def to_read(path: Path) -> Path:
    """`path`, or if it does not exist the shipped file of that name, if there is one."""
    return path if path.exists() else shipped(path) or path


def shipped(path: Path) -> Path | None:
    """The file that the packages have at the relative `path`; None if there is none."""
    if path.is_absolute() or ".." in path.parts:
        return None
    is_within = any(path.is_relative_to(folder) for folder in FOLDERS)
    return PACKAGES / path if is_within and (PACKAGES / path).is_file() else None


def model_to_read(path: Path) -> Path:
    """The folder of a model at `path`, or if there is none the shipped one of this name, if any.

    Shipped models are `data/models/NAME`, as in a checkout.
    """
    is_shipped = path.parent == Path(MODELS) and path.name != ".." and (PACKAGES / path).is_dir()
    return PACKAGES / path if is_shipped and not path.is_dir() else path
