"""The commands `halocline integrate` and `halocline export`.

What a command needs is imported when it runs, so that `halocline --help` answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.log import write_json

if TYPE_CHECKING:
    from configs.run import Run

VELOCITIES = ("template", "rest", "balanced")


def integrate(run: Run, *, only: Sequence[str] = ()) -> None:
    """Integrate states in the basin and print how far they drift."""
    from evaluation.provenance import provenance
    from integration.study import integration_settings, integration_study, summary

    result = summary(integration_study(run, only=only))
    settings = integration_settings(run)
    seeds = {"integration": settings.seed, "sampling": run.settings.sampling.seed}
    path = (settings.directory or run.directory) / "integration.json"
    write_json(path, {"kind": "integration", **result, "provenance": provenance(seeds=seeds)})
    print(json.dumps(result, indent=2))
    print(f"wrote {path}")


def drift_of_run(run: Run) -> dict[str, Any]:
    """What an evaluation shows of the run's integrations: summary and figure, if there are any."""
    from evaluation.figures import save_figure
    from integration.figures import integration_drift
    from integration.study import finished_study, summary

    if not (run.settings.integration and run.settings.data.simulation):
        return {}
    result = finished_study(run)
    if not result.runs:
        return {}
    path = run.directory / "figures" / "integration.png"
    figure = save_figure(integration_drift(result), path)
    return {"integration": summary(result), "integration_figure": figure}


def add_export_options(add: Callable[..., Any]) -> None:
    """Declare the options of `halocline export`: the keywords of `export`."""
    add("--member", type=int, help="which state of the archive (0)")
    add("--states", type=Path, help="archive that holds it (guided_adjusted of the run)")
    add("--format", metavar="FORMAT", help="cf, nemo, nemo-restart, mitgcm or veros-restart (cf)")
    add("--output", type=Path, help="file to write; several files are named after it")
    add("--overwrite", action="store_true", help="replace what is at --output")
    add("--precision", choices=("single", "double"), help="of the numbers: cf, nemo, mitgcm")
    add("--template", type=Path, help="nemo-restart, veros-restart: a restart to copy")
    add("--mesh-mask", type=Path, help="nemo: the domain's mesh mask, to compare the state with")
    add(
        "--velocities",
        choices=VELOCITIES,
        help="nemo-restart, veros-restart: (template); mitgcm: (rest)",
    )
    add(
        "--reference",
        metavar="floor|sea_level|DEPTH",
        help="reference of balanced velocities: still water at the sea floor or at a depth [m], or "
        "the state's sea level (sea_level if the state has one, else floor)",
    )
    add("--equation-of-state", metavar="NAME", help="equation of the ocean model (the archive's)")
    add("--adjust", action="store_true", help="mix what overturns under that equation of state")


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
    """Write one state as an initial condition, read it back, and print the model's settings.

    options: of the format alone, as `data.restarts.formats.build_writer` takes them
    """
    from data.archive.reader import StateArchive
    from data.restarts.formats import build_writer, default_name
    from data.restarts.initial_condition import refuse_to_overwrite
    from integration.export import export_state, parse_reference

    writer = build_writer(format, velocities=velocities, **options)
    if output and not overwrite:
        refuse_to_overwrite(writer, output)
    written = export_state(
        StateArchive.open(states or run.samples("guided_adjusted")),
        member,
        writer,
        path=output or run.directory / default_name(format, member),
        target=equation_of_state,
        adjusted=adjust,
        balanced=velocities == "balanced",
        reference=parse_reference(reference) if reference else None,
    )
    print(f"wrote {', '.join(map(str, written.files))}, read back and compared")
    if written.namelist:
        print(f"\n{written.namelist}")
