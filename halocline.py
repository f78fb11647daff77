"""The front door: the `halocline` command. It only assembles; the work is in the packages."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from configs import Experiment, load_experiment
from configs.run import Run
from data.errors import UserError, user_errors_in_one_sentence
from studies.autoencoder.settings import CodecStudy, load_study
from studies.guidance.settings import GuidanceStudy, load_guidance_study
from training.log import write_json

DESCRIPTION = """\
Halocline generates equilibrated 3-D ocean states: temperature and salinity volumes that your ocean
model starts from. It learns them from states that the model has already reached.

Start with:   halocline run configs/quickstart.yaml
"""
EPILOG = """\
Every command takes a CONFIG (a YAML in configs/, for `compare` in configs/studies/) and any of its
settings as --section.key value, for example:
halocline sample configs/quickstart.yaml --sampling.members 200 --output states.zarr
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = build_parser()
    options, overrides = parser.parse_known_args(arguments)
    with user_errors_in_one_sentence():
        settings = options.load(options.config, overrides)
        options.command(settings, options)


def build_parser() -> argparse.ArgumentParser:
    """The command line: one subcommand for each thing that a user does."""
    parser = argparse.ArgumentParser(
        prog="halocline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = partial(_add_command, commands)
    command("run", run, "run every stage that is not yet done, in order; resumes where it stopped")
    simulate_parser = command(
        "simulate",
        simulate,
        "run the ensemble of the ocean basin and write its states as an archive",
    )
    simulate_parser.add_argument("--workers", type=int, default=2, help="members at a time (2)")
    command("ingest", ingest, "read ocean-model output into a state archive")
    _add_train(commands)
    sample_parser = command("sample", sample, "draw an ensemble of states from a trained model")
    sample_parser.add_argument(
        "--output",
        type=Path,
        help="archive to write; without it, samples/ of the run: unguided, guided, guided_adjusted",
    )
    command("evaluate", evaluate, "judge the samples: metrics.json, figures and report.html")
    integrate_parser = command(
        "integrate", integrate, "start the ocean basin from generated, true and analytic states"
    )
    integrate_parser.add_argument(
        "--only", nargs="+", default=[], metavar="LABEL", help="these starts, not all"
    )
    _add_export_options(
        command("export", export, "write a state as the files that an ocean model starts from")
    )
    _add_compare_options(
        command(
            "compare", compare, "train the autoencoders of a study at equal cost and judge each"
        )
    )
    _add_studies(commands)
    _add_benchmark(commands)
    return parser


def _add_command(
    commands: argparse._SubParsersAction, name: str, function: Callable, help_text: str
) -> argparse.ArgumentParser:
    """A subcommand that takes the YAML of an experiment, and any setting of it."""
    sub = commands.add_parser(
        name, help=help_text, description=help_text, epilog=EPILOG, allow_abbrev=False
    )
    sub.add_argument("config", type=Path, metavar="CONFIG", help="YAML of the experiment or study")
    sub.set_defaults(command=function, load=load_experiment)
    return sub


def _add_train(commands: argparse._SubParsersAction) -> None:
    """`halocline train STAGE CONFIG`: what `accelerate launch -m` starts in several processes."""
    help_text = "run one training stage alone; resumes where it stopped"
    parser = commands.add_parser(
        "train", help=help_text, description=help_text, epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument("stage", choices=("autoencoder", "diffusion", "distillation"))
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML of the experiment")
    parser.set_defaults(command=train, load=load_experiment)


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    from data.archive.format import EquationName
    from data.restarts.formats import FORMATS
    from data.restarts.initial_condition import VelocityChoice

    add = parser.add_argument
    add("--member", type=int, default=0, help="which state of the archive (0)")
    add("--states", type=Path, help="archive to take it from; without it, guided_adjusted")
    add("--format", choices=FORMATS, default="cf", help="what to write (cf)")
    add("--output", type=Path, help="file to write; several files are named after it")
    add("--overwrite", action="store_true", help="replace what is at --output")
    add("--precision", choices=("single", "double"), help="of the numbers: cf, nemo, mitgcm")
    add("--template", type=Path, help="nemo-restart, veros-restart: a restart to copy")
    add("--mesh-mask", type=Path, help="nemo: the domain's mesh mask, to compare the state with")
    add(
        "--velocities",
        choices=get_args(VelocityChoice),
        help="nemo-restart, veros-restart: (template); mitgcm: (rest)",
    )
    add(
        "--reference",
        metavar="floor|sea_level|DEPTH",
        help="what balanced velocities are referred to: still water at the sea floor or at a depth "
        "[m], or the state's sea level (sea_level where it has one, else floor)",
    )
    names = get_args(EquationName)
    add("--equation-of-state", choices=names, metavar="NAME", help="the model's (the archive's)")
    add("--adjust", action="store_true", help="mix what overturns under that equation of state")


def _add_studies(commands: argparse._SubParsersAction) -> None:
    """`halocline study guidance STUDY`."""
    help_text = "compare ways of doing something on trained models"
    study_parser = commands.add_parser("study", help=help_text, description=help_text)
    kinds = study_parser.add_subparsers(title="kinds", required=True, metavar="KIND")
    help_text = "draw ensembles with each way to guide and judge them"
    guidance = kinds.add_parser(
        "guidance", help=help_text, description=help_text, allow_abbrev=False
    )
    guidance.add_argument("config", type=Path, metavar="STUDY", help="YAML of the study")
    guidance.set_defaults(command=study_guidance, load=load_guidance_study)
    _add_selection(guidance, of="METHOD")
    guidance.add_argument(
        "--finished", action="store_true", help="draw nothing: put together what is there"
    )


def _add_benchmark(commands: argparse._SubParsersAction) -> None:
    from studies.cost.benchmark import add_options

    help_text = "measure what a state costs, in latent and in data space"
    benchmark_parser = commands.add_parser(
        "benchmark", help=help_text, description=help_text, allow_abbrev=False
    )
    add_options(benchmark_parser)
    benchmark_parser.set_defaults(command=benchmark, load=load_experiments)


def load_experiments(paths: Sequence[Path], overrides: Sequence[str]) -> list[Experiment]:
    """Several experiments, the same settings changed in each."""
    return [load_experiment(path, overrides) for path in paths]


def _add_compare_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(load=load_study)
    _add_selection(parser, of="VARIANT")


def _add_selection(parser: argparse.ArgumentParser, *, of: str) -> None:
    parser.add_argument(
        "--only", nargs="+", default=[], metavar=of, help=f"these {of.lower()}s, not all"
    )
    parser.add_argument(
        "--split",
        choices=("validation", "test"),
        default="validation",
        help="held-out states to judge on: validation to choose by (the default), test to report",
    )


def run(experiment: Experiment, options: argparse.Namespace) -> None:
    """Every stage in order, each skipped if its product stands."""
    from configs.stages import sample_rows

    stages: list[tuple[str, Callable[[], object]]] = [
        ("data", lambda: make_archive(experiment)),
        *training_stages(experiment),
        ("sampling", lambda: sample_rows(Run(experiment))),
    ]
    as_export = ["export", str(options.config)]
    if experiment.integration and experiment.data.simulation:
        stages.append(("integration", lambda: study(experiment)))
    stages += [
        ("export", lambda: export(experiment, build_parser().parse_args(as_export))),
        ("evaluation", lambda: evaluate(experiment, options)),
    ]
    for name, stage in stages:
        print(f"\n== {name}", flush=True)
        timed(experiment, name, stage)
    print(f"\nDone. Open {experiment.run_directory / 'report.html'}")


def training_stages(experiment: Experiment) -> list[tuple[str, Callable[[], object]]]:
    """What makes the experiment's model: both trainings, or the distillation of another's."""
    from configs.stages import distil, train_codec, train_denoiser

    run = Run(experiment)
    if experiment.distillation:
        return [("distillation", lambda: distil(run))]
    return [
        ("autoencoder", lambda: train_codec(run)),
        ("diffusion", lambda: train_denoiser(run)),
    ]


def train(experiment: Experiment, options: argparse.Namespace) -> None:
    """One training stage."""
    from configs.stages import distil, train_codec, train_denoiser

    stages = {"autoencoder": train_codec, "diffusion": train_denoiser, "distillation": distil}
    stages[options.stage](Run(experiment))


def make_archive(experiment: Experiment) -> None:
    """The state archive, if it is not there yet."""
    data = experiment.data
    if data.archive.exists():
        print(f"{data.archive} is there")
    elif data.ingest:
        ingest(experiment, argparse.Namespace())
    elif data.simulation:
        simulate(experiment, argparse.Namespace(workers=2))
    else:
        raise UserError(
            f"{data.archive} does not exist and the configuration does not say how to make it; add "
            "data.ingest or data.simulation, or correct data.archive"
        )


def simulate(experiment: Experiment, options: argparse.Namespace) -> None:
    """Run the ensemble, then write its archive."""
    if experiment.data.ensemble:
        simulate_ensemble(experiment, options)
        return
    from data.basin.simulate import run_ensemble
    from data.basin.to_archive import write_simulation_archive

    settings = experiment.data.simulation
    if settings is None:
        raise UserError(
            "the configuration has no section data.simulation; see configs/quickstart.yaml"
        )
    refuse_to_overwrite(experiment.data.archive)
    directory = experiment.run_directory / "simulation"
    run_ensemble(settings, directory=directory, workers=options.workers)
    write_simulation_archive(settings, directory=directory, output=experiment.data.archive)
    print(f"wrote {experiment.data.archive}")


def simulate_ensemble(experiment: Experiment, options: argparse.Namespace) -> None:
    """Run the perturbed-parameter ensemble; finished members are kept."""
    from data.basin.ensemble import run_ensemble

    settings = experiment.data.ensemble
    assert settings is not None, "the caller has seen it"
    directory = experiment.run_directory / "simulation"
    run_ensemble(settings, directory=directory, workers=options.workers)


def ingest(experiment: Experiment, options: argparse.Namespace) -> None:
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


def sample(experiment: Experiment, options: argparse.Namespace) -> None:
    """Draw an ensemble."""
    from configs.stages import sample as draw_ensemble
    from configs.stages import sample_rows

    run = Run(experiment)
    if options.output:
        draw_ensemble(run, output=options.output)
    else:
        sample_rows(run)
    print(f"wrote {options.output or run.samples('guided_adjusted').parent}")


def integrate(experiment: Experiment, options: argparse.Namespace) -> None:
    """Integrate states in the basin and print how far they drift."""
    from evaluation.provenance import provenance
    from integration.study import integration_study, summary

    result = summary(integration_study(Run(experiment), only=options.only))
    assert experiment.integration is not None, "the study refuses an experiment without it"
    seeds = {"integration": experiment.integration.seed, "sampling": experiment.sampling.seed}
    own = experiment.integration.directory
    path = (own or experiment.run_directory) / "integration.json"
    write_json(path, {"kind": "integration", **result, "provenance": provenance(seeds=seeds)})
    print(json.dumps(result, indent=2))
    print(f"wrote {path}")


def study(experiment: Experiment):
    """The integration study; finished runs are not repeated."""
    from integration.study import integration_study

    return integration_study(Run(experiment))


def evaluate(experiment: Experiment, options: argparse.Namespace) -> None:
    """Metrics, figures and report from what the run holds."""
    from evaluation.evaluate import evaluate as judge

    judge(Run(experiment), cost=read_cost(experiment), **integrated(experiment))
    print(f"wrote {experiment.run_directory / 'report.html'}")


def integrated(experiment: Experiment) -> dict[str, Any]:
    """What an evaluation is told of the run's integrations; nothing where there are none."""
    from evaluation.figures import save_figure
    from integration.figures import integration_drift
    from integration.study import finished_study, summary

    if not (experiment.integration and experiment.data.simulation):
        return {}
    result = finished_study(Run(experiment))
    if not result.runs:
        return {}
    path = experiment.run_directory / "figures" / "integration.png"
    figure = save_figure(integration_drift(result), path)
    return {"integration": summary(result), "integration_figure": figure}


def export(experiment: Experiment, options: argparse.Namespace) -> None:
    """Write one state as an initial condition, read back, and say what the model must be told."""
    from data.archive.reader import StateArchive
    from data.restarts.formats import build_writer, default_name
    from data.restarts.initial_condition import refuse_to_overwrite
    from integration.export import export_state, parse_reference

    writer = build_writer(
        options.format,
        precision=options.precision,
        template=options.template,
        mesh_mask=options.mesh_mask,
        velocities=options.velocities,
    )
    if options.output and not options.overwrite:
        refuse_to_overwrite(writer, options.output)
    name = default_name(options.format, options.member)
    written = export_state(
        StateArchive.open(options.states or Run(experiment).samples("guided_adjusted")),
        options.member,
        writer,
        path=options.output or experiment.run_directory / name,
        target=options.equation_of_state,
        adjusted=options.adjust,
        balanced=options.velocities == "balanced",
        reference=parse_reference(options.reference) if options.reference else None,
    )
    print(f"wrote {', '.join(map(str, written.files))}, read back and compared")
    if written.namelist:
        print(f"\n{written.namelist}")


def compare(study: CodecStudy, options: argparse.Namespace) -> None:
    """Train and judge the variants of a study; what is done is not repeated."""
    from studies.autoencoder.study import compare as compare_variants

    make_archive(study.base)
    print(f"wrote {compare_variants(study, split=options.split, only=options.only)}")


def study_guidance(study: GuidanceStudy, options: argparse.Namespace) -> None:
    """Draw and judge the points of a study of guidance; what is done is not repeated."""
    from studies.guidance.study import compare_guidance

    path = compare_guidance(
        study, split=options.split, only=options.only, draw=not options.finished
    )
    print(f"wrote {path}")


def benchmark(experiments: list[Experiment], options: argparse.Namespace) -> None:
    """Costs of latent and data space on each experiment's grid."""
    from studies.cost.benchmark import measure

    measure(experiments, options)


def timed(experiment: Experiment, name: str, stage: Callable[[], object]) -> None:
    """Run a stage and add its wall time, and the largest process so far, to the run's cost."""
    start = time.monotonic()
    try:
        stage()
    finally:
        cost = read_cost(experiment)
        seconds = cost.get(f"{name}_seconds", 0.0) + time.monotonic() - start
        cost[f"{name}_seconds"] = round(seconds, 1)
        cost["largest_process_GiB"] = max(cost.get("largest_process_GiB", 0.0), largest_process())
        write_json(experiment.run_directory / "cost.json", cost)


def largest_process() -> float:
    """Peak memory [GiB] of this process or of the largest that it started."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1024**3 if sys.platform == "darwin" else 1024**2
    return round(max(resource.getrusage(user).ru_maxrss for user in users) / unit, 2)


def read_cost(experiment: Experiment) -> dict[str, float]:
    """Wall seconds of each stage, over all the times that it was resumed."""
    path = experiment.run_directory / "cost.json"
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    main()
