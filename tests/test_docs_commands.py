"""What README and documentation tell people to type is accepted: checked without doing the work."""

from __future__ import annotations

import re
import tomllib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import found
from configs.loading import load_experiment
from configs.shipped import config_file, shipped_configs
from data.conditions import condition_names
from data.errors import UserError
from data.restarts.formats import FORMATS
from data.shipped import MODELS
from halocline import build_parser
from tests.shown import ROOT, pages, shown_commands

COMMANDS = shown_commands()
QUICKSTART = config_file(Path("quickstart"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Commands that train, simulate or repeat results; others of the studies put together what is done.
LONG = {"run", "train", "simulate", "integrate", "study"}
QUICK = {"report", "tables"}
DURATION = re.compile(r"\b(seconds|minutes?|hours?|days|long)\b")


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    # Of a reader's own output; the shipped YAMLs point to where it may be.
    monkeypatch.setattr(found, "check_matches", lambda patterns, *, advice: None)


@pytest.mark.parametrize("shown", [one for one in COMMANDS if one.fenced], ids=str)
def test_a_command_of_a_block_is_accepted(shown):
    check(shown.words)


@pytest.mark.parametrize("shown", [one for one in COMMANDS if not one.fenced], ids=str)
def test_a_command_within_a_sentence_is_accepted_or_part_of_one(shown):
    if shown.words[0] != "halocline" or is_complete(shown.words[1:]):
        check(shown.words)
    else:
        check_part(shown.words[1:])


@pytest.mark.parametrize("shown", [one for one in COMMANDS if one.fenced], ids=str)
def test_a_long_command_says_so(shown):
    """In a comment, for what comes with Halocline: of other data nobody knows."""
    words = after_launcher(shown.words)
    if words[0] != "halocline" or words[1] not in LONG or QUICK & {*words}:
        return
    options, _ = build_parser().parse_known_args(words[1:])
    if is_shipped(options):
        assert DURATION.search(shown.comment), f"{shown}: say in a comment how long it takes"


def test_options_and_settings_that_sentences_name_exist():
    scripts = [*ROOT.glob("configs/accelerate/*.sh"), *ROOT.glob("tests/faults/*.py")]
    known = "\n".join([*options_of(build_parser()), *(path.read_text() for path in scripts)])
    settings = dict[str, str]()
    for page in pages():
        for option, value in re.findall(r"`(--[a-z][\w.-]*)(?: ([^`]+))?`", page.read_text()):
            if "." not in option:
                assert_known([option], known)
            elif value and option != "--section.key":
                settings[option] = value
    assert len(settings) > 3
    words = [word for pair in settings.items() for word in pair]
    load_experiment(config_file(Path("new_parameters")), words)  # of the quickstart's, the fullest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("halocline sampel quickstart", "2"),
        ("halocline sample quickstart --smapling.members 3", "smapling"),
        ("halocline sample CONFIG --sampling.member 3", "sampling.member"),
        ("halocline sample quickstart --at wind=3 --output a.zarr", "wind"),
        ("halocline export CONFIG --format mitgmc", "2"),
        ("halocline run configs/quickstrt.yaml", "configs/quickstrt.yaml"),
        ("halocline run no/such/folder/quickstart", "no/such/folder"),
        ("halocline verify . --deep 3", "--deep"),
        ("halocline study coarse_basin configs/quickstart.yaml --member 4", "2"),
        ("make quickstat", "quickstat"),
        ("bash configs/check.sh", "configs/check.sh"),
        ("bash configs/accelerate/check.sh --gpu", "--gpu"),
        ("python -m pytest tests/none", "tests/none"),
        ("accelerate launch --config_file one.yaml -m halocline run quickstart", "one.yaml"),
        ("pip install halocline-0.0.9-py3-none-any.whl", "0.0.9"),
        ("pip install halocline[plots]", "plots"),
        ("HALOCLINE_COLOUR=red halocline run quickstart", "HALOCLINE_COLOUR"),
        ("spack install halocline", "spack"),
    ],
)
def test_a_mistake_is_found(words, says):
    with pytest.raises((AssertionError, UserError, SystemExit), match=re.escape(says)):
        check(tuple(words.split()))


def test_parts_with_a_mistake_are_found():
    for words in (("sampel",), ("sample", "--outptu", "FILE"), ("study", "cots", "STUDY")):
        with pytest.raises((AssertionError, SystemExit)):
            check_part(words)


