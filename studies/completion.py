"""Completion of the command line in a shell: `halocline completion`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

CONFIG = {"bash": "_halocline_configs", "zsh": "_files -g '*.yaml'"}
PREAMBLE = {
    "bash": """\
_halocline_configs() {
  compopt -o filenames 2>/dev/null
  compgen -d -- "$1"
  compgen -f -X '!*.yaml' -- "$1"
}
"""
}


def print_completion(*, shell: str, parser: argparse.ArgumentParser) -> None:
    """Print a script that completes commands, options, choices and paths in a shell."""
    for action in _actions(parser):
        if action.metavar == "CONFIG":
            action.complete = CONFIG  # type: ignore[attr-defined]  # shtab's own attribute
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=shell, preamble=PREAMBLE.get(shell, "")))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments and options of a parser and of all its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):  # the parsers of commands, by their names
            for command in action.choices.values():
                yield from _actions(command)
