"""A release folder from a trained and evaluated run: small, complete, and free of places.

release.json in it says how the weights were made smaller and what this changes in states.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from configs.released import RELEASE
from configs.run import Run
from data.atomic import atomic_folder
from data.checksums import check_folder, write_checksums
from data.documents import read_object
from data.errors import UserError
from data.grid import wet_tensor
from data.state import State
from evaluation.model_card import Packed, Statements, packed_card
from evaluation.verdict import METRICS, read_verdict
from latent_diffusion.noise import member_generator
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.release import save_model
from latent_diffusion.rounding import PRECISIONS, make_smaller, round_weights
from training.environment import ENVIRONMENT, package_version
from training.log import write_json
from training.records import RECORD

COPIED = (RECORD, ENVIRONMENT)
PLACE = re.compile(r"""(?<![\w.~])/[^\s'"]+""")  # an absolute path, no unit such as m/s
COMPARED = 4  # states that are drawn from both models


@dataclass(frozen=True)
class Size:
    """How a model is made smaller.

    precision: of the denoiser's weights; encoder: whether it is kept; patterns: how many of the
    Gaussian's are kept, None for all
    """

    precision: str = "float16"
    encoder: bool = True
    patterns: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UserError(
                f"weights cannot be {self.precision}: give one of {', '.join(PRECISIONS)}"
            )


def pack(
    run: Run,
    *,
    output: Path,
    size: Size,
    statements: Statements,
    compared: int = COMPARED,
) -> dict[str, Any]:
    """Write the release folder `output` of a run; returns its release.json.

    compared: states that are drawn from the run's model and from the packed one, of the same noise

    Raises `UserError` if `output` exists, if there is no model, and if the verdict is missing or
    about another model. A model that is not fit is packed, and its card says so first.
    """
    if output.exists():
        raise UserError(f"{output} exists; remove it or choose another --output")
    metrics = _metrics_of(run)
    check_folder(run.model_folder)
    pipeline = run.pipeline()
    before = _drawn(pipeline, run, compared)
    make_smaller(pipeline, encoder=size.encoder, patterns=size.patterns)
    with atomic_folder(output) as partial:
        save_model(pipeline, run.release(run.climatology), partial)
        round_weights(partial, pipeline, size.precision)
        for name in COPIED:
            if (run.model_folder / name).is_file():
                shutil.copyfile(run.model_folder / name, partial / name)
        write_json(partial / METRICS, _nameless(metrics))
        packed = StatePipeline.from_pretrained(partial)
        packed.set_progress_bar_config(disable=True)
        packed.scheduler, packed.origin = run.scheduler(), run.origin
        release = {
            "halocline": package_version("halocline"),
            "precision": size.precision,
            "encoder": size.encoder,
            "patterns": len(packed.gaussian.variances),
            "fit": metrics["verdict"]["fit"],
            "weights_of_the_run": run.weights,
            "change": _change(before, _drawn(packed, run, compared), pipeline),
        }
        write_json(partial / RELEASE, release)
        about = Packed(
            name=run.settings.name,
            title=run.settings.title or run.settings.name,
            archive=(run.settings.data.archive.name, _digest(run)),
            metrics=metrics,
            release=release,
        )
        (partial / "README.md").write_text(packed_card(packed, about, statements))
        write_checksums(partial)
    return release


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _metrics_of(run: Run) -> dict[str, Any]:
    """metrics.json of the run. Raises `UserError` unless its verdict is about the run's model."""
    verdict = read_verdict(run.directory)
    if run.weights is None:
        raise UserError(f"{run.model_folder} holds no model; train one before it is packed")
    if verdict is None or verdict.get("weights") != run.weights:
        raise UserError(
            f"{run.directory} has no verdict on its present model, which the card must state; run "
            "halocline evaluate first"
        )
    return read_object(run.directory / METRICS, advice="evaluate the run again")


def _nameless(content: Any) -> Any:
    """Results without absolute paths: a command, say, names the files that it was given."""
    if isinstance(content, dict):
        return {key: _nameless(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_nameless(value) for value in content]
    if isinstance(content, str):
        return PLACE.sub(lambda found: Path(found[0]).name, content)
    return content


def _digest(run: Run) -> str:
    """Digest of the training data, as the model's record has it."""
    path = run.model_folder / RECORD
    record = read_object(path, advice="train the model again") if path.is_file() else {}
    return str(record.get("archive", "unknown"))


def _drawn(pipeline: StatePipeline, run: Run, count: int) -> State | None:
    """States of the run's seed, guided as configured; none for a count of 0."""
    if not count:
        return None
    generators = [member_generator(run.settings.sampling.seed, number) for number in range(count)]
    guide = run.guide(pipeline.codec) if run.settings.guidance.enabled else None
    return pipeline.draw(generators=generators, guide=guide).state


def _change(
    before: State | None, after: State | None, pipeline: StatePipeline
) -> Mapping[str, float] | None:
    """Differences of states that should be equal, over wet cells, and how much states vary."""
    if before is None or after is None:
        return None
    wet = wet_tensor(pipeline.codec.grid)
    found: dict[str, float] = {"states": len(before)}
    for field, unit in (("temperature", "_K"), ("salinity", "")):
        ours, theirs = (getattr(state, field).double()[:, wet] for state in (after, before))
        difference = ours - theirs
        found[f"{field}_rms{unit}"] = _rms(difference)
        found[f"{field}_largest{unit}"] = float(difference.abs().max())
        found[f"{field}_spread{unit}"] = _rms(theirs - theirs.mean(dim=0))
    return found


def _rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())
