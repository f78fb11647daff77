"""The front door: the `halocline` command. It only assembles; the work is in the packages.

Each command is a function of settings and keywords. The options of a command line are the keywords
of its function, and those that are not given keep the function's defaults. Packages are imported
where they are used, so that `halocline --help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError, user_errors_in_one_sentence
from integration.commands import add_export_options, drift_of_run, export, integrate
from studies.command_line import add_command, add_studies
from training.cost import read_cost, timed

if TYPE_CHECKING:
    from configs import Experiment

DESCRIPTION = """\
Halocline generates equilibrated 3-D ocean states: temperature and salinity volumes that your ocean
model starts from. It learns them from states that the model has already reached.

Start with:   halocline run configs/quickstart.yaml
"""
EPILOG = """\
Every command takes a CONFIG (a YAML in configs/, for `study` in configs/studies/) and any of its
settings as --section.key value, for example:
halocline sample configs/quickstart.yaml --sampling.members 200 --output states.zarr
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    options, overrides = parser.parse_known_args(arguments)
    keywords = vars(options)
    command, load = keywords.pop("command"), keywords.pop("load", None)
    if overrides and load is None:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    with user_errors_in_one_sentence():
        settings = [load(keywords.pop("config"), overrides)] if load else []
        command(*settings, **keywords)


def build_parser() -> argparse.ArgumentParser:
    """The command line: one subcommand for each thing that a user does."""
    parser = argparse.ArgumentParser(
        prog="halocline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: Callable[..., object], text: str) -> Callable[..., Any]:
        sub = add_command(commands, name, function, text, load=load, epilog=EPILOG)
        sub.add_argument("config", type=Path, metavar="CONFIG", help="YAML of the experiment")
        return sub.add_argument

    command("run", run, "run every stage that is not yet done, in order; resumes where it stopped")
    add = command("simulate", simulate, "run the ensemble of the basin, write states as an archive")
    add("--workers", type=int, help="members at a time (2)")
    command("ingest", ingest, "read ocean-model output into a state archive")
    add = command("sample", sample, "draw an ensemble of states from a trained model")
    add("--output", type=Path, help="archive to write; default: the three rows in samples/")
    command("evaluate", evaluate, "judge the samples: metrics.json, figures and report.html")
    add = command(
        "integrate", integrate, "start the ocean basin from generated, true and analytic states"
    )
    add("--only", nargs="+", metavar="LABEL", help="these starts, not all")
    add_export_options(
        command("export", export, "write a state as the files that an ocean model starts from")
    )
    add_studies(commands, make_archive=make_archive)
    return parser


def load(path: Path, overrides: Sequence[str]) -> Experiment:
    """The experiment that a YAML describes, with `overrides` of its settings."""
    from configs import load_experiment

    return load_experiment(path, overrides)


def run(experiment: Experiment) -> None:
    """Every stage in order; a stage whose product exists is skipped."""
    from latent_diffusion.sample import sample_rows

    stages: list[tuple[str, Callable[[Experiment], object]]] = [
        ("data", make_archive),
        *training_stages(experiment),
        ("sampling", sample_rows),
    ]
    if experiment.integration and experiment.data.simulation:
        from integration.study import integration_study

        stages.append(("integration", integration_study))
    stages += [("export", export), ("evaluation", evaluate)]
    for name, stage in stages:
        print(f"\n== {name}", flush=True)
        timed(name, partial(stage, experiment), directory=experiment.run_directory)
    print(f"\nDone. Open {experiment.run_directory / 'report.html'}")


def training_stages(experiment: Experiment) -> list[tuple[str, Callable[[Experiment], object]]]:
    """What makes the experiment's model: both trainings, or the distillation of another's."""
    from autoencoder.train import train_codec
    from latent_diffusion.distil import distil
    from latent_diffusion.train import train_denoiser

    if experiment.distillation:
        return [("distillation", distil)]
    return [("autoencoder", train_codec), ("diffusion", train_denoiser)]


def make_archive(experiment: Experiment) -> None:
    """The state archive, if it does not exist yet."""
    data = experiment.data
    if data.archive.exists():
        print(f"{data.archive} is there")
    elif data.ingest:
        ingest(experiment)
    elif data.simulation:
        simulate(experiment)
    else:
        raise UserError(
            f"{data.archive} does not exist and the configuration does not say how to make it; add "
            "data.ingest or data.simulation, or correct data.archive"
        )


def simulate(experiment: Experiment, *, workers: int = 2) -> None:
    """Run the ensemble of the basin, then write its archive; finished members are kept."""
    from data.basin import ensemble
    from data.basin.simulate import run_ensemble
    from data.basin.to_archive import write_simulation_archive

    data, directory = experiment.data, experiment.run_directory / "simulation"
    if data.ensemble:
        ensemble.run_ensemble(data.ensemble, directory=directory, workers=workers)
        return
    if data.simulation is None:
        raise UserError(
            "the configuration has no section data.simulation; see configs/quickstart.yaml"
        )
    refuse_to_overwrite(data.archive)
    run_ensemble(data.simulation, directory=directory, workers=workers)
    write_simulation_archive(data.simulation, directory=directory, output=data.archive)
    print(f"wrote {data.archive}")


def ingest(experiment: Experiment) -> None:
    """Read model output into the archive."""
    from data.ingest import ingest as read_into_archive

    if experiment.data.ingest is None:
        raise UserError("the configuration has no section data.ingest; see configs/global4deg.yaml")
    refuse_to_overwrite(experiment.data.archive)
    read_into_archive(experiment.data.ingest, output=experiment.data.archive)
    print(f"wrote {experiment.data.archive}")


def refuse_to_overwrite(archive: Path) -> None:
    """An archive may have cost days: it is never replaced without being removed by hand."""
    if archive.exists():
        raise UserError(f"{archive} exists; remove it, or set --data.archive to another path")


def sample(experiment: Experiment, *, output: Path | None = None) -> None:
    """Draw an ensemble."""
    from latent_diffusion.sample import row_path, sample_rows
    from latent_diffusion.sample import sample as draw_ensemble

    if output:
        draw_ensemble(experiment, output=output)
    else:
        sample_rows(experiment)
    print(f"wrote {output or row_path(experiment, 'guided_adjusted').parent}")


def evaluate(experiment: Experiment) -> None:
    """Metrics, figures and report from what the run holds."""
    from evaluation.evaluate import evaluate as judge

    cost = read_cost(experiment.run_directory)
    judge(experiment, cost=cost, **drift_of_run(experiment))
    print(f"wrote {experiment.run_directory / 'report.html'}")


if __name__ == "__main__":
    main()
