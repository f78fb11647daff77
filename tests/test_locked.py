"""What is installed is pinned as a whole: one version each, with the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = sorted((ROOT / "requirements").glob("*.txt"))


def blocks() -> list[str]:
    """The lines about one distribution each."""
    texts = [path.read_text().split("\n", 1)[1] for path in FILES]
    return [block for text in texts for block in re.split(r"^(?=\w)", text, flags=re.M) if block]


def pins(lines: list[str]) -> dict[str, str]:
    """Version by name; a CPU build of PyTorch has the version of the other."""
    found = [re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def test_every_distribution_has_the_hashes_of_its_files():
    assert len(blocks()) > 100
    for block in blocks():
        first, *rest = [line.rstrip(" \\") for line in block.strip().splitlines()]
        assert re.match(r"[\w.-]+==[\w.+]+( ;|$)", first), first
        assert rest and all(re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}", line) for line in rest)


def test_the_constraints_are_what_is_locked():
    constraints = pins((ROOT / "constraints.txt").read_text().splitlines())
    locked = pins(blocks())
    differing = {name for name in constraints if locked.get(name) != constraints[name]}
    assert differing == set(), "run `make lock`"


@pytest.mark.parametrize("group", ["", *PROJECT["optional-dependencies"]])
def test_the_locked_versions_lie_within_the_ranges(group):
    wanted = PROJECT["optional-dependencies"][group] if group else PROJECT["dependencies"]
    locked = pins(blocks())
    for line in wanted:
        requirement = Requirement(line)
        assert requirement.specifier, f"{line} has no lowest version"
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_no_file_names_a_registry():
    for path in [*FILES, ROOT / "constraints.txt"]:
        assert "://" not in path.read_text()
