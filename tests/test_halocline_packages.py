"""A file of the user that has the name of a package is found before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import halocline_packages
from halocline_packages import PACKAGES, refuse_hidden
from tests.test_structure import MAY_IMPORT

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ["-m", "halocline", "--version"]
LIBRARY = ["-c", "import guidance.seawater"]


def python(words: list[str], *, cwd: Path, first: Path | None = None) -> tuple[int, str]:
    """Exit code and standard error of Python in a folder; first: put first on its path."""
    path = os.pathsep.join(map(str, [*([first] if first else []), ROOT]))
    environment = os.environ | {"PYTHONPATH": path}
    ended = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, text=True, capture_output=True
    )
    return ended.returncode, ended.stderr


def make(folder: Path, name: str) -> Path:
    """A module or a package of the user, which would fail when it is imported."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raise SystemExit('the file of the user was imported')\n")
    return folder / name.partition("/")[0]


@pytest.mark.parametrize("name", ["data.py", "training/__init__.py", "studies/__init__.py"])
@pytest.mark.parametrize("on_path", [False, True], ids=["in the working directory", "on the path"])
def test_the_command_ends_in_one_sentence(tmp_path, name, on_path):
    hiding = make(tmp_path / "theirs", name)
    folders = {"cwd": tmp_path, "first": hiding.parent} if on_path else {"cwd": hiding.parent}
    code, error = python(COMMAND, **folders)
    assert code == 1
    package = hiding.stem
    assert error == (
        f"halocline: {hiding} hides Halocline's package {package}, which is in {ROOT}: rename it, "
        "or run from another folder and without this one on PYTHONPATH\n"
    )


def test_folders_without_a_package_hide_nothing(tmp_path):
    for name in PACKAGES:
        (tmp_path / name).mkdir()
    assert python(COMMAND, cwd=tmp_path) == (0, "")


def test_in_python_the_last_line_says_so(tmp_path):
    hiding = make(tmp_path, "data.py")
    code, error = python(LIBRARY, cwd=tmp_path)
    assert code == 1
    assert f"ImportError: {hiding} hides Halocline's package data" in error.splitlines()[-1]


def test_in_python_packages_that_are_not_used_may_be_the_users(tmp_path):
    make(tmp_path, "evaluation.py")
    assert python(LIBRARY, cwd=tmp_path) == (0, "")


def test_each_package_asks_for_those_that_it_may_import(monkeypatch):
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(halocline_packages, "refuse_hidden", lambda *names: asked.append(names))
    for room, below in MAY_IMPORT.items():
        if room in {"data", "halocline"}:
            continue
        asked.clear()
        source = Path(import_module(room).__file__).read_text()
        exec(compile(source, room, "exec"), {})
        assert {*asked[0]} == below, room


def test_all_packages_are_known_and_ours():
    assert {*PACKAGES} == {*MAY_IMPORT} - {"halocline"}
    refuse_hidden(*PACKAGES)


def test_a_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(ImportError, match="the package absent_package is missing in"):
        refuse_hidden("absent_package")
