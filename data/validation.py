"""Settings of a YAML file held against their model: every mistake in one sentence."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from data.documents import read_text, reason
from data.errors import UserError, shown
from data.keys import holds_text, suggestion
from data.shipped import to_read
from data.yaml_text import parse

Settings = TypeVar("Settings", bound=BaseModel)


def read_mapping(path: Path) -> dict[str, Any]:
    """The settings in a YAML file. Raises `UserError` for a file that is not a mapping."""
    try:
        content = parse(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} has no settings; expected a mapping with name, data, autoencoder, ..."
        )
    return content


def checked(
    content: dict[str, Any],
    model: type[Settings],
    *,
    source: str,
    example: str | None = None,
    on_command_line: Collection[str] = (),
) -> Settings:
    """`content` as settings of `model`.

    source: of the settings, such as the path of their YAML; example: shipped YAML to compare with,
    for settings that are no experiment; on_command_line: dotted keys that override the source

    Raises `UserError` for unknown keys and wrong values; the message names where they were given.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        advice = _advice(example, source)
        if _is_given(error.errors()[0], on_command_line):
            source = "command line"
        raise UserError(_sentence(source, error, advice, model)) from error


def one_line(error: yaml.YAMLError) -> str:
    """A YAML error in a line: the problem and its place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return reason(error)


def _advice(example: str | None, source: str) -> str:
    """What to do about an unknown or missing key; nothing about one in the example itself."""
    if example is None:
        return "; `halocline schema` prints all settings"
    shipped = to_read(Path(example))
    return "" if shipped.resolve() == Path(source).resolve() else f"; compare with {shipped}"


def _is_given(error: ErrorDetails, keys: Collection[str]) -> bool:
    """Whether an error is about one of these keys: in its value, or in a section that it names.

    A section with other mistakes may also be that of the file.
    """
    where = f"{_path_in_yaml(error)}."
    is_unknown = error["type"] == "extra_forbidden"
    return any(
        where.startswith(f"{key}.") or (is_unknown and f"{key}.".startswith(where)) for key in keys
    )


def _path_in_yaml(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in _as_in_yaml(error["loc"]))


def _sentence(source: str, error: ValidationError, advice: str, model: type[BaseModel]) -> str:
    """The first error as a sentence, and the number of others."""
    first, *others = error.errors()
    where = _path_in_yaml(first)
    where = where if len(where) <= 80 else shown(where)
    more = f" ({len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        meant = suggestion(where, model) or advice
        return f"{source}: {where}: no such key{more}{meant}"
    if first["type"] == "missing":
        return f"{source}: the setting '{where}' is missing{more}{advice}"
    if first["type"] == "value_error":  # raised by a validator of ours about inconsistent settings
        own = str(first["ctx"]["error"])
        return f"{source}: {where}: {own}{more}" if where else f"{source}: {own}{more}"
    expected = _expected(first)
    if first["type"] in _LISTS:
        expected = _LIST_OF_TEXTS if holds_text(where, model) else _LIST_OF_NUMBERS
    return f"{source}: {where}: expected {expected}, found {shown(first['input'])}{more}"


_LISTS = ("list_type", "tuple_type")
_LIST_OF_TEXTS, _LIST_OF_NUMBERS = "a list such as [first, second]", "a list such as [1, 2]"
# What pydantic's kinds of errors about a value expect; others say so in their message.
_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text",
    "string_pattern_mismatch": "text of the form {pattern}",
    **dict.fromkeys(("path_type", "path_string"), "a path"),
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


_KINDS = {"time_blocks", "members", "from_file", "str", "path"}


def _as_in_yaml(keys: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The keys of a setting as in a YAML, where a reader's settings are beside its name.

    Names that pydantic adds for the kinds of a value are left out.
    """
    if keys[:2] != ("data", "ingest"):
        return keys
    own = keys[:2] + keys[4:] if keys[2:3] == ("reader",) else keys
    return tuple(key for key in own if key not in _KINDS and "[" not in str(key))
