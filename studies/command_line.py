"""The command line of the studies: `halocline study KIND ...`.

A command is a function of settings and keywords, imported when it runs (`lazily`). The options are
its keywords; those that are not given keep the function's defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.autoencoder.settings import CodecStudy
    from studies.guidance.settings import GuidanceStudy

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Command = Callable[..., object]
LOAD_EXPERIMENT = "configs:load_experiment"
LOAD_RUN = "configs.run:load_run"
EXPERIMENT = "YAML of the experiment"
OVERRIDES = "Any setting of the CONFIG may follow as --section.key value."
SHAPE = "levels x rows x columns, as 36x800x256"


def add_command(
    commands: Commands,
    name: str,
    function: Command,
    text: str,
    *,
    load: Command | None = None,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """A subcommand that calls `function`, with what `load` makes of its CONFIG if there is one."""
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


def add_studies(commands: Commands, *, make_archive: Command) -> None:
    """`halocline study KIND ...`; `make_archive` makes an experiment's archive if it is missing."""
    kinds = _group(commands, "study", "KIND", "reproduce the numbers of the documents")
    _add_autoencoder(kinds, make_archive)
    _add_guidance(kinds)
    _add_spinup(_group(kinds, "spinup", "STUDY", "judge integrations that start from states"))
    _add_cost(_group(kinds, "cost", "STUDY", "measure time, operations and memory"))
    _add_gaussian_mixture(kinds)
    text = "fill the tables of README.md and docs/ from docs/results"
    add_command(kinds, "tables", lazily("studies.tables:main"), text)


def lazily(name: str) -> Command:
    """The function MODULE:FUNCTION; its module is imported when it is called."""
    module, _, function = name.partition(":")

    def call(*arguments: object, **keywords: object) -> object:
        return getattr(import_module(module), function)(*arguments, **keywords)

    return call


def compare_autoencoders(
    study: CodecStudy,
    *,
    make_archive: Command,
    split: str = "validation",
    only: Sequence[str] = (),
) -> None:
    """Train and judge the variants of a study; finished ones are not repeated."""
    from configs.run import Run
    from studies.autoencoder.study import compare

    make_archive(Run(study.base))
    print(f"wrote {compare(study, split=split, only=only)}")


def compare_guidance_methods(
    study: GuidanceStudy,
    *,
    split: str = "validation",
    only: Sequence[str] = (),
    finished: bool = False,
) -> None:
    """Draw and judge the points of a study; finished ones are not repeated."""
    from studies.guidance.study import compare_guidance

    print(f"wrote {compare_guidance(study, split=split, only=only, draw=not finished)}")


def _group(commands: Commands, name: str, metavar: str, text: str) -> Commands:
    parser = commands.add_parser(name, help=text, description=text)
    return parser.add_subparsers(title="studies", required=True, metavar=metavar)


def _of_config(
    commands: Commands,
    name: str,
    function: Command,
    text: str,
    *,
    load: str = LOAD_EXPERIMENT,
    config: str = EXPERIMENT,
    nargs: str | None = None,
) -> Callable[..., Any]:
    """Adds a command that takes a CONFIG; returns what declares its options."""
    parser = add_command(commands, name, function, text, load=lazily(load), epilog=OVERRIDES)
    parser.add_argument("config", type=Path, nargs=nargs, metavar="CONFIG", help=config)
    return parser.add_argument


def _add_autoencoder(kinds: Commands, make_archive: Command) -> None:
    add = _of_config(
        kinds,
        "autoencoder",
        partial(compare_autoencoders, make_archive=make_archive),
        "train the autoencoders of a study at equal cost and judge each",
        load="studies.autoencoder.settings:load_study",
        config="YAML of the study",
    )
    _add_selection(add, of="VARIANT")


def _add_guidance(kinds: Commands) -> None:
    add = _of_config(
        kinds,
        "guidance",
        compare_guidance_methods,
        "draw ensembles with each guidance method and judge them",
        load="studies.guidance.settings:load_guidance_study",
        config="YAML of the study",
    )
    _add_selection(add, of="METHOD")
    add("--finished", action="store_true", help="draw nothing: summarise the finished points")


def _add_selection(add: Callable[..., Any], *, of: str) -> None:
    add("--only", nargs="+", metavar=of, help=f"these {of.lower()}s, not all")
    add(
        "--split",
        choices=("validation", "test"),
        help="held-out states to judge on: validation to choose by (the default), test to report",
    )


