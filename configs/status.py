"""What of a run is done, under way and to do, found from its files without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.layout import ROWS, Layout
from configs.loading import checked, load_experiment, read_settings
from configs.schema import Experiment
from data.documents import read_object
from data.errors import UserError
from data.locks import holder
from training.cost import as_time, read_cost
from training.plan import TrainingPlan
from training.records import RECORD, Record, as_json, checkpoints_in, counter_of, differences

DONE, TO_DO = "done", "to do"
REPEATED = ("evaluation", "export")
HEADINGS = ("stage", "state", "taken", "remains")
KNOWN = ("autoencoder", "diffusion", "distillation", "model", "samples", "simulation")


@dataclass(frozen=True)
class Progress:
    """How far a stage is; remaining: estimated seconds, None where nothing is known."""

    name: str
    state: str
    remaining: float | None = None


def layout_of(path: Path, overrides: Sequence[str] = ()) -> Layout:
    """The run of a CONFIG, or the one that is in a directory.

    Raises `UserError` if there is no run, and as `load_experiment` does.
    """
    if not path.is_dir():
        return Layout(load_experiment(path, overrides))
    if not any((path / name).is_dir() for name in KNOWN):
        raise UserError(
            f"{path} is no run: it has none of the folders {', '.join(KNOWN)}; give a run "
            "directory or the CONFIG of a run"
        )
    saved = path / "model" / "experiment.yaml"
    if not saved.is_file():
        raise UserError(
            f"{path} does not hold its settings yet, which come with the model; give the CONFIG of "
            "the run instead"
        )
    if overrides:
        raise UserError("settings are given with a CONFIG, not with a run directory")
    settings = checked(read_settings(saved), Experiment, source=str(saved))
    return Layout(settings.model_copy(update={"run_directory": path}))


def print_status(layout: Layout) -> None:
    """Print a table of the run's stages: state, wall time taken, and an estimate of the rest."""
    costs = read_cost(layout.directory)
    rows = [
        (stage.name, stage.state, _time(costs.get(f"{stage.name}_seconds")), _time(stage.remaining))
        for stage in stages(layout)
    ]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    print(f"{layout.settings.name} in {layout.directory}\n")
    for row in (HEADINGS, *rows):
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    job = holder(layout.directory)
    print(f"\n{f'used by {job}' if job else 'no job is running here'}")


def stages(layout: Layout) -> Iterator[Progress]:
    """The stages of a run in order."""
    settings, directory = layout.settings, layout.directory
    yield Progress("data", _archive(layout))
    model = layout.model_folder
    if settings.distillation:
        plan = settings.distillation.training
        yield _training("distillation", layout, plan, model, layout.model_settings)
    else:
        codec, plan = layout.codec_folder, settings.autoencoder.training
        yield _training("autoencoder", layout, plan, codec, layout.codec_settings)
        plan = settings.diffusion.training
        yield _training("diffusion", layout, plan, model, layout.model_settings)
    first = settings.sampling.seed
    seeds = range(first + 1, first + settings.evaluation.seeds)
    ensembles = [*map(layout.samples, ROWS), *map(layout.samples_of_seed, seeds)]
    drawn = sum(path.exists() for path in ensembles)
    yield Progress("sampling", _of(drawn, len(ensembles), "ensembles drawn"))
    if settings.integration and settings.conditions:
        yield _integration(layout)
    yield _judged("evaluation", [directory / "metrics.json"], model)
    yield _judged("export", list(directory.glob("initial_condition_*")), model)


def announcement(layout: Layout, names: Sequence[str]) -> str:
    """Which of the stages of a run, by name, are done and which are to do, in a line.

    Evaluation and export are always to do: a run repeats them.
    """
    found = [stage for stage in stages(layout) if stage.name in names]
    done = [stage.name for stage in found if stage.state == DONE and stage.name not in REPEATED]
    left = [_left(stage) for stage in found if stage.name not in done]
    return f"stages done: {', '.join(done) or 'none'}; to do: {', '.join(left)}"


def _left(stage: Progress) -> str:
    if stage.state in (TO_DO, DONE):
        return stage.name
    remaining = f", about {as_time(stage.remaining)} left" if stage.remaining else ""
    return f"{stage.name} ({stage.state}{remaining})"


def _archive(layout: Layout) -> str:
    """Relative paths of archives belong to the folder that the run was started in."""
    archive = layout.settings.data.archive
    if layout.settings.data.stored.exists():
        return DONE
    is_used = any(_record(folder) for folder in (layout.codec_folder, layout.model_folder))
    return f"{archive} is not here" if is_used else TO_DO


def _training(
    name: str, layout: Layout, plan: TrainingPlan, product: Path, settings: Record
) -> Progress:
    stored = _record(product)
    if stored is not None:
        changed = [
            found
            for key, value in as_json(settings).items()
            for found in differences(value, stored.get(key), name=key)
        ]
        return Progress(name, f"made with another {changed[0]}" if changed else DONE)
    checkpoints = checkpoints_in(layout.directory / name)
    if not checkpoints:
        return Progress(name, TO_DO)
    counter = counter_of(checkpoints[-1])
    seconds = read_cost(layout.directory).get(f"{name}_seconds")
    pace = _pace(checkpoints) or (seconds / counter if seconds and counter else None)
    remaining = max(plan.samples - counter, 0) * pace if pace else None
    return Progress(name, f"at sample {counter} of {plan.samples}", remaining)


def _record(product: Path) -> Record | None:
    path = product / RECORD
    return read_object(path, advice=f"make {product} again") if path.is_file() else None


def _pace(checkpoints: Sequence[Path]) -> float | None:
    """Seconds per sample between the last two checkpoints."""
    if len(checkpoints) < 2:
        return None
    before, last = checkpoints[-2:]
    elapsed = last.stat().st_mtime - before.stat().st_mtime
    return elapsed / (counter_of(last) - counter_of(before)) if elapsed > 0 else None


def _integration(layout: Layout) -> Progress:
    settings = layout.settings.integration
    assert settings is not None, "only called with the section"
    points = settings.points.test + settings.points.outside
    total = sum(min(start.members or points, points) for start in settings.starts.values())
    folder = settings.directory or layout.directory / "integration"
    begun = len(list(folder.glob("*/record.npz")))
    return Progress("integration", _of(min(begun, total), total, "runs recorded"))


def _judged(name: str, products: Sequence[Path], model: Path) -> Progress:
    """A stage that is done if its products are not older than the model."""
    there = [path for path in products if path.exists()]
    if not there:
        return Progress(name, TO_DO)
    made = max(path.stat().st_mtime for path in there)
    is_old = (model / RECORD).is_file() and made < (model / RECORD).stat().st_mtime
    return Progress(name, "older than the model" if is_old else DONE)


def _of(count: int, total: int, what: str) -> str:
    if count == total:
        return DONE
    return f"{count} of {total} {what}" if count else TO_DO


def _time(seconds: float | None) -> str:
    return "" if seconds is None else as_time(seconds)
