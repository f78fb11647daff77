"""From a YAML and `--section.key value` overrides to a checked experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.keys import suggestion
from configs.schema import Experiment
from configs.yaml_text import parse
from data.documents import read_text, reason
from data.errors import UserError, shown

Settings = TypeVar("Settings", bound=BaseModel)
INGEST_EXAMPLE = "configs/global4deg.yaml"


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment.

    `overrides` alternate between `--section.key` and its value; values are read as YAML. Raises
    `UserError` for a missing file, invalid YAML, unknown keys and wrong values.
    """
    return checked(read_experiment(path, overrides), Experiment, source=str(path))


def load_experiments(paths: Sequence[Path], overrides: Sequence[str] = ()) -> list[Experiment]:
    """Several experiments with the same overrides."""
    return [load_experiment(path, overrides) for path in paths]


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The unchecked settings of an experiment's YAML, merged into those of its `base`, if any.

    A section may have a base, too: a YAML of the settings of that section. The path of a base is
    relative to the file that names it, and a base may have a base. Raises `UserError` as
    `read_settings` does, and for circular bases.
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
    return merged(_with_bases(path.parent / base, above=above), own)


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`settings` updated with `changes`: sections are merged, other values are replaced."""
    result = dict(settings)
    for key, value in changes.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merged(below, value)
        result[key] = value
    return result


def read_settings(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The unchecked settings in a YAML, with overrides applied.

    Raises `UserError` for a missing file or a file that is not a mapping.
    """
    if not path.exists():
        raise UserError(f"there is no configuration {path}; the shipped ones are in configs/")
    try:
        content = parse(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} has no settings; expected a mapping with name, data, autoencoder, ..."
        )
    return _overridden(content, overrides)


def checked(
    content: dict[str, Any],
    model: type[Settings],
    *,
    source: str,
    example: str = "configs/quickstart.yaml",
) -> Settings:
    """`content` as settings of `model`.

    Raises `UserError` for unknown keys and wrong values; the message names `source` and `example`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(_sentence(source, error, example, model)) from error


def _overridden(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for key, value in _pairs(overrides):
        _set(content, key, value)
    return content


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
            f"the value of {name} is not valid YAML: found {shown(text)} ({_one_line(error)})"
        ) from error


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UserError(f"--{key} names no setting: {section} is a value, not a section")
    content[name] = value


def _sentence(source: str, error: ValidationError, example: str, model: type[BaseModel]) -> str:
    """The first error as a sentence, and the number of others."""
    first, *others = error.errors()
    where = ".".join(str(part) for part in _as_in_yaml(first["loc"]))
    where = where if len(where) <= 80 else shown(where)
    more = f" ({len(others)} more)" if others else ""
    example = INGEST_EXAMPLE if where.startswith("data.ingest") else example
    own_example = Path(source).resolve() == Path(example).resolve()
    advice = "see docs/guide/configuration.md" if own_example else f"compare with {example}"
    if first["type"] == "extra_forbidden":
        meant = suggestion(where, model) or f"; {advice}"
        return f"{source}: {where}: no such key{more}{meant}"
    if first["type"] == "missing":
        return f"{source}: the setting '{where}' is missing{more}; {advice}"
    if first["type"] == "value_error":  # raised by a validator of ours about inconsistent settings
        own = str(first["ctx"]["error"])
        return f"{source}: {where}: {own}{more}" if where else f"{source}: {own}{more}"
    return f"{source}: {where}: expected {_expected(first)}, found {shown(first['input'])}{more}"


# What pydantic's kinds of errors about a value expect; others say so in their message.
_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text",
    "string_pattern_mismatch": "text of the form {pattern}",
    **dict.fromkeys(("path_type", "path_string"), "a path"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list such as [1, 2]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a section of settings"),
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def _expected(error: ErrorDetails) -> str:
    """What was expected instead of a wrong value."""
    known = _EXPECTED.get(error["type"])
    if known is None:
        message = error["msg"].removeprefix("Input should be ")
        return message[:1].lower() + message[1:200]
    return known.format(**error.get("ctx", {}))


def _one_line(error: yaml.YAMLError) -> str:
    """A YAML error in a line: the problem and its place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return reason(error)


_KINDS = {"time_blocks", "members", "from_file", "str", "path"}


def _as_in_yaml(keys: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The keys of a setting as in a YAML, where a reader's settings are beside its name.

    Names that pydantic adds for the kinds of a value are left out.
    """
    if keys[:2] != ("data", "ingest"):
        return keys
    own = keys[:2] + keys[4:] if keys[2:3] == ("reader",) else keys
    return tuple(key for key in own if key not in _KINDS and "[" not in str(key))