def _add_spinup(studies: Commands) -> None:
    text = "report what an integration study has finished: docs/results/spinup.json and figures"
    add = _of_config(studies, "report", lazily("studies.spinup.report:run"), text, load=LOAD_RUN)
    add("--output", type=Path, help="JSON file to write (docs/results/spinup.json)")
    add("--figures", type=Path, help="folder of the figures (docs/figures)")
    text = "kinetic energy in the days after a start, at rest and in balance"
    add = _of_config(
        studies, "cold_start", lazily("studies.spinup.cold_start:run"), text, load=LOAD_RUN
    )
    add("--states", type=int, help="held-out states (2)")
    add("--days", type=float, help="days after the start (60)")
    _add_output(add)
    text = "strength of the balanced flow under each reference, of held-out and generated states"
    add = _of_config(
        studies, "flow_reference", lazily("studies.spinup.flow_reference:run"), text, load=LOAD_RUN
    )
    add("--states", type=int, help="of each kind (16)")
    _add_output(add)


def _add_cost(studies: Commands) -> None:
    _add_benchmark(studies)
    _add_codec(studies)
    _add_adjustment(studies)
    _add_chains(studies)
    text = "samples per second, memory and operations of both trainings"
    add = _of_config(studies, "training", lazily("studies.cost.training:run"), text)
    add("--grid", help=f"random states on {SHAPE}; default: the experiment's own states")
    add("--steps", type=int, help="timed steps of each stage (8)")
    _add_machine(add)
    text = "samples and states per second of several processes together"
    add = _of_config(studies, "processes", lazily("studies.cost.processes:run"), text)
    add("--processes", type=int, nargs="+", help="numbers of processes to launch")
    add("--steps", type=int, help="timed steps of each stage (8)")
    _add_machine(add)
    text = "operations and memory by the size of the grid, counted and not measured"
    add = _of_config(studies, "growth", lazily("studies.cost.growth:run"), text)
    add("--grid", nargs="+", help=f"{SHAPE} (DINO at 1 and 1/4 degree, a global 1/12 degree)")
    _add_output(add)


def _add_benchmark(studies: Commands) -> None:
    add = _of_config(
        studies,
        "benchmark",
        lazily("studies.cost.benchmark:run"),
        "cost of a state, in latent and in data space",
        load="studies.cost.systems:load_experiments",
        config="YAML of each experiment",
        nargs="+",
    )
    add("--repeats", type=int, help="timed rounds (3)")
    add("--training-steps", type=int, help="timed training steps, 0 for none (3)")
    add("--device", help="cpu or cuda (cpu)")
    add("--threads", type=int, help="threads of torch (its own choice)")
    add("--output", type=Path, help="JSON file to add to (runs/benchmark.json)")


def _add_codec(studies: Commands) -> None:
    text = "seconds, memory and operations of encoding, decoding and its gradient"
    add = _of_config(studies, "codec", lazily("studies.cost.codec:run"), text)
    add("--sea-level", action="store_true", help="with a channel of sea level")
    add("--closed", action="store_true", help="x does not close on itself")
    _add_timing(add)


def _add_adjustment(studies: Commands) -> None:
    text = "seconds of exact convective adjustment, by equation of state"
    parser = add_command(studies, "adjustment", lazily("studies.cost.adjustment:run"), text)
    _add_timing(parser.add_argument)


def _add_chains(studies: Commands) -> None:
    text = "seconds of sampling one state, unguided and with each guidance method"
    add = _of_config(studies, "guidance", lazily("studies.cost.guidance:run"), text)
    add("--noise", type=float, help="of the decoded temperature [K] (0.25)")
    add("--only", nargs="+", metavar="METHOD", help="these methods, not all")
    _add_timing(add)


def _add_timing(add: Callable[..., Any]) -> None:
    """On a grid, on a device, so many times."""
    add("--grid", required=True, help=SHAPE)
    add("--repeats", type=int, help="timed calls of each kind (3)")
    add("--device", help="cpu or cuda (cpu)")
    _add_machine(add)


def _add_machine(add: Callable[..., Any]) -> None:
    add("--threads", type=int, help="threads of torch (its own choice)")
    _add_output(add)


def _add_output(add: Callable[..., Any]) -> None:
    add("--output", type=Path, help="JSON file to write as well")


def _add_gaussian_mixture(kinds: Commands) -> None:
    text = "guidance of a Gaussian mixture, whose answer is known: figure and table of the tutorial"
    parser = add_command(kinds, "gaussian_mixture", lazily("studies.gaussian_mixture:run"), text)
    parser.add_argument(
        "--output", type=Path, help="figure to draw (docs/figures/gaussian_mixture.png)"
    )
    parser.add_argument("--points", type=int, help="samples of each experiment (4000)")
