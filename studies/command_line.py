"""The command line of the studies: `halocline study KIND ...`.

A command is a function of settings and keywords, imported when it runs (`lazily`). Options are its
keywords; omitted options keep the function's defaults.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.lazily import lazily
from studies.cost.command_line import add_cost
from studies.declaring import add_command, add_group, add_of_config, add_output, load_run

if TYPE_CHECKING:
    from studies.autoencoder.settings import CodecStudy
    from studies.compression.settings import CompressionStudy
    from studies.declaring import Command, Commands
    from studies.guidance.settings import GuidanceStudy
    from studies.terms.settings import TermsStudy


def add_studies(commands: Commands, *, make_archive: Command) -> None:
    """Add `halocline study KIND ...`; `make_archive` creates a missing archive of an experiment."""
    kinds = add_group(commands, "study", "KIND", "reproduce the results in the documentation")
    _add_analyses(kinds)
    _add_autoencoder(kinds, make_archive)
    _add_ablations(kinds)
    _add_compression(kinds, make_archive)
    _add_chain(kinds)
    _add_coarse_basin(kinds)
    _add_conditional(kinds)
    _add_downscaling(kinds)
    _add_ensemble(kinds)
    _add_guidance(kinds)
    _add_observations(kinds)
    _add_partial(kinds)
    _add_recovery(kinds)
    _add_terms(kinds, make_archive)
    _add_spinup(add_group(kinds, "spinup", "STUDY", "evaluate integrations of the ocean model"))
    add_cost(add_group(kinds, "cost", "STUDY", "measure time, operations and memory"))
    _add_gallery(kinds)
    _add_known_answers(kinds)
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


def _add_analyses(kinds: Commands) -> None:
    text = "the ocean model started from analyses of observations, beside the truth"
    add = add_of_config(
        kinds, "analyses", lazily("studies.analyses.study:run"), text, load=load_run
    )
    add("--points", type=int, help="test members, from the first (default: 3)")
    add("--members", type=int, help="of each analysis (default: 12)")
    add("--steps", type=int, help="steps of our chains (default: 60)")
    add("--years", type=float, help="length of the runs (default: 5)")
    add("--seed", type=int, help="of all random numbers (default: 0)")
    _add_observed(add, "analyses")


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
    add_output(add)


def _add_coarse_basin(kinds: Commands) -> None:
    text = "states of a 5-degree run of the basin at 2.5 degrees, and on in the model"
    add = add_of_config(
        kinds, "coarse_basin", lazily("studies.coarse_basin.study:run"), text, load=load_run
    )
    source = "data/archives/coarse_basin.zarr.zip"
    add("--source", type=Path, help=f"archive of the coarse run (default: {source})")
    add("--points", type=int, help="test members, from the first (default: 1)")
    add("--states", type=int, help="coarse states of each, up to the last (default: 3)")
    add("--members", type=int, help="states of each method for one of these (default: 4)")
    add("--steps", type=int, help="steps of our chains (default: 60)")
    add("--started", nargs="+", metavar="ROW", help="rows that start the model (default: 7)")
    add("--years", type=float, help="length of these runs (default: 5)")
    add("--seed", type=int, help="of all random numbers (default: 0)")
    _add_report(add, "coarse_basin")


def _add_conditional(kinds: Commands) -> None:
    text = "states at the conditions of unseen members, beside statistical emulators"
    add = add_of_config(
        kinds, "conditional", lazily("studies.conditional.study:run"), text, load=load_run
    )
    _add_result(add, "conditional")
    add("--figures", type=Path, help="folder of the figures (default: docs/figures)")


def _add_ablations(kinds: Commands) -> None:
    text = "other ways to draw at the conditions of unseen members: end to end, and strengthened"
    add = add_of_config(
        kinds, "ablations", lazily("studies.conditional.ablations:run"), text, load=load_run
    )
    _add_result(add, "ablations")


def _add_downscaling(kinds: Commands) -> None:
    text = "fine states from means over coarse cells, beside interpolation and statistics"
    add = add_of_config(
        kinds, "downscaling", lazily("studies.downscaling.study:run"), text, load=load_run
    )
    add("--factor", type=int, help="sides of coarse cells, in cells (default: 2)")
    _add_twins(add, "downscaling", members=8)
    add("--only", nargs="+", metavar="ROW", help="rows to make (default: all)")


def _add_twins(add: Callable[..., Any], name: str, *, members: int) -> None:
    """Options of studies with a known truth; members: the default."""
    add("--truths", type=int, help="true states, spread over the test members (default: 3)")
    add("--members", type=int, help=f"states of each method for one truth (default: {members})")
    add("--steps", type=int, help="steps of our chains (default: 60)")
    _add_split_and_seed(add)
    _add_result(add, name)


def _add_split_and_seed(add: Callable[..., Any]) -> None:
    """Which true states a study has, and its seed."""
    add(
        "--split",
        choices=("validation", "test"),
        help="true states: validation to select, test to report (default: test)",
    )
    add("--seed", type=int, help="of all random numbers (default: 0)")


def _add_result(add: Callable[..., Any], name: str) -> None:
    text = f"JSON file to write (default: docs/results/{name}_NAME.json)"
    add("--output", type=Path, help=text)


def _add_ensemble(kinds: Commands) -> None:
    text = "equilibrium, rounding and spread of the perturbed-parameter ensemble"
    add = add_of_config(kinds, "ensemble", lazily("studies.ensemble.report:run"), text)
    _add_report(add, "ensemble")


def _add_observations(kinds: Commands) -> None:
    text = "states given observations of a known truth, beside classical methods"
    add = add_of_config(
        kinds, "observations", lazily("studies.observations.study:run"), text, load=load_run
    )
    _add_twins(add, "observations", members=12)
    add("--smoother-members", type=int, help="training states that ES-MDA updates (default: 128)")
    add("--localisation-km", type=float, help="where localised covariances vanish [km]")
    add("--networks", nargs="+", metavar="NETWORK", help="of observations (default: all)")
    add("--only", nargs="+", metavar="METHOD", help="methods to run (default: all)")


def _add_partial(kinds: Commands) -> None:
    text = "equilibria of the ensemble predicted from the first years after the change"
    add = add_of_config(kinds, "partial", lazily("studies.partial.report:run"), text)
    text = "YAML of a trained experiment, whose network is to correct predictions"
    add("--network", type=Path, metavar="CONFIG", help=text)
    add("--seeds", type=int, help="times that the network is trained (default: 1)")
    add("--samples", type=int, help="of each training (default: those of the experiment)")
    _add_report(add, "partial")


def _add_recovery(kinds: Commands) -> None:
    text = "parameters of unseen members inferred from observations, beside classical estimates"
    add = add_of_config(
        kinds, "recovery", lazily("studies.recovery.study:run"), text, load=load_run
    )
    add("--truths", type=int, help="true states, spread over the test members (default: 24)")
    _add_split_and_seed(add)
    _add_observed(add, "recovery")


def _add_observed(add: Callable[..., Any], name: str) -> None:
    """Options of studies of one network of observations that write a result and a figure."""
    add("--network", metavar="NETWORK", help="of observations (default: profiles_40)")
    _add_result(add, name)
    add("--figures", type=Path, help="folder of the figure (default: docs/figures)")


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
    add_output(add)
    text = "strength of the balanced flow of held-out and generated states, by reference"
    add = add_of_config(
        studies, "flow_reference", lazily("studies.spinup.flow_reference:run"), text, load=load_run
    )
    add("--states", type=int, help="number of states of each kind (default: 16)")
    add_output(add)


def _add_gallery(kinds: Commands) -> None:
    text = "true and generated states side by side, chosen at random"
    add = add_of_config(kinds, "gallery", lazily("studies.gallery:run"), text, load=load_run)
    add("--count", type=int, help="states of each kind (default: 10)")
    add("--field", choices=("temperature", "salinity", "sea_level"), help="default: temperature")
    add("--output", type=Path, required=True, help="figure to write")


def _add_known_answers(kinds: Commands) -> None:
    text = "guidance of a Gaussian mixture with a known solution, for the tutorial"
    parser = add_command(kinds, "gaussian_mixture", lazily("studies.gaussian_mixture:run"), text)
    parser.add_argument("--points", type=int, help="samples in each experiment (default: 4000)")
    _add_figure(parser, "gaussian_mixture")
    text = "observations with a known posterior, for the tutorial"
    posterior = lazily("studies.gaussian_posterior:run")
    _add_figure(add_command(kinds, "gaussian_posterior", posterior, text), "gaussian_posterior")


def _add_figure(parser: ArgumentParser, name: str) -> None:
    text = f"figure to write (default: docs/figures/{name}.png)"
    parser.add_argument("--output", type=Path, help=text)
