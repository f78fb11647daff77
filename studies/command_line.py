"""The command line of the studies: `halocline study KIND ...`.

A command is a function of settings and keywords, imported when it runs (`lazily`). Options are its
keywords; omitted options keep the function's defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.lazily import lazily

if TYPE_CHECKING:
    from configs.run import Run
    from studies.autoencoder.settings import CodecStudy
    from studies.compression.settings import CompressionStudy
    from studies.guidance.settings import GuidanceStudy
    from studies.terms.settings import TermsStudy

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Command = Callable[..., object]
EXPERIMENT = "YAML of the experiment"
OVERRIDES = "Override any setting of the CONFIG with --section.key value."
load_experiment = lazily("configs:load_experiment")
SHAPE = "levels x rows x columns, as in 36x800x256"


def load_run(path: Path, overrides: Sequence[str]) -> Run:
    """The run of the experiment in a YAML, with `overrides` of its settings.

    A mistake in the settings is found before PyTorch is imported.
    """
    settings = load_experiment(path, overrides)
    run: Run = lazily("configs.run:Run")(settings)
    return run


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


def add_studies(commands: Commands, *, make_archive: Command) -> None:
    """Add `halocline study KIND ...`; `make_archive` creates a missing archive of an experiment."""
    kinds = _group(commands, "study", "KIND", "reproduce the results in the documentation")
    _add_autoencoder(kinds, make_archive)
    _add_compression(kinds, make_archive)
    _add_chain(kinds)
    _add_conditional(kinds)
    _add_ensemble(kinds)
    _add_guidance(kinds)
    _add_partial(kinds)
    _add_terms(kinds, make_archive)
    _add_spinup(_group(kinds, "spinup", "STUDY", "evaluate integrations of the ocean model"))
    _add_cost(_group(kinds, "cost", "STUDY", "measure time, operations and memory"))
    _add_gallery(kinds)
    _add_gaussian_mixture(kinds)
    text = "fill the tables in README.md and docs/ from docs/results"
    add_command(kinds, "tables", lazily("studies.tables:main"), text)


def compare_autoencoders(
    study: CodecStudy,
    *,
    make_archive: Command,
    split: str = "validation",
    only: Sequence[str] = (),
) -> None:
    """Train and evaluate the variants of a study; finished variants are not repeated."""
    from configs.run import Run
    from studies.autoencoder.study import compare

    make_archive(Run(study.base))
    print(f"wrote {compare(study, split=split, only=only)}")


def compare_designs(
    study: CompressionStudy,
    *,
    make_archive: Command,
    only: Sequence[str] = (),
    finished: bool = False,
) -> None:
    """Train and evaluate whole chains; finished variants are not repeated."""
    from configs.run import Run
    from studies.compression.study import compare

    make_archive(Run(study.base))
    print(f"wrote {compare(study, only=only, train=not finished)}")


def compare_guidance_methods(
    study: GuidanceStudy,
    *,
    split: str = "validation",
    only: Sequence[str] = (),
    finished: bool = False,
) -> None:
    """Generate and evaluate the points of a study; finished points are not repeated."""
    from studies.guidance.study import compare_guidance

    print(f"wrote {compare_guidance(study, split=split, only=only, draw=not finished)}")


def compare_training_terms(
    study: TermsStudy,
    *,
    make_archive: Command,
    split: str = "validation",
    only: Sequence[str] = (),
    finished: bool = False,
    **options: Path,
) -> None:
    """Train and evaluate the points of a study of terms; finished points are not repeated."""
    from configs.run import Run
    from studies.terms.study import compare_terms

    make_archive(Run(study.base))
    written = compare_terms(study, split=split, only=only, train=not finished, **options)
    print(f"wrote {written}")


def _group(commands: Commands, name: str, metavar: str, text: str) -> Commands:
    parser = commands.add_parser(name, help=text, description=text)
    return parser.add_subparsers(title="studies", required=True, metavar=metavar)


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


def _add_autoencoder(kinds: Commands, make_archive: Command) -> None:
    add = add_of_config(
        kinds,
        "autoencoder",
        partial(compare_autoencoders, make_archive=make_archive),
        "compare autoencoders trained at equal cost",
        load=lazily("studies.autoencoder.settings:load_study"),
        config="YAML of the study",
    )
    _add_selection(add, of="VARIANT")


def _add_compression(kinds: Commands, make_archive: Command) -> None:
    add = add_of_config(
        kinds,
        "compression",
        partial(compare_designs, make_archive=make_archive),
        "accuracy against cost: compare designs trained as a whole, on test states",
        load=lazily("studies.compression.settings:load_compression_study"),
        config="YAML of the study",
    )
    add("--only", nargs="+", metavar="VARIANT", help="variants to run (default: all)")
    add("--finished", action="store_true", help="train nothing; summarise finished variants")


def _add_chain(kinds: Commands) -> None:
    text = "variance of samples by number of steps, and errors of the denoiser"
    add = add_of_config(kinds, "chain", lazily("studies.chain:run"), text, load=load_run)
    add("--members", type=int, help="number of samples (default: 256)")
    add("--steps", type=int, nargs="+", help="numbers of steps (default: 30 60 120)")
    _add_output(add)


def _add_conditional(kinds: Commands) -> None:
    text = "states at the conditions of unseen members, beside statistical emulators"
    add = add_of_config(
        kinds, "conditional", lazily("studies.conditional.study:run"), text, load=load_run
    )
    add(
        "--output",
        type=Path,
        help="JSON file to write (default: docs/results/conditional_NAME.json)",
    )
    add("--figures", type=Path, help="folder of the figures (default: docs/figures)")


def _add_ensemble(kinds: Commands) -> None:
    text = "equilibrium, rounding and spread of the perturbed-parameter ensemble"
    add = add_of_config(kinds, "ensemble", lazily("studies.ensemble.report:run"), text)
    _add_report(add, "ensemble")


def _add_partial(kinds: Commands) -> None:
    text = "equilibria of the ensemble predicted from the first years after the change"
    add = add_of_config(kinds, "partial", lazily("studies.partial.report:run"), text)
    _add_report(add, "partial")


def _add_report(add: Callable[..., Any], name: str) -> None:
    """Options of studies that write a JSON file and figures."""
    add("--output", type=Path, help=f"JSON file to write (default: docs/results/{name}.json)")
    add("--figures", type=Path, help="folder of the figures (default: docs/figures)")


def _add_guidance(kinds: Commands) -> None:
    add = add_of_config(
        kinds,
        "guidance",
        compare_guidance_methods,
        "compare guidance methods on trained models",
        load=lazily("studies.guidance.settings:load_guidance_study"),
        config="YAML of the study",
    )
    _add_selection(add, of="METHOD")
    add("--finished", action="store_true", help="generate nothing; summarise finished points")


def _add_selection(add: Callable[..., Any], *, of: str) -> None:
    add("--only", nargs="+", metavar=of, help=f"{of.lower()}s to run (default: all)")
    add(
        "--split",
        choices=("validation", "test"),
        help="held-out states: validation to select, test to report (default: validation)",
    )


def _add_terms(kinds: Commands, make_archive: Command) -> None:
    add = add_of_config(
        kinds,
        "terms",
        partial(compare_training_terms, make_archive=make_archive),
        "compare training terms at equal training time",
        load=lazily("studies.terms.settings:load_terms_study"),
        config="YAML of the study",
    )
    _add_selection(add, of="VARIANT")
    add("--finished", action="store_true", help="train nothing; evaluate finished points")
    add("--output", type=Path, help="JSON file to write (default: docs/results/terms.json)")


def _add_spinup(studies: Commands) -> None:
    text = "report the finished runs of an integration study as JSON and figures"
    add = add_of_config(studies, "report", lazily("studies.spinup.report:run"), text, load=load_run)
    add("--output", type=Path, help="JSON file to write (default: docs/results/spinup.json)")
    add("--figures", type=Path, help="folder of the figures (default: docs/figures)")
    text = "kinetic energy in the days after a start at rest and a balanced start"
    add = add_of_config(
        studies, "cold_start", lazily("studies.spinup.cold_start:run"), text, load=load_run
    )
    add("--states", type=int, help="number of held-out states (default: 2)")
    add("--days", type=float, help="days after the start (default: 60)")
    _add_output(add)
    text = "strength of the balanced flow of held-out and generated states, by reference"
    add = add_of_config(
        studies, "flow_reference", lazily("studies.spinup.flow_reference:run"), text, load=load_run
    )
    add("--states", type=int, help="number of states of each kind (default: 16)")
    _add_output(add)


def _add_cost(studies: Commands) -> None:
    _add_benchmark(studies)
    _add_codec(studies)
    _add_adjustment(studies)
    _add_chains(studies)
    _add_writing(studies)
    text = "throughput, memory and operations of training"
    add = add_of_config(studies, "training", lazily("studies.cost.training:run"), text)
    add("--grid", help=f"grid of random states, {SHAPE} (default: states of the experiment)")
    add("--steps", type=int, help="number of timed steps of each stage (default: 8)")
    _add_machine(add)
    text = "throughput of training and sampling with several processes"
    add = add_of_config(studies, "processes", lazily("studies.cost.processes:run"), text)
    add(
        "--processes",
        type=int,
        nargs="+",
        help="numbers of processes to launch (default: the current processes)",
    )
    add("--steps", type=int, help="number of timed steps of each stage (default: 8)")
    _add_machine(add)
    text = "scaling of operations and memory with the grid, counted without running"
    add = add_of_config(studies, "growth", lazily("studies.cost.growth:run"), text)
    add(
        "--grid", nargs="+", help=f"{SHAPE} (default: DINO at 1 and 1/4 degree, global 1/12 degree)"
    )
    _add_output(add)


def _add_writing(studies: Commands) -> None:
    text = "time and bytes of an archive's fields by level of compression"
    parser = add_command(studies, "writing", lazily("studies.cost.writing:run"), text)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="state archive")
    parser.add_argument("--states", type=int, help="states, spread over it (default: 12)")
    _add_output(parser.add_argument)


def _add_benchmark(studies: Commands) -> None:
    add = add_of_config(
        studies,
        "benchmark",
        lazily("studies.cost.benchmark:run"),
        "cost of a state in latent and in data space",
        load=lazily("configs.loading:load_experiments"),
        config="YAML of each experiment",
        nargs="+",
    )
    add("--repeats", type=int, help="number of timed rounds (default: 3)")
    add("--training-steps", type=int, help="number of timed training steps, or 0 (default: 3)")
    add("--device", help="cpu or cuda (default: cpu)")
    add("--threads", type=int, help="number of torch threads")
    add("--output", type=Path, help="JSON file to add the result to (default: runs/benchmark.json)")


def _add_codec(studies: Commands) -> None:
    text = "time, memory and operations of an autoencoder"
    add = add_of_config(studies, "codec", lazily("studies.cost.codec:run"), text)
    add("--sea-level", action="store_true", help="include a channel for sea level")
    add("--closed", action="store_true", help="closed boundaries in x (default: periodic)")
    _add_timing(add)


def _add_adjustment(studies: Commands) -> None:
    text = "time of exact convective adjustment, by equation of state"
    parser = add_command(studies, "adjustment", lazily("studies.cost.adjustment:run"), text)
    _add_timing(parser.add_argument)


def _add_chains(studies: Commands) -> None:
    text = "time to sample a state, unguided and with each guidance method"
    add = add_of_config(studies, "guidance", lazily("studies.cost.guidance:run"), text)
    add(
        "--noise",
        type=float,
        help="standard deviation of the decoded temperature [K] (default: 0.25)",
    )
    add("--only", nargs="+", metavar="METHOD", help="methods to measure (default: all)")
    _add_timing(add)


def _add_timing(add: Callable[..., Any]) -> None:
    """Options of measurements on a grid."""
    add("--grid", required=True, help=SHAPE)
    add("--repeats", type=int, help="number of timed calls (default: 3)")
    add("--device", help="cpu or cuda (default: cpu)")
    _add_machine(add)


def _add_machine(add: Callable[..., Any]) -> None:
    add("--threads", type=int, help="number of torch threads")
    _add_output(add)


def _add_output(add: Callable[..., Any]) -> None:
    add("--output", type=Path, help="JSON file to write in addition")


def _add_gallery(kinds: Commands) -> None:
    text = "true and generated states side by side, chosen at random"
    add = add_of_config(kinds, "gallery", lazily("studies.gallery:run"), text, load=load_run)
    add("--count", type=int, help="states of each kind (default: 10)")
    add("--field", choices=("temperature", "salinity", "sea_level"), help="default: temperature")
    add("--output", type=Path, required=True, help="figure to write")


def _add_gaussian_mixture(kinds: Commands) -> None:
    text = "guidance of a Gaussian mixture with a known solution, for the tutorial"
    parser = add_command(kinds, "gaussian_mixture", lazily("studies.gaussian_mixture:run"), text)
    parser.add_argument(
        "--output", type=Path, help="figure to write (default: docs/figures/gaussian_mixture.png)"
    )
    parser.add_argument("--points", type=int, help="samples in each experiment (default: 4000)")
