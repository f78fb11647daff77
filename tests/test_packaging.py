"""The installed package is whole: every package and every configuration on disk is in the wheel."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from data.shipped import MODELS

MOST_BYTES = 50e6  # of data in the wheel
ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PACKAGES: list[str] = SETUPTOOLS["packages"]


def packages_on_disk() -> set[str]:
    """Dotted names of the folders with an `__init__.py`, tests apart."""
    rooms = [
        folder
        for folder in ROOT.iterdir()
        if (folder / "__init__.py").exists() and folder.name != "tests"
    ]
    folders = (
        path.parent.relative_to(ROOT) for room in rooms for path in room.rglob("__init__.py")
    )
    return {".".join(folder.parts) for folder in folders}


def packaged_data(package: str) -> set[Path]:
    """The files that the package-data patterns of `package` match."""
    folder = ROOT.joinpath(*package.split("."))
    patterns = SETUPTOOLS["package-data"].get(package, [])
    return {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}


def test_every_package_is_installed():
    assert set(PACKAGES) == packages_on_disk()
    assert len(PACKAGES) == len(set(PACKAGES))


def test_every_room_of_python_files_is_a_package():
    rooms = {ROOT / package.split(".")[0] for package in PACKAGES}
    found = {path for room in rooms for path in room.rglob("*.py")}
    folders = {path.parent for path in found if not path.is_relative_to(ROOT / MODELS)}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == set(PACKAGES)


def test_every_configuration_is_installed():
    on_disk = {
        path for path in (ROOT / "configs").rglob("*") if path.suffix in {".yaml", ".json", ".sh"}
    }
    assert on_disk
    assert on_disk - packaged_data("configs") == set()


def test_what_packages_read_beside_python_is_installed():
    for room in {package.split(".")[0] for package in PACKAGES} - {"configs", "data"}:
        files = {path for path in (ROOT / room).rglob("*.*") if path.is_file()}
        read = {path for path in files if path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}}
        assert read == packaged_data(room), room


PATTERNS = [
    (package, pattern)
    for package, patterns in SETUPTOOLS["package-data"].items()
    for pattern in patterns
]


@pytest.mark.parametrize(("package", "pattern"), PATTERNS)
def test_every_pattern_finds_a_file(package, pattern):
    assert list((ROOT / package).glob(pattern))


def test_files_that_configurations_read_are_installed_and_finished_members_are_not():
    paths = {
        value
        for config in (ROOT / "configs").rglob("*.yaml")
        for value in re.findall(r"\bdata/archives/[\w./]+\w", config.read_text())
    }
    # The coarse basin begins with a finished member, which stays in the repository.
    members = {path for path in paths if Path(path).parent.name == "ensemble"}
    assert members == {"data/archives/ensemble/reference.npz"}
    files = {ROOT / path for path in paths - members if (ROOT / path).is_file()}
    assert len(files) == 2
    models = {path for path in (ROOT / MODELS).rglob("*.*") if path.is_file()}
    assert packaged_data("data") == files | models
    assert sum(file.stat().st_size for file in files | models) < MOST_BYTES


def test_what_only_some_commands_need_is_in_extras():
    groups = PYPROJECT["project"]["optional-dependencies"]
    assert [*groups] == [
        *("train", "report", "basin", "observations", "smoothers"),
        *("remote", "kerchunk", "dask"),
        *("dev", "docs"),
    ]
    assert all(f'"{group}"' in (ROOT / "requirements" / "lock.py").read_text() for group in groups)


def test_the_citation_names_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_changelog_has_the_version():
    version = PYPROJECT["project"]["version"]
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_package_has_a_reference_page():
    rooms = {package.split(".")[0] for package in PACKAGES} | set(SETUPTOOLS["py-modules"])
    pages = {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")}
    assert pages == rooms | {"index"}
