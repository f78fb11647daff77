"""What a run directory and its archive hold, as digests, and how it differs from what it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file

from data.archive.reader import StateArchive
from tests.faults.subjects import digest
from training.records import checkpoints_in

Contents = dict[str, str | list[int]]
MEMBERS = ": members"
# Names of what is not a product but is left over of one that was not finished.
UNFINISHED = ("*.partial", "*.lock", "*.raw.zarr", "*.parts-*", ".shared-*")


def contents(folder: Path) -> Contents:
    """Digests of all weights, latents, moments, logs and states below `folder`, and all members.

    Of the checkpoints of a stage only the last: an interruption saves one more.
    """
    found: Contents = {}
    for path in _archives(folder):
        archive, name = StateArchive.open(path), str(path.relative_to(folder))
        archive.verify()
        states = archive.read(range(len(archive))).to_channels()
        found[name + MEMBERS] = archive.member.tolist()
        found[name] = digest(archive.description, states, archive.attributes.get("sampling"))
    for path in sorted([*folder.rglob("*.safetensors"), *folder.rglob("metrics.jsonl")]):
        if not _superseded(path):
            found[str(path.relative_to(folder))] = _of_file(path)
    return found


def differences(found: Contents, expected: Contents) -> list[str]:
    """In words, how products differ from those that are expected; empty if they are the same."""
    return [
        *(
            _difference(name, found.get(name), value)
            for name, value in expected.items()
            if found.get(name) != value
        ),
        *(f"{name} should not be there" for name in found.keys() - expected.keys()),
    ]


def of(expected: Contents, products: tuple[str, ...]) -> Contents:
    """The part of `expected` that is below any of these paths."""
    return {name: value for name, value in expected.items() if name.startswith(products)}


def unfinished(folder: Path) -> list[str]:
    """Names below `folder` that only a command at work has."""
    return [
        f"{path.relative_to(folder)} was left over"
        for pattern in UNFINISHED
        for path in sorted(folder.rglob(pattern))
    ]


def _archives(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.zarr")):
        if path.parent.suffix != ".zarr":
            yield path


def _superseded(path: Path) -> bool:
    """Whether a file is of a checkpoint that is not the last of its stage."""
    checkpoint = path.parent
    return checkpoint in checkpoints_in(checkpoint.parent)[:-1]


def _of_file(path: Path) -> str:
    if path.suffix != ".safetensors":
        return digest(path.read_text())
    return digest(*(value for item in sorted(load_file(path).items()) for value in item))


def _difference(name: str, found: str | list[int] | None, expected: str | list[int]) -> str:
    if found is None:
        return f"{name} is missing"
    lost = (Counter(expected) - Counter(found)).elements() if name.endswith(MEMBERS) else ()
    numbers = ", ".join(map(str, lost))
    return f"{name}: {numbers} lost" if numbers else f"{name} differs"
