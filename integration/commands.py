"""The commands `halocline evaluate`, `integrate` and `export`.

Imports are inside the commands, so that `halocline --help` is fast.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from data.extras import lacks
from training.log import write_json

if TYPE_CHECKING:
    from configs.run import Run
    from data.archive.reader import StateArchive

FORMATS = ("cf", "nemo", "nemo-restart", "mitgcm", "veros-restart")
VELOCITIES = ("template", "rest", "balanced")
FILE: dict[str, Any] = {"type": Path, "metavar": "FILE"}
FLAG: dict[str, Any] = {"action": "store_true"}
EXPORT_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {  # help and keywords of `add_argument`
    "--member": ("number of the state in the archive (default: 0)", {"type": int, "metavar": "N"}),
    "--states": ("archive of the state (default: guided_adjusted of the run)", FILE),
    "--format": (
        f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (default: cf)",
        {"choices": FORMATS, "metavar": "FORMAT"},
    ),
    "--output": ("file to write; several files derive their names from it", FILE),
    "--overwrite": (
        "replace existing files at --output; the default file is always replaced",
        FLAG,
    ),
    "--precision": (
        "precision of the numbers; cf, nemo and mitgcm only",
        {"choices": ("single", "double")},
    ),
    "--template": ("restart file to copy; nemo-restart and veros-restart only", FILE),
    "--mesh-mask": ("mesh mask, to check the grid of the state; nemo only", FILE),
    "--velocities": (
        "initial velocities; nemo-restart and veros-restart (default: template), mitgcm "
        "(default: rest)",
        {"choices": VELOCITIES},
    ),
    "--reference": (
        "reference of balanced velocities: no motion at the sea floor or at DEPTH [m], or the sea "
        "level of the state (default: sea_level if the state has one, else floor)",
        {"metavar": "floor|sea_level|DEPTH"},
    ),
    "--equation-of-state": (
        "equation of state of the ocean model (default: that of the archive)",
        {"metavar": "NAME"},
    ),
    "--adjust": ("remove static instability by convective adjustment", FLAG),
}


def add_evaluate_options(add: Callable[..., Any]) -> None:
    """Declare the options of `halocline evaluate`, the keywords of `evaluate`."""
    text = "judge the model with the states of another archive, in a folder of its own"
    add("--archive", type=Path, metavar="ARCHIVE", help=text)
    text = "with --archive: part of it that is the truth, or all (default: test)"
    add("--split", choices=("train", "validation", "test", "outside", "all"), help=text)
    text = "with --archive: folder to write (default: evaluations/ARCHIVE of the run)"
    add("--output", type=Path, metavar="FOLDER", help=text)
    text = "also write the numbers of nemo-spinup-evaluation for each state, as CSV"
    add("--csv", action="store_true", help=text)
    text = "replace an evaluation of the same model, even of more states or seeds"
    add("--replace", action="store_true", help=text)


def evaluate(
    run: Run,
    *,
    archive: Path | None = None,
    split: str | None = None,
    output: Path | None = None,
    csv: bool = False,
    replace: bool = False,
) -> None:
    """Evaluate the samples of a run; writes metrics, figures and report.

    Raises `UserError`, unless `replace`, if they are there and rest on more states or seeds.
    """
    from configs.elsewhere import RunElsewhere
    from evaluation.commands import print_verdict
    from evaluation.rows import draw_rows
    from training.launch import on_main, one_job

    if archive is not None:
        run = RunElsewhere(run.settings, archive, split=split, folder=output)
        run.held_out  # noqa: B018  # refuses what does not fit before a folder is made
    elif split or output:
        raise UserError("--split and --output need --archive: another archive to judge with")
    if not replace:
        refuse_smaller_evaluation(run)
    with one_job(run.results):
        run.verify_archive()
        draw_rows(run)
        on_main(lambda: judge(run, csv=csv))
    print(f"wrote {run.results / 'report.html'}")
    print_verdict(run)


def refuse_smaller_evaluation(run: Run) -> None:
    """Raise `UserError` if the run's model was evaluated with more states, or seeds, than now."""
    from evaluation.verdict import METRICS, judged_before

    settings = run.settings.evaluation
    before = judged_before(run.results, weights=run.weights)
    for name, now in (("states", settings.states), ("seeds", settings.seeds)):
        if now < before[name]:
            raise UserError(
                f"{run.results / METRICS} and the report rest on {before[name]} {name}, which an "
                f"evaluation with {now} (evaluation.{name}) would replace: give more, or replace "
                "them with the option --replace of halocline evaluate"
            )


def judge(run: Run, *, csv: bool = False) -> None:
    """Evaluate the samples, and the integrations if there are any with the run's own archive."""
    from evaluation.evaluate import evaluate as judge_samples
    from training.cost import read_cost

    drift = drift_of_run(run) if run.results == run.directory else {}
    judge_samples(run, cost=read_cost(run.directory), csv=csv, **drift)


