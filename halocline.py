"""The `halocline` command, which assembles the packages.

Each command is a function of settings and keywords. Options are its keywords; omitted options keep
the function's defaults. Packages are imported where they are used, so that `halocline --help` is
fast.
"""

from __future__ import annotations

import argparse
from argparse import BooleanOptionalAction
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halocline_packages import exit_if_hidden

exit_if_hidden()

from data.errors import UserError, user_errors_in_one_sentence
from data.extras import lacks
from data.lazily import lazily
from data.locks import exclusive
from evaluation.commands import (
    add_pack_options,
    assimilate,
    pack,
    print_verdict,
    sample,
    sensitivity,
    translate,
)
from integration.commands import (
    add_evaluate_options,
    add_export_options,
    evaluate,
    export,
    integrate,
    judge,
    refuse_smaller_evaluation,
)
from studies.command_line import add_studies
from studies.declaring import EXPERIMENT, OVERRIDES, add_command, add_of_config, load_run
from studies.parser import Parser, installed_version
from training.cost import timed
from training.stopping import stopping_on_signals

if TYPE_CHECKING:
    from configs.run import Run
    from studies.declaring import Commands
    from training.launch import How

MODEL = "YAML of the experiment, or folder of a model: `data/models/quickstart`, or a packed one"
DESCRIPTION = """\
Halocline generates equilibrated 3-D ocean states: temperature and salinity fields from which an
ocean model can start. It learns them from states that the model has simulated.

Start with:   halocline sample data/models/quickstart --certain --sampling.members 1 --output s.nc
              halocline run quickstart
"""
EPILOG = """\
Commands take a CONFIG: your own YAML file, or the name of one that comes with Halocline (for
`study` one of studies/). Override any of its settings with --section.key value, for example:
  halocline sample quickstart --sampling.members 200 --output states.zarr
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    options, overrides = parser.parse_known_args(arguments)
    keywords = vars(options)
    command, load = keywords.pop("command"), keywords.pop("load", None)
    if overrides and load is None:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    with user_errors_in_one_sentence(), stopping_on_signals(last=arguments is None):
        settings = [load(keywords.pop("config"), overrides)] if load else []
        command(*settings, **keywords)


def build_parser() -> argparse.ArgumentParser:
    """The command line, with one subcommand per task."""
    parser: argparse.ArgumentParser = Parser(
        prog="halocline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=installed_version())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_init_options(
        add_command(commands, "init", lazily("configs.draft:init"), "draft a CONFIG for your files")
    )
    add_training(commands)
    add_states(commands)
    add_tools(commands, parser)
    add_studies(commands, make_archive=make_archive)
    return parser


def add_training(commands: Commands) -> None:
    """Declare the commands from the data to the trained model."""
    command = partial(add_of_config, commands, load=load_run)
    from_data = partial(command, load=lazily("configs.found:run_from_data"))
    from_data("run", run_all, "run all stages in order; finished stages are skipped")
    text = "simulate the ensemble of the basin and write the state archive"
    add = command("simulate", simulate, text)
    add("--workers", type=int, help="number of parallel simulations (default: 2)")
    from_data("ingest", ingest, "read ocean-model output into a state archive")
    text = "run a single training stage; resumes after an interruption"
    training = add_command(commands, "train", train, text, load=load_run, epilog=OVERRIDES)
    stages = ("autoencoder", "diffusion", "distillation")
    training.add_argument("stage", choices=stages, help="training stage")
    training.add_argument("config", type=Path, metavar="CONFIG", help=EXPERIMENT)


def add_states(commands: Commands) -> None:
    """Declare the commands that generate, judge, integrate and export states."""
    command = partial(add_of_config, commands, load=load_run)
    of_model = partial(add_of_config, commands, config=MODEL)
    text = "generate an ensemble of states with a trained model"
    add = of_model("sample", sample, text, load=lazily("configs.found:layout_of_model"))
    text = "archive (.zarr, .zarr.zip) or NetCDF file (.nc) (default: all rows, in samples/)"
    add("--output", type=Path, help=text)
    add_condition_options(add, at="condition of the states, or a CSV file of many; needs --output")
    text = "give all states at a point the expected mean, not each one a drawn mean"
    add("--certain", action="store_true", help=text)
    add("--overwrite", action="store_true", help="replace sampled states of other settings")

    text = "show what a change of parameters does, from paired states"
    add = add_of_config(
        commands, "sensitivity", sensitivity, text, load=lazily("configs.found:layout_of_config")
    )
    add_condition_options(add, at="condition before the change")
    text = "condition after the change, where it differs; may be repeated"
    add("--to", action="append", metavar="NAME=VALUE", required=True, help=text)
    add("--output", type=Path, help="folder to write (default: sensitivity/ of the run)")

    add_given(command)
    text = "evaluate the samples; writes metrics.json, figures and report.html"
    add_evaluate_options(command("evaluate", evaluate, text))
    text = "integrate the basin from generated and reference states"
    add = command("integrate", integrate, text)
    add("--only", nargs="+", metavar="LABEL", help="labels to integrate (default: all)")
    text = "write a state as an initial condition of an ocean model"
    find = lazily("configs.found:run_or_model")
    add_export_options(of_model("export", export, text, load=find))


def add_given(command: Callable[..., Any]) -> None:
    """Declare the commands that draw states given what is known of one; command: adds one."""
    text = "draw states that agree with observations; writes states and a report"
    add = command("assimilate", assimilate, text)
    text = "CSV or CF NetCDF files of profiles, points or maps"
    add("--observations", type=Path, nargs="+", required=True, metavar="FILE", help=text)
    add("--members", type=int, metavar="N", help="number of states (default: sampling.members)")
    add_condition_options(add, at="condition that is known; others are inferred")
    text = "share of the profiles that is kept back for verification (default: 0)"
    add("--withhold", type=float, metavar="SHARE", help=text)
    text = "convert in-situ temperature, practical salinity and pressure with gsw"
    add("--convert", action="store_true", help=text)
    text = "leave out observations on land, below the sea floor or outside the grid"
    add("--leave-out", action="store_true", help=text)
    add("--output", type=Path, help="folder to write (default: assimilation/ of the run)")

    text = "draw states that belong to a state of another model, or of a coarser grid"
    add = command("translate", translate, text)
    text = "archive of states, or model output that `halocline init` can inspect"
    add("--from", nargs="+", required=True, dest="source", metavar="FILE", help=text)
    text = "setting of data.ingest that files do not state; repeatable"
    add("--set", action="append", dest="settings", metavar="KEY=VALUE", help=text)
    text = "number of the state in the files (default: -1, the last)"
    add("--state", type=int, metavar="N", help=text)
    text = (
        "means: states whose means over the source's cells are its values; noise: states that a "
        "chain returns from the noisy source (default: means for cells 1.5 times as wide)"
    )
    add("--by", choices=("means", "noise"), help=text)
    text = "map the source's values to the climate of the training states (default: with noise)"
    add("--maps", action=BooleanOptionalAction, help=text)
    text = "amplitude of the noise, 0 to 1 (default: the least that hides the source)"
    add("--noise", type=float, metavar="AMPLITUDE", help=text)
    add("--members", type=int, metavar="N", help="number of states (default: sampling.members)")
    add_condition_options(add, at="condition that is known; others are inferred")
    text = "convert temperature and salinity of other kinds with gsw"
    add("--convert", action="store_true", help=text)
    add("--output", type=Path, help="folder to write (default: translation/ of the run)")


def add_tools(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Declare the commands about runs, products and settings; parser: the whole command line."""
    text = "show which stages of a run are done, under way and to do"
    status = lazily("configs.status:print_status")
    find = lazily("configs.status:layout_of")
    sub = add_command(commands, "status", status, text, load=find, epilog=OVERRIDES)
    text = "run directory with a model, or YAML of the experiment"
    sub.add_argument("config", type=Path, metavar="RUN_OR_CONFIG", help=text)
    sub = add_command(commands, "verify", verify, "compare products with their checksums")
    text = "state archive, folder of a codec or a model, or run directory"
    sub.add_argument("path", type=Path, metavar="PATH", help=text)
    text = "make a release folder of a trained and evaluated model"
    find = lazily("configs.found:run_at")
    sub = add_command(commands, "pack", pack, text, load=find, epilog=OVERRIDES)
    text = "run directory with a model, or YAML of the experiment"
    sub.add_argument("config", type=Path, metavar="RUN_OR_CONFIG", help=text)
    add_pack_options(sub.add_argument)
    text = "print the JSON schema of an experiment's YAML, for editors"
    add_command(commands, "schema", lazily("configs.json_schema:print_schema"), text)
    complete = partial(lazily("studies.completion:print_completion"), parser=parser)
    text = "print a script that completes commands, options and paths in a shell"
    sub = add_command(commands, "completion", complete, text)
    sub.add_argument("shell", choices=("bash", "zsh"), help="the shell")


