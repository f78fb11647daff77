"""Draws states of a run's ocean from a state of another model or grid, and reports what was kept.

Beside the translated states stand the interpolated one, which is what a modeller starts from today,
and the same after its values were mapped to the climate of the training states.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from configs.translation import Noise, Translation
from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.grid import OceanGrid
from data.salinity import salinity_of
from data.state import State
from evaluation.canvas import save_figure
from evaluation.drawn import condition_notes, estimates
from evaluation.provenance import facts, provenance
from evaluation.report import write_report
from evaluation.translation_figures import map_figure, noise_figure, section_figure
from evaluation.translation_metrics import COLUMNS, Judge
from guidance.seawater import equation_of_state
from guidance.stratification import adjust
from latent_diffusion.inference import Weighted
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.sample import Ensemble, adjust_archive, draw
from latent_diffusion.start import as_rows, as_text, check_noise
from training.launch import launched_processes, on_main
from training.log import write_json

INTERPOLATED, ADJUSTED_INTERPOLATED = "interpolated", "interpolated, adjusted"
MAPPED = "mapped"
TRANSLATED, GUIDED, ADJUSTED = "translated", "guided", "guided_adjusted"
STATES = "states.zarr"  # the product: the last row
MADE_FROM = "interpolated_from"  # attribute of the interpolated state


@dataclass(frozen=True)
class Drawn:
    """Archives of the ensembles by row, the noise that chains began with, and what was inferred."""

    paths: dict[str, Path]
    noise: Noise | None
    candidates: Weighted | None


def translate(
    translation: Translation,
    *,
    output: Path,
    noise: float | None = None,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    name: str | None = None,
) -> Path:
    """Draw an ensemble of states that belong to another state; returns the report.

    Writes into the folder `output`: `states.zarr`, the guided and adjusted states; the ensembles
    before; `interpolated.zarr`; `summary.json`, figures and `report.html`. Finished batches are
    kept, so that an interrupted run resumes.

    noise: amplitude that chains begin with; default: the least that hides the source
    at: conditions that are known; others are drawn from their posterior
    name: of the source, for the report (default: that of its archive)

    Raises `UserError` for states that do not fit the model, and for a noise of means.
    """
    if noise is not None:
        check_noise(noise)
    if noise is not None and translation.how == "means":
        raise UserError(
            "chains given means begin with noise alone, so that --noise says nothing: leave it "
            "out, or give --by noise"
        )
    pipeline = translation.run.placed_pipeline()
    drawn = _draw(
        translation, pipeline, output=output, amplitude=noise, at=at, extrapolate=extrapolate
    )
    source = name or translation.source.path.name
    on_main(lambda: _report(translation, pipeline, drawn, output=output, name=source))
    return output / "report.html"


def _draw(
    translation: Translation,
    pipeline: StatePipeline,
    *,
    output: Path,
    amplitude: float | None,
    at: Sequence[str],
    extrapolate: bool,
) -> Drawn:
    members = translation.run.settings.sampling.members
    paths = {name: output / f"{name}.zarr" for name in (TRANSLATED, GUIDED)}
    paths[ADJUSTED] = output / STATES
    conditions, candidates = translation.conditions(
        pipeline, at, members=members, extrapolate=extrapolate
    )
    noise = None
    if translation.how == "noise":
        # Chains of residuals begin at the state itself, about the mean that is expected of it.
        conditions = replace(conditions, certain=True) if conditions else None
        noise = translation.noise(pipeline, conditions, amplitude=amplitude)
        if noise.scales and launched_processes().is_main_process:
            print("power of latents by scale, and the least noise that hides the source")
            print(as_text(noise.scales, noise.amplitude), flush=True)

    def ensemble(*, guided: bool) -> Ensemble:
        if noise is None:
            return translation.ensemble(guided=guided, conditions=conditions)
        return translation.starting(noise, guided=guided, conditions=conditions)

    draw(ensemble(guided=False), output=paths[TRANSLATED])
    draw(ensemble(guided=True), output=paths[GUIDED])
    adjust_archive(paths[GUIDED], paths[ADJUSTED])
    interpolated = translation.regridded.state
    on_main(lambda: _write_state(translation, interpolated, output / "interpolated.zarr"))
    return Drawn(paths, noise, candidates)


def _write_state(translation: Translation, state: State, path: Path) -> None:
    """Write one state as an archive, which `halocline export` takes, in the place of a former."""
    archive = translation.run.archive
    if path.exists():
        if MADE_FROM not in StateArchive.open(path).attributes:
            raise UserError(f"{path} exists but was not made by this command: remove or rename it")
        shutil.rmtree(path)
    with ArchiveWriter(
        path,
        grid=archive.grid,
        equation_of_state=archive.equation_of_state,
        salinity_units=salinity_of(archive.equation_of_state).units,
        sea_level=state.sea_level is not None,
        attributes={MADE_FROM: f"state {translation.index} of {translation.source.path}"},
    ) as writer:
        writer.append(state, member=0, time=0.0, split=UNUSED)


def _rows(translation: Translation, drawn: Drawn) -> dict[str, State]:
    """The states of each row."""
    archive = translation.run.archive
    eos = equation_of_state(archive.equation_of_state)
    interpolated = replace(translation.regridded.state, sea_level=None)
    rows = {
        INTERPOLATED: interpolated,
        ADJUSTED_INTERPOLATED: adjust(interpolated, eos=eos, grid=archive.grid),
    }
    if translation.maps:
        rows[MAPPED] = replace(translation.given, sea_level=None)
    for name, path in drawn.paths.items():
        states = StateArchive.open(path)
        rows[name] = replace(states.read(range(len(states))), sea_level=None)
    return rows


def _report(
    translation: Translation, pipeline: StatePipeline, drawn: Drawn, *, output: Path, name: str
) -> None:
    run, rows = translation.run, _rows(translation, drawn)
    judge = Judge.of(translation, translation.errors(pipeline.codec))
    table = {name: judge.row(state) for name, state in rows.items()}
    summary = {
        "source": name,
        "state": translation.index,
        "how": translation.how,
        "maps": translation.maps,
        "members": run.settings.sampling.members,
        "lost": _lost(translation),
        "means": _counted(translation, pipeline),
        "noise": drawn.noise.amplitude if drawn.noise else None,
        "scales": as_rows(drawn.noise.scales) if drawn.noise else [],
        "conditions": estimates(drawn.candidates),
        "rows": table,
    }
    write_json(output / "summary.json", summary)
    write_report(
        output / "report.html",
        title=f"{run.settings.title or run.settings.name}: states from {summary['source']}",
        metrics=table,
        columns=COLUMNS,
        figures=_save_figures(output / "figures", rows, run.archive.grid, drawn.noise),
        notes=notes_of(summary),
        facts=facts(provenance(seeds={"sampling": run.settings.sampling.seed})),
        salinity=salinity_of(run.archive.equation_of_state),
        config_text=yaml.safe_dump(run.settings.assimilation.model_dump(mode="json")),
    )


def _counted(translation: Translation, pipeline: StatePipeline) -> dict[str, int] | None:
    """Number of means, and of their combinations that say more than noise; None by noise."""
    if translation.how == "noise":
        return None
    evidence = translation.evidence(pipeline)
    return {"values": len(evidence.value), "combinations": len(evidence.covariance)}


def _lost(translation: Translation) -> dict[str, float]:
    """What regridding could not carry over [%]."""
    regridded, grid = translation.regridded, translation.run.archive.grid
    filled = grid.volume[regridded.filled].sum() / grid.volume.sum()
    means = translation.blocks
    known = means.coarse.volume.ravel()[means.cells].sum() / means.coarse.volume.sum()
    return {
        "filled_percent": 100 * float(filled),
        "unseen_percent": 100 * regridded.unseen,
        "without_mean_percent": 100 * float(1 - known),
    }


def notes_of(summary: Mapping[str, Any]) -> list[str]:
    """Paragraphs of the report."""
    lost, noise = summary["lost"], summary["noise"]
    how = (
        "their means over the source's cells agree with the source's values within their errors"
        if summary["how"] == "means"
        else f"chains begin at the source with a noise of at least {noise:.2f}"
    )
    mapped = ", mapped to the climate of the training states," if summary["maps"] else ""
    return [
        f"{summary['members']} states are drawn from state {summary['state']} of "
        f"{summary['source']}{mapped} such that {how}.",
        f"{lost['filled_percent']:.2g} % of the model's water has no value in the source; the "
        f"interpolated state has the nearest there. {lost['unseen_percent']:.2g} % of the source's "
        f"water is land in the model, and {lost['without_mean_percent']:.2g} % of it lies in cells "
        "that hold too little of the model's water for a mean.",
        *_means_note(summary["means"]),
        *condition_notes(summary["conditions"]),
    ]


def _means_note(means: Mapping[str, int] | None) -> list[str]:
    if means is None:
        return []
    return [
        f"The {means['values']} means say {means['combinations']} numbers about the model's "
        "states; the rest is noise to it."
    ]


def _save_figures(
    folder: Path, rows: Mapping[str, State], grid: OceanGrid, noise: Noise | None
) -> list[tuple[Path, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    before = {name: rows[name] for name in (INTERPOLATED, MAPPED) if name in rows}
    makers: list[tuple[str, Callable[[], Figure], str]] = [
        (
            "maps",
            lambda: map_figure(before, rows[ADJUSTED], grid),
            "Temperature at the surface and in the thermocline: the source on the model's grid, "
            "one of the translated states, its difference from the source, and the members' "
            "spread.",
        ),
        (
            "sections",
            lambda: section_figure(before, rows[ADJUSTED], grid),
            "The same along the middle meridian.",
        ),
    ]
    if noise is not None and noise.scales:
        makers.append(
            (
                "noise",
                lambda: noise_figure(noise),
                "Power of the source's latents over that of the training states', both with noise, "
                "by scale, for the groups of latents that need most noise. Chains begin at the "
                "line. The band is 10 %; powers of few values may differ by more.",
            )
        )
    return [(save_figure(make(), folder / f"{name}.png"), text) for name, make, text in makers]
