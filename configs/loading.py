"""From a YAML and `--section.key value` overrides to a checked experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.schema import Experiment
from configs.shipped import base_file, config_file
from data.errors import UserError, shown
from data.validation import Settings, checked, one_line, read_mapping
from data.yaml_text import parse

__all__ = [
    "checked",
    "load_experiment",
    "load_settings",
    "merged",
    "named",
    "read_experiment",
    "read_settings",
]


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment: a file, or a shipped one by name (`configs.shipped`).

    `overrides` alternate between `--section.key` and its value; values are read as YAML. Raises
    `UserError` for a missing file, invalid YAML, unknown keys and wrong values.
    """
    path = config_file(path)
    content = read_experiment(path, overrides)
    return checked(content, Experiment, source=str(path), on_command_line=named(overrides))


def load_experiments(paths: Sequence[Path], overrides: Sequence[str] = ()) -> list[Experiment]:
    """Several experiments with the same overrides."""
    return [load_experiment(path, overrides) for path in paths]


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The unchecked settings of an experiment's YAML, merged into those of its `base`, if any.

    A section may have a base, too: a YAML of the settings of that section. The path of a base is
    relative to the file that names it, or it is the name of a shipped YAML; a base may have a base.
    Raises `UserError` as `read_settings` does, and for circular bases.
    """
    return _overridden(_with_bases(path, above=()), overrides)


def _with_bases(path: Path, *, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise UserError(f"{path} is a base of itself; bases must not be circular")
    return _over_bases(read_settings(path), path, above=(*above, path.resolve()))


def _over_bases(content: dict[str, Any], path: Path, *, above: tuple[Path, ...]) -> dict[str, Any]:
    """`content` of the file at `path` merged into its base, and likewise each of its sections."""
    own = {
        key: _over_bases(value, path, above=above) if isinstance(value, dict) else value
        for key, value in content.items()
    }
    base = own.pop("base", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise UserError(f"{path}: base is {shown(base)}; expected the path of another YAML")
    return merged(_with_bases(base_file(base, of=path), above=above), own)


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`settings` updated with `changes`: sections are merged, other values are replaced."""
    result = dict(settings)
    for key, value in changes.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)
        result[key] = value
    return result


def load_settings(
    path: Path, model: type[Settings], overrides: Sequence[str] = (), *, example: str
) -> Settings:
    """The settings in a YAML that is no experiment, with overrides applied, and checked.

    example: shipped YAML that a message compares with. Raises `UserError` as `load_experiment`.
    """
    return checked(
        read_settings(path, overrides),
        model,
        source=str(path),
        example=example,
        on_command_line=named(overrides),
    )


def read_settings(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The unchecked settings in a YAML, with overrides applied.

    Raises `UserError` for a missing file or a file that is not a mapping.
    """
    return _overridden(read_mapping(config_file(path)), overrides)


def _overridden(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for key, value in _pairs(overrides):
        _set(content, key, value)
    return content


def named(overrides: Sequence[str]) -> list[str]:
    """The dotted keys that overrides give."""
    return [name for name, _ in _pairs(overrides)]


def _pairs(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    words: list[str] = []
    for word in overrides:
        words.extend(word.split("=", 1) if word.startswith("--") and "=" in word else [word])
    for name in words[::2]:
        if not name.startswith("--"):
            raise UserError(
                f"found {shown(name)} where a setting was expected; write --section.key value"
            )
    if len(words) % 2:
        raise UserError(f"the setting {words[-1]} has no value; write --section.key value")
    return [
        (name[2:], _value(name, text)) for name, text in zip(words[::2], words[1::2], strict=True)
    ]


def _value(name: str, text: str) -> Any:
    try:
        return parse(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"the value of {name} is not valid YAML: found {shown(text)} ({one_line(error)})"
        ) from error


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UserError(f"--{key} names no setting: {section} is a value, not a section")
    content[name] = value
