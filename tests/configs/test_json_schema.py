"""The JSON schema of an experiment: it is current, and the shipped YAMLs fit it and name it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from configs.json_schema import as_text, experiment_schema

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "configs" / "experiment.schema.json"
FOLDERS = ("", "data_space", "few_steps", "one_climate", "patches_of_8")
SHIPPED = [path for folder in FOLDERS for path in sorted((FILE.parent / folder).glob("*.yaml"))]
LOCKED = re.search(r"^pydantic==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.mark.skipif(version("pydantic") != LOCKED[1], reason="another pydantic words it otherwise")
def test_the_shipped_schema_is_current():
    assert FILE.read_text() == as_text(), "halocline schema > configs/experiment.schema.json"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(FILE.parent)))
def test_a_shipped_configuration_names_the_schema_and_fits_it(path):
    named = re.fullmatch(
        r"# yaml-language-server: \$schema=(\S+)", path.read_text().splitlines()[0]
    )
    assert named is not None
    assert (path.parent / named[1]).resolve() == FILE
    assert list(unknown(yaml.safe_load(path.read_text()), json.loads(FILE.read_text()))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sampling: {membrs: 3}", "sampling.membrs"),
        (
            "guidance: {terms: [{unstable_pairs: {wieght: 2}}]}",
            "guidance.terms.unstable_pairs.wieght",
        ),
        ("data: {ingest: {reader: nemo, mesh_msk: a.nc}}", "data.ingest.mesh_msk"),
        ("colour: 1", "colour"),
    ],
)
def test_the_schema_refuses_a_mistyped_key(text, found):
    assert list(unknown(yaml.safe_load(text), experiment_schema())) == [found]


def unknown(
    value: object, schema: dict, above: str = "", root: dict | None = None
) -> Iterator[str]:
    """Keys of a YAML that none of the forms in the schema allows."""
    root = root or schema
    forms = list(forms_of(schema, root))
    if isinstance(value, list):
        items = {"anyOf": [form["items"] for form in forms if "items" in form]}
        for entry in value:
            yield from unknown(entry, items, above, root)
    if not isinstance(value, dict):
        return
    forms = [form for form in forms if form.get("type") == "object"]
    assert forms, f"{above} may be no section"
    for key, below in value.items():
        found = [schema_of(str(key), form) for form in forms]
        allowed = [form for form in found if form is not False]
        if not allowed:
            yield f"{above}{key}"
        elif all(isinstance(form, dict) for form in allowed):
            yield from unknown(below, {"anyOf": allowed}, f"{above}{key}.", root)


def schema_of(key: str, form: dict) -> dict | bool:
    """The schema of the value of a key; False where the form has no such key."""
    by_pattern = [
        one for pattern, one in form.get("patternProperties", {}).items() if re.search(pattern, key)
    ]
    other = by_pattern[0] if by_pattern else form.get("additionalProperties", False)
    return form.get("properties", {}).get(key, other)


def forms_of(schema: dict, root: dict) -> Iterator[dict]:
    """The alternatives of a schema, with its references resolved."""
    if "$ref" in schema:
        yield from forms_of(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema or "oneOf" in schema:
        for one in schema.get("anyOf", schema.get("oneOf")):
            yield from forms_of(one, root)
    else:
        yield schema
