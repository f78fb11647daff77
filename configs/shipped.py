"""The YAMLs that come with Halocline, found by their names from any folder.

The name of a YAML is its path in this package without the ending: `quickstart`,
`data_space/quickstart`, `studies/terms_quickstart`.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from data.errors import UserError

FOLDER = Path(__file__).resolve().parent
NO_CONFIGURATIONS = {"accelerate", "guidance", "methods"}  # folders of YAMLs of other things


def config_file(path: Path) -> Path:
    """The YAML at `path`; if there is none, the shipped one of this name.

    A name may begin with `configs/` and end in `.yaml`, as in a checkout. Raises `UserError` if
    there is neither; it lists the nearest names.
    """
    if path.exists() and not path.is_dir():
        return path
    if (path / "model_index.json").is_file():
        raise UserError(
            f"{path} is the folder of a model, and this command needs an experiment: give the YAML "
            "of the experiment; sample and export also take the folder"
        )
    known = shipped_configs()
    name = _name(path)
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    names = near or [known_name for known_name in known if "/" not in known_name]
    raise UserError(
        f"there is no configuration {path}: neither a file nor one that comes with Halocline, "
        f"{'such as' if near else 'which are'} {', '.join(names)}"
    )


def base_file(base: str | Path, *, of: Path) -> Path:
    """The YAML that the file `of` names as its base: relative to this file, or a shipped one.

    Raises `UserError` if there is neither.
    """
    beside = of.parent / base
    return beside if beside.is_file() else config_file(Path(base))


def shipped_configs() -> dict[str, Path]:
    """The shipped experiments and studies by their names."""
    found = sorted(FOLDER.rglob("*.yaml"))
    return {
        _name(path.relative_to(FOLDER)): path
        for path in found
        if not NO_CONFIGURATIONS & {*path.relative_to(FOLDER).parts}
    }


def _name(path: Path) -> str:
    text = path.as_posix().removeprefix("configs/")
    return text.removesuffix(".yaml")
