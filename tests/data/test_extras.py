"""A package that is not installed: one sentence that names its extra, or what is left out."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from data import extras
from data.errors import user_errors_in_one_sentence
from data.extras import EXTRAS, LEFT_OUT, lacks

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PROJECT = tomllib.loads(PYPROJECT.read_text())["project"]


@pytest.fixture(autouse=True)
def nothing_is_known():
    lacks.cache_clear()
    yield
    lacks.cache_clear()


def names(requirements: list[str]) -> set[str]:
    return {Requirement(line).name for line in requirements}


def test_each_package_is_in_its_extra_and_no_core_dependency():
    assert not names(PROJECT["dependencies"]) & {*EXTRAS, "dask"}
    for package, extra in EXTRAS.items():
        assert package in names(PROJECT["optional-dependencies"][extra])
    assert {*LEFT_OUT} <= {*EXTRAS}


def test_a_missing_package_of_an_extra_ends_a_command_in_one_sentence():
    for module in ("matplotlib", "matplotlib.figure"):
        with pytest.raises(SystemExit) as caught, user_errors_in_one_sentence():
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)
        expected = "halocline: matplotlib is not installed: pip install 'halocline[report]'"
        assert caught.value.code == expected


def test_another_missing_module_is_a_mistake_of_ours():
    with pytest.raises(ModuleNotFoundError), user_errors_in_one_sentence():
        raise ModuleNotFoundError("No module named 'data.absent'", name="data.absent")


def test_what_is_left_out_is_said_once_and_by_one_process(monkeypatch, capsys):
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert lacks("veros") and lacks("veros")
    printed = capsys.readouterr()
    assert printed.err == (
        "halocline: the basin is not integrated, because veros is not installed: "
        "pip install 'halocline[basin]'\n"
    )
    monkeypatch.setenv("RANK", "1")
    assert lacks("matplotlib")
    assert capsys.readouterr().err == ""


def test_what_is_installed_is_not_mentioned(capsys):
    assert not lacks("matplotlib")
    assert capsys.readouterr().err == ""