def check(words: tuple[str, ...]) -> None:
    """Raise an error if a command would be refused."""
    words = after_launcher(words)
    program, *rest = words
    match program:
        case "halocline":
            check_halocline(rest)
        case "make":
            for target in rest:
                assert re.search(rf"^{target}:", text_of("Makefile"), flags=re.M), target
        case "python":
            check_python(rest)
        case "pip":
            check_pip(rest)
        case "bash":
            options = [word for word in rest[1:] if word.startswith("--")]
            assert_known(options, text_of(rest[0]))
        case "sbatch":
            text_of(rest[0])
            check_halocline(["run", *rest[1:]])
        case "pre-commit":
            assert rest == ["install"] and text_of(".pre-commit-config.yaml")
        case "source":
            # A script that a command prints, or the environment that the Makefile makes.
            inner = " ".join(rest)
            assert inner == ".venv/bin/activate" or inner.startswith("<(halocline ")
            if inner.startswith("<("):
                check_halocline(inner[2:-1].split()[1:])
        case _:
            raise AssertionError(f"{program} is no program that the test knows")


def after_launcher(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command without variables of the environment, redirection, and `accelerate launch`."""
    while "=" in words[0]:
        name, *words = words[0].partition("=")[0], *words[1:]
        assert any(name in path.read_text() for path in ROOT.glob("training/*.py")), name
    if ">" in words:
        words = words[: words.index(">")]
    if words[:2] != ("accelerate", "launch"):
        return tuple(words)
    if "--config_file" in words:
        assert text_of(words[words.index("--config_file") + 1])
    return tuple(words[words.index("-m") + 1 :]) if "-m" in words else ("halocline", "--version")


def check_halocline(words: list[str]) -> None:
    """Parse `words` and load the settings with all overrides."""
    if words == ["--version"]:
        return
    options, overrides = build_parser().parse_known_args(words)
    given = vars(options)
    if given["load"] is None:
        assert not overrides, overrides
        return
    if is_shipped(options):
        settings = given["load"](options.config, overrides)
        settings = getattr(settings, "settings", settings)
    else:
        assert is_of_a_user(options), options.config
        settings = load_experiment(QUICKSTART, overrides)
    points = [point for key in ("at", "to") for point in given.get(key, ())]
    names = {point.partition("=")[0] for point in points if "=" in point}
    if names:
        assert names <= {*condition_names(settings.conditions), "age"}, names
    assert given.get("format", "cf") in FORMATS, given["format"]


def is_shipped(options: Namespace) -> bool:
    """Whether the CONFIG or model comes with Halocline."""
    config = str(getattr(options, "config", ""))
    if config.startswith(f"{MODELS}/"):
        return (ROOT / config).is_dir()
    return config in {*shipped_configs()} | {f"configs/{name}.yaml" for name in shipped_configs()}


def is_of_a_user(options: Namespace) -> bool:
    """Whether all CONFIGs stand for the reader's: in the present folder, or in `runs`."""
    configs = options.config if isinstance(options.config, list) else [options.config]
    return all(len(config.parts) == 1 or config.parts[0] == "runs" for config in configs)


def check_python(words: list[str]) -> None:
    """Modules, files and folders that are named exist."""
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert words[1] in ("pytest", "build") or module.with_suffix(".py").is_file(), module
        words = words[2:]
    for path in (word for word in words if "/" in word):
        assert (ROOT / path).exists(), path
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert_known(options, text_of("tests/conftest.py") + "--durations")


def check_pip(words: list[str]) -> None:
    """The wheel has this version, and the extras exist."""
    for word in words[1:]:
        version = re.match(r"halocline-([\d.]+)-", word)
        assert version is None or version[1] == PROJECT["version"], word
        extras = re.search(r"\[(.*)\]", word)
        for extra in extras[1].split(",") if extras else ():
            assert extra in PROJECT["optional-dependencies"], extra


def is_complete(words: tuple[str, ...]) -> bool:
    """Whether the parser takes the words as they are."""
    try:
        build_parser().parse_known_args(words)
    except SystemExit:
        return False
    return True


def check_part(words: tuple[str, ...]) -> None:
    """The commands that `words` begin with exist, with the options that follow."""
    rest = [word for word in words if not word.isupper()]
    first = next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))
    parser: Any = build_parser()
    text = help_of(parser, rest[:first])
    assert_known([word for word in rest[first:] if word.startswith("--")], text)


def help_of(parser: Any, commands: list[str]) -> str:
    """Help of a command within commands."""
    for name in commands:
        known = {key: one for action in parser._actions for key, one in choices(action).items()}
        assert name in known, f"there is no command {name}"
        parser = known[name]
    return str(parser.format_help())


def options_of(parser: Any) -> Iterator[str]:
    """The options of a parser and of all its commands."""
    for action in parser._actions:
        yield from action.option_strings
        for command in choices(action).values():
            yield from options_of(command)


def choices(action: Any) -> dict[str, Any]:
    """The parsers of an action that has commands."""
    return action.choices if isinstance(action.choices, dict) else {}


def assert_known(options: list[str], text: str) -> None:
    for option in options:
        assert re.search(rf"{re.escape(option)}\b", text), option


def text_of(path: str) -> str:
    assert (ROOT / path).is_file(), f"there is no file {path}"
    return (ROOT / path).read_text()
