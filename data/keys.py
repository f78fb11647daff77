"""Dotted keys of settings, and which of them a mistyped key may have meant."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

_MOST_MEANT = 3  # keys that a message names
ENTRY = "*"  # instead of the number or name of an entry of a list or of sections by name


def suggestion(key: str, model: type[BaseModel]) -> str:
    """The end of a message about an unknown key: which setting it may mean, empty if none.

    A similar name in the same section is preferred to the same name in a section below it, and
    that to the same name in another section of the experiment. A name without a section may be the
    last part of several keys; those in the highest sections are named.
    """
    known = list(dict.fromkeys(_generic(known, key) for known in keys(model)))
    section, dot, name = key.rpartition(".")
    beside = [path.rpartition(".")[2] for path in known if path.rpartition(".")[0] == section]
    similar = [section + dot + path for path in get_close_matches(name, beside, n=1, cutoff=0.7)]
    elsewhere = [path for path in known if path.rpartition(".")[2] == name]
    within = [path for path in elsewhere if path.startswith(key.split(".")[0] + ".")]
    found = similar or within or [path for path in elsewhere if path.count(".") == 1]
    likely = found[:1] if section else similar or _ending_in(name, known)
    return f"; did you mean {' or '.join(likely)}?" if likely else ""


def _ending_in(name: str, known: list[str]) -> list[str]:
    """The keys whose last part is or nearly is `name`, as far as they are in the highest section.

    Keys of entries are left out: a name alone does not say of which entry.
    """
    ends = {path: path.rpartition(".")[2] for path in known if ENTRY not in path.split(".")}
    nearest = get_close_matches(name, ends.values(), n=1, cutoff=0.8)
    found = [path for path, end in ends.items() if end in nearest]
    depth = min((path.count(".") for path in found), default=0)
    return [path for path in found if path.count(".") == depth][:_MOST_MEANT]


def holds_text(key: str, model: type[BaseModel]) -> bool:
    """Whether texts or paths may be in the value of a setting."""
    types = (kind for known, kind in _fields(model) if _generic(known, key) == key)
    return any({str, Path} & {*_leaves(kind)} for kind in types)


def _leaves(annotation: Any) -> Iterator[object]:
    parts = get_args(annotation)
    for part in parts:
        yield from _leaves(part)
    if not parts and isinstance(annotation, type):
        yield annotation


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The dotted keys of all settings of a model, sections included; `*` is any entry."""
    yield from (key for key, _ in _fields(model, above))


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, object]]:
    """The dotted keys of all settings and their types."""
    for name, field in model.model_fields.items():
        beside_its_name = above == "data.ingest." and name == "reader"
        yield above + name, field.annotation
        for entry, section in _sections(field.annotation):
            yield from _fields(section, above if beside_its_name else f"{above}{name}.{entry}")


def _sections(annotation: object, entry: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections that a type such as `Section | None` or `list[Section]` allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kinds = getattr(annotation, "known", {"": annotation})  # a section that a name tells apart
        yield from ((entry, kind) for kind in kinds.values())
    within = f"{entry}{ENTRY}." if get_origin(annotation) in (list, tuple, dict) else entry
    for part in get_args(annotation):
        yield from _sections(part, within)


def _generic(known: str, key: str) -> str:
    """`known` with the entries of `key` instead of `*`, as far as they have the same sections."""
    parts = known.split(".")
    given = key.split(".") + [ENTRY] * len(parts)
    return ".".join(own if part == ENTRY else part for part, own in zip(parts, given, strict=False))
