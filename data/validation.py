"""Settings of a YAML file held against their model: every mistake in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from data.documents import read_text, reason
from data.errors import UserError, shown
from data.keys import suggestion
from data.yaml_text import parse

Settings = TypeVar("Settings", bound=BaseModel)
INGEST_EXAMPLE = "configs/global4deg.yaml"


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
    example: str = "configs/quickstart.yaml",
) -> Settings:
    """`content` as settings of `model`.

    Raises `UserError` for unknown keys and wrong values; the message names `source` and `example`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(_sentence(source, error, example, model)) from error


def one_line(error: yaml.YAMLError) -> str:
    """A YAML error in a line: the problem and its place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return reason(error)


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


_KINDS = {"time_blocks", "members", "from_file", "str", "path"}


def _as_in_yaml(keys: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The keys of a setting as in a YAML, where a reader's settings are beside its name.

    Names that pydantic adds for the kinds of a value are left out.
    """
    if keys[:2] != ("data", "ingest"):
        return keys
    own = keys[:2] + keys[4:] if keys[2:3] == ("reader",) else keys
    return tuple(key for key in own if key not in _KINDS and "[" not in str(key))
