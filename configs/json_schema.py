"""The JSON schema of a YAML of an experiment, with which editors complete and check it."""

from __future__ import annotations

import json
from typing import Any, get_args

from configs.schema import Experiment
from data.readers.settings import OneReader
from guidance.term_settings import TermSettings

Schema = dict[str, Any]
BASE: Schema = {
    "type": "string",
    "description": "another YAML, relative to this one, whose settings this section changes",
}


def print_schema() -> None:
    """Print the schema of an experiment as JSON."""
    print(as_text(), end="")


def as_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(experiment_schema(), indent=1, sort_keys=True) + "\n"


def experiment_schema() -> Schema:
    """The schema of what a YAML may hold; a base may hold what is required."""
    schema = Experiment.model_json_schema()
    sections = schema["$defs"]
    sections["IngestSettings"] = _with_readers_options(sections)
    sections["TermSettings"] = _constraints(sections)
    for name, section in [*sections.items(), ("", schema)]:
        if "properties" in section and name not in _terms():
            section["properties"]["base"] = BASE
        section.pop("required", None)
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _with_readers_options(sections: dict[str, Schema]) -> Schema:
    """The ingestion, with the options of all readers beside the name of one."""
    ingest = sections["IngestSettings"]
    readers = [sections.pop(reader.__name__) for reader in get_args(OneReader)]
    names = [reader["properties"].pop("name")["const"] for reader in readers]
    options = {key: value for reader in readers for key, value in reader["properties"].items()}
    own = ingest["properties"] | {"reader": {"enum": names, "default": "cf"}}
    return ingest | {"properties": options | own}


def _constraints(sections: dict[str, Schema]) -> Schema:
    """A constraint: its name, or its name with options."""
    for name, section in _terms().items():
        sections[name] = section
    options = {kind.name: {"$ref": f"#/$defs/{kind.__name__}"} for kind in _kinds()}
    with_options = {
        "type": "object",
        "properties": options,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": [kind.name for kind in _kinds()]}, with_options]}


def _kinds() -> list[type[TermSettings]]:
    return list(TermSettings.known.values())


def _terms() -> dict[str, Schema]:
    return {kind.__name__: kind.model_json_schema() for kind in _kinds()}
