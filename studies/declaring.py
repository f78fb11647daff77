"""Declares commands: a name, a function of settings and keywords, and what reads its CONFIG."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.lazily import lazily

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Command = Callable[..., object]
EXPERIMENT = "YAML of the experiment"
OVERRIDES = "Override any setting of the CONFIG with --section.key value."
load_experiment = lazily("configs:load_experiment")
load_run = lazily("configs.found:load_run")


def add_command(
    commands: Commands,
    name: str,
    function: Command,
    text: str,
    *,
    load: Command | None = None,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Add a subcommand that calls `function`; `load` reads its CONFIG, if it has one."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(command=function, load=load)
    return parser


def add_of_config(
    commands: Commands,
    name: str,
    function: Command,
    text: str,
    *,
    load: Command | None = None,
    config: str = EXPERIMENT,
    nargs: str | None = None,
) -> Callable[..., Any]:
    """Add a command that takes a CONFIG; returns the method that adds its options."""
    parser = add_command(
        commands, name, function, text, load=load or load_experiment, epilog=OVERRIDES
    )
    parser.add_argument("config", type=Path, nargs=nargs, metavar="CONFIG", help=config)
    return parser.add_argument


def add_group(commands: Commands, name: str, metavar: str, text: str) -> Commands:
    """Add a command that has commands of its own, and return what these are added to."""
    parser = commands.add_parser(name, help=text, description=text)
    return parser.add_subparsers(title="studies", required=True, metavar=metavar)


def add_output(add: Callable[..., Any]) -> None:
    """Declare the option for a JSON file."""
    add("--output", type=Path, help="JSON file to write in addition")