def add_init_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `halocline init`."""
    text = "name of the experiment; NAME.yaml is written in the present folder"
    parser.add_argument("name", metavar="NAME", help=text)
    text = "paths or quoted patterns of model output, such as 'output/*.nc'"
    parser.add_argument("--files", nargs="+", required=True, metavar="PATTERN", help=text)
    text = "setting of data.ingest that files do not state, such as time_step=3600; repeatable"
    parser.add_argument("--set", action="append", dest="settings", metavar="KEY=VALUE", help=text)


def add_condition_options(add: Callable[..., Any], *, at: str) -> None:
    """Declare the options of commands that draw states at given conditions; at: help of --at."""
    add("--at", action="append", metavar="NAME=VALUE", help=f"{at}; may be repeated")
    text = "allow conditions outside the range of the training members"
    add("--extrapolate", action="store_true", help=text)


def run_all(run: Run) -> None:
    """Run all stages in order; stages with existing products are skipped.

    What needs a package that is not installed is left out, and said so before the first stage.
    """
    from configs.stages import sample_rows
    from configs.status import announcement
    from integration.study import integration_study
    from training.launch import launched_processes, on_main, one_job, together

    for package in ("tensorboard", "matplotlib"):
        lacks(package)
    is_main = launched_processes().is_main_process
    stages: list[tuple[str, Callable[[Run], object], How]] = [
        ("data", make_archive, on_main),
        *((name, stage, together) for name, stage in training_stages(run)),
        ("sampling", sample_rows, together),
    ]
    if run.settings.integration and run.settings.conditions and not lacks("veros"):
        stages.append(("integration", integration_study, together))
    stages += [("evaluation", judge, on_main), ("export", export, on_main)]
    refuse_smaller_evaluation(run)
    announced = announcement(run, [name for name, *_ in stages])
    with one_job(run.directory):
        if is_main:
            print(announced)
        for name, stage, how in stages:
            if is_main:
                print(f"\n== {name}", flush=True)
            timed(name, partial(how, partial(stage, run)), directory=run.directory)
    if is_main:
        print(f"\nDone. Open {run.directory / 'report.html'}")
        print_verdict(run)


def training_stages(run: Run) -> list[tuple[str, Callable[[Run], object]]]:
    """The stages that train the run's model: both networks, or the distillation."""
    from configs.stages import distil, train_codec, train_denoiser

    if run.settings.distillation:
        return [("distillation", distil)]
    return [("autoencoder", train_codec), ("diffusion", train_denoiser)]