def integrate(run: Run, *, only: Sequence[str] = ()) -> None:
    """Integrate the basin from the states of the configuration and print their drift."""
    from evaluation.provenance import provenance
    from integration.study import integration_settings, integration_study, summary
    from training.launch import launched_processes, one_job

    with one_job(run.directory):
        result = summary(integration_study(run, only=only))
    if not launched_processes().is_main_process:
        return
    settings = integration_settings(run)
    seeds = {"integration": settings.seed, "sampling": run.settings.sampling.seed}
    path = (settings.directory or run.directory) / "integration.json"
    write_json(path, {"kind": "integration", **result, "provenance": provenance(seeds=seeds)})
    print(json.dumps(result, indent=2))
    print(f"wrote {path}")


def drift_of_run(run: Run) -> dict[str, Any]:
    """Keywords of `evaluation.evaluate.evaluate`: summary and figure of finished integrations."""
    from integration.study import finished_study, summary

    if not (run.settings.integration and run.settings.conditions):
        return {}
    result = finished_study(run)
    if not result.runs:
        return {}
    found: dict[str, Any] = {"integration": summary(result)}
    if lacks("matplotlib"):
        return found

    from evaluation.canvas import save_figure
    from integration.figures import integration_drift

    path = run.directory / "figures" / "integration.png"
    return found | {"integration_figure": save_figure(integration_drift(result), path)}


def add_export_options(add: Callable[..., Any]) -> None:
    """Declare the options of `halocline export`, the keywords of `export`."""
    for name, (text, keywords) in EXPORT_OPTIONS.items():
        add(name, help=text, **keywords)


def export(
    run: Run,
    *,
    member: int = 0,
    states: Path | None = None,
    format: str = "cf",
    output: Path | None = None,
    overwrite: bool = False,
    equation_of_state: str | None = None,
    adjust: bool = False,
    velocities: str | None = None,
    reference: str | None = None,
    **options: Any,
) -> None:
    """Write a state as an initial condition, verify it, and print the model's settings.

    Repeats the verdict on the run's states, if they were evaluated.

    options: options of the format, see `data.restarts.formats.build_writer`
    """
    from data.archive.reader import StateArchive
    from data.restarts.formats import build_writer, default_name
    from data.restarts.initial_condition import refuse_to_overwrite
    from integration.export import export_state, parse_reference

    if states is None:
        refuse_former_samples(run)  # also of a released model, which has none
    writer = build_writer(format, velocities=velocities, **options)
    if output and not overwrite:
        refuse_to_overwrite(writer, output)
    if states is not None and states.suffix == ".nc":
        raise UserError(
            f"{states} is a NetCDF file, and export reads an archive: sample the same states again "
            "with --output states.zarr"
        )
    archive = StateArchive.open(states or run.samples("guided_adjusted"))
    written = export_state(
        archive,
        member,
        writer,
        path=output or run.exports / default_name(format, member),
        target=equation_of_state,
        adjusted=adjust,
        balanced=velocities == "balanced",
        reference=parse_reference(reference) if reference else None,
    )
    print(f"wrote {', '.join(map(str, written.files))}; verified by reading back")
    if written.namelist:
        print(f"\n{written.namelist}")
    if states is None or is_drawn_by(run, archive):
        repeat_verdict(run)


def is_drawn_by(run: Run, archive: StateArchive) -> bool:
    """Whether the states of an archive were generated by the run's model."""
    weights = run.weights
    return weights is not None and weights in str(archive.attributes.get("sampling", ""))


def repeat_verdict(run: Run) -> None:
    """Print the verdict on the run's states and its reasons in a line, if they were evaluated.

    It is a warning on standard error unless the states are fit to start a model.
    """
    from evaluation.verdict import METRICS, headline, read_verdict

    if not (run.directory / METRICS).is_file():
        return
    verdict = read_verdict(run.directory)
    if verdict is None or verdict.get("weights") != run.judged_weights:
        found = f"{run.directory} has no verdict on the states of its model; run halocline evaluate"
    elif verdict["fit"]:
        print(" ".join([headline(fit=True), *verdict["reasons"]]))
        return
    else:
        reasons = " ".join(verdict["reasons"])
        found = f"the states of {run.directory} are not fit to start a model: {reasons}"
    print(f"halocline: warning: {found}", file=sys.stderr)


def refuse_former_samples(run: Run) -> None:
    """Raises `UserError` if the run's samples are not those of its model and settings."""
    from latent_diffusion.sample import differing_records

    path = run.samples("guided_adjusted")
    differing = differing_records(path, run.sampling_record(guided=True))
    if differing:
        raise UserError(
            f"{path} was drawn with other settings ({', '.join(differing)} differ); give the "
            "settings of the sampling again, or name these states with --states"
        )