def train(run: Run, *, stage: str) -> None:
    """Run one training stage."""
    from configs.stages import distil, train_codec, train_denoiser
    from training.launch import one_job

    lacks("tensorboard")
    stages = {"autoencoder": train_codec, "diffusion": train_denoiser, "distillation": distil}
    with one_job(run.directory):
        stages[stage](run)


def make_archive(run: Run) -> None:
    """Create the state archive from model output if it does not exist.

    Raises `UserError` if it would have to be simulated: that takes hours and has its own command.
    """
    data = run.settings.data
    if data.archive.exists():
        print(f"{data.archive} exists")
    elif data.stored.exists():
        print(f"{data.archive} comes with Halocline")
    elif data.ingest:
        ingest(run)
    elif data.ensemble:
        from data.basin.ensemble import work_left

        raise UserError(
            f"{data.archive} does not exist; `halocline simulate CONFIG` makes it "
            f"({work_left(data.ensemble)})"
        )
    else:
        raise UserError(
            f"{data.archive} does not exist; correct data.archive, or add data.ingest or "
            "data.ensemble to create it"
        )


def simulate(run: Run, *, workers: int = 2) -> None:
    """Simulate the ensemble of the basin and write its archive; finished members are kept."""
    from data.basin.ensemble import run_ensemble, work_left
    from data.basin.ensemble_archive import basin_grid, write_ensemble_archive

    data, directory = run.settings.data, run.directory / "simulation"
    if data.ensemble is None:
        raise UserError("the configuration has no section data.ensemble; see configs/ensemble.yaml")
    if data.stored != data.archive:
        raise UserError(
            f"{data.archive} comes with Halocline; to simulate it again give another path, as in "
            "--data.archive states.zarr.zip"
        )
    with exclusive(data.archive, archive=True), exclusive(directory):
        refuse_to_overwrite(data.archive)
        print(f"simulating: {work_left(data.ensemble)}", flush=True)
        run_ensemble(data.ensemble, directory=directory, workers=workers)
        grid = basin_grid(data.ensemble.basin)
        write_ensemble_archive(data.ensemble, grid=grid, output=data.archive)
    print(f"wrote {data.archive}")


def ingest(run: Run) -> None:
    """Read model output into the state archive."""
    from configs.ingestion import ingest_run

    archive, settings = run.settings.data.archive, run.settings.data.ingest
    if settings is None:
        raise UserError(
            "the configuration has no section data.ingest; `halocline init NAME --files PATTERN` "
            "drafts one"
        )
    with exclusive(archive, archive=True):
        refuse_to_overwrite(archive)
        summary = ingest_run(run, settings)
    print(f"wrote {archive}\n{summary}")


def refuse_to_overwrite(archive: Path) -> None:
    """Raise `UserError` if the archive exists: it may have taken days to simulate."""
    if archive.exists():
        raise UserError(f"{archive} exists; remove it or change --data.archive")


def verify(path: Path) -> None:
    """Compare everything at `path` with its checksums, and print the outcome."""
    from configs.verification import verify as verify_products

    verify_products(path)


if __name__ == "__main__":
    main()
