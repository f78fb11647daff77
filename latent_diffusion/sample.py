"""The sampling stage.

Run it with `accelerate launch -m latent_diffusion.sample CONFIG [--section.key value ...]`.

The ensemble is split over processes by batches. Member k starts from its own noise, a function of
(seed, k), so it is the same state whatever the batch size or the number of processes, unless the
guidance looks at the batch's mean (constraints with `per: ensemble`, or `strength: dual_ascent`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from autoencoder.codec import Codec
from configs import Experiment, load_experiment, parse_command_line
from data.archive.format import UNUSED
from data.archive.reader import ArchiveWriter, StateArchive
from data.atomic import whole
from data.errors import UserError, user_errors_in_one_sentence
from data.state import State
from guidance.build import build_guide
from guidance.climatology import (
    CLIMATOLOGY,
    Climatology,
    saved_climatology,
    training_climatology,
)
from guidance.guide import Guide, SteeringGuide
from guidance.seawater import equation_of_state
from guidance.stratification import adjust_in_place
from latent_diffusion.pipeline import StatePipeline, build_pipeline, model_directory, ocean_of
from latent_diffusion.train import model_settings
from training.launch import launched_processes
from training.stage import differing_settings

ROWS = ("unguided", "guided", "guided_adjusted")
ADJUSTMENT = "convective_adjustment"  # the attribute of archives whose states were adjusted


def main() -> None:
    """Draw the experiment's ensembles."""
    with user_errors_in_one_sentence():
        sample_rows(parse_command_line(__doc__ or ""))


def sample_rows(experiment: Experiment) -> None:
    """Draw the ensembles that an evaluation judges: the same noise without and with guidance."""
    draw(experiment, guided=False, output=row_path(experiment, "unguided"))
    guided, adjusted = row_path(experiment, "guided"), row_path(experiment, "guided_adjusted")
    draw(experiment, guided=True, output=guided)
    adjust_archive(guided, adjusted)


def row_path(experiment: Experiment, row: str) -> Path:
    """Where the samples of a row of `ROWS` are kept."""
    return experiment.run_directory / "samples" / f"{row}.zarr"


def sample(experiment: Experiment, *, output: Path) -> None:
    """Draw an ensemble as the configuration says, guided and adjusted or not, into `output`."""
    guided, adjusted = experiment.guidance.enabled, experiment.guidance.adjust
    if holds_ensemble(output, sampling_record(experiment, guided=guided), adjusted=adjusted):
        return
    raw = output.with_name(output.name + ".raw.zarr") if adjusted else output
    draw(experiment, guided=guided, output=raw)
    if adjusted:
        adjust_archive(raw, output)
        if launched_processes().is_main_process:
            shutil.rmtree(raw, ignore_errors=True)


def draw(experiment: Experiment, *, guided: bool, output: Path) -> None:
    """Draw the ensemble, as the decoder leaves it, into the archive `output`.

    Batches are kept as they are drawn: an interrupted run continues. Does nothing if `output`
    holds this ensemble already.
    """
    record = sampling_record(experiment, guided=guided)
    if holds_ensemble(output, record, adjusted=False):
        return
    processes = launched_processes()
    pipeline = load_pipeline(experiment).to(processes.device)
    parts = _parts_directory(output, record, batch_size=experiment.sampling.batch_size)
    guide = guide_of(experiment, pipeline.codec) if guided else None
    _draw_parts(experiment, pipeline, guide=guide, parts=parts, processes=processes)
    processes.wait_for_everyone()
    if processes.is_main_process:
        _merge(parts, output, codec=pipeline.codec, attributes={"sampling": record})
        shutil.rmtree(parts)
    processes.wait_for_everyone()


def adjust_archive(source: Path, target: Path) -> None:
    """Convective adjustment of every state of `source` into the archive `target`.

    The main process does it, and it alone decides whether `target` holds the result already.
    """
    processes = launched_processes()
    archive = StateArchive.open(source)
    record = str(archive.attributes.get("sampling"))
    if processes.is_main_process and not holds_ensemble(target, record, adjusted=True):
        _remove(target)
        eos = equation_of_state(archive.equation_of_state)
        with _writer_like(archive, target) as writer:
            for index in tqdm(range(len(archive)), desc="adjusting", unit="state"):
                state = archive.read([index])
                adjust_in_place(state, eos=eos, grid=archive.grid)
                writer.append(state, member=index, time=0.0, split=UNUSED)
    processes.wait_for_everyone()


def holds_ensemble(path: Path, record: str, *, adjusted: bool) -> bool:
    """Whether `path` is the ensemble of `record`.

    Raises `UserError` if it is there and no ensemble at all: then it is not ours to replace.
    """
    if not path.exists():
        return False
    attributes = StateArchive.open(path).attributes
    if "sampling" not in attributes:
        raise UserError(f"{path} exists and was not sampled from a model; choose another output")
    return attributes["sampling"] == record and (ADJUSTMENT in attributes) == adjusted


def guide_of(experiment: Experiment, codec: Codec) -> SteeringGuide:
    """The guide of the experiment; the data's statistics are read only if it asks for them."""
    climatology = cache(lambda: known_climatology(experiment))
    return build_guide(experiment.guidance, ocean_of(codec, climatology=climatology))


def guide_of_model(folder: Path, codec: Codec) -> SteeringGuide:
    """The guide of a released model's own configuration, from its folder alone.

    codec: the model's, as `StatePipeline.from_pretrained(folder).codec`

    Raises `UserError` if the folder lacks what the guide needs.
    """
    settings = load_experiment(folder / "experiment.yaml").guidance
    climatology = cache(lambda: saved_climatology(folder))
    return build_guide(settings, ocean_of(codec, climatology=climatology))


def known_climatology(experiment: Experiment) -> Climatology:
    """The climatology that is saved with the model, or else that of the archive of the training."""
    folder = model_directory(experiment.run_directory)
    if (folder / CLIMATOLOGY).is_file():
        return saved_climatology(folder)
    return training_climatology(StateArchive.open(experiment.data.archive))


def load_pipeline(experiment: Experiment) -> StatePipeline:
    """The trained model of an experiment, with the sampler that the configuration asks for."""
    folder = model_directory(experiment.run_directory)
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} holds no model; run the diffusion stage first")
    # A model that was not distilled does not say so.
    differing = differing_settings(folder, {"distillation": None} | model_settings(experiment))
    if differing:
        raise UserError(
            f"{folder} was made with other settings ({', '.join(differing)} differ); run the "
            "stages again, or set --run_directory to another path"
        )
    saved = StatePipeline.from_pretrained(folder)
    pipeline = build_pipeline(experiment, unet=saved.unet, codec=saved.codec)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def member_generator(seed: int, member: int) -> torch.Generator:
    """The noise source of one ensemble member."""
    digest = hashlib.sha256(f"{seed} {member}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def sampling_record(experiment: Experiment, *, guided: bool) -> str:
    """What made an ensemble, as JSON: model, seed, scheduler and guidance."""
    sampling = experiment.sampling.model_dump(mode="json", exclude={"batch_size"})
    guidance = experiment.guidance.model_dump(mode="json", exclude={"adjust", "enabled"})
    if experiment.guidance.couples_samples:
        guidance["ensemble_size"] = experiment.sampling.batch_size
    return json.dumps(
        {
            "model": experiment.name,
            "weights": weights_digest(model_directory(experiment.run_directory)),
            "sampling": sampling,
            "guidance": guidance if guided else None,
        }
    )


def weights_digest(model: Path) -> str | None:
    """What tells the denoiser of a model's folder from others; None where there is none."""
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16] if weights.is_file() else None


def _parts_directory(output: Path, record: str, *, batch_size: int) -> Path:
    """Where the batches of one ensemble wait to be merged, apart from any other ensemble's."""
    digest = hashlib.sha256(f"{record} {batch_size}".encode()).hexdigest()[:8]
    return output.with_name(f"{output.name}.parts-{digest}")


def _draw_parts(
    experiment: Experiment,
    pipeline: StatePipeline,
    *,
    guide: Guide | None,
    parts: Path,
    processes: PartialState,
) -> None:
    """Draw the batches that fall to this process, skipping those that are there already."""
    parts.mkdir(parents=True, exist_ok=True)
    settings = experiment.sampling
    starts = range(0, settings.members, settings.batch_size)
    mine = list(starts)[processes.process_index :: processes.num_processes]
    label = "guided" if guide else "unguided"
    for start in tqdm(
        mine, desc=f"sampling {label}", unit="batch", disable=not processes.is_main_process
    ):
        part = parts / f"{start:07d}.safetensors"
        if part.exists():
            continue
        members = range(start, min(start + settings.batch_size, settings.members))
        generators = [member_generator(settings.seed, member) for member in members]
        state = pipeline(generators=generators, guide=guide).state
        with whole(part) as partial:
            save_file({"state": state.to_channels().cpu().contiguous()}, partial)


def _remove(archive: Path) -> None:
    """An ensemble that a new one replaces: a folder or a `.zarr.zip`."""
    if archive.is_dir():
        shutil.rmtree(archive)
    else:
        archive.unlink(missing_ok=True)


def _merge(parts: Path, output: Path, *, codec: Codec, attributes: dict[str, object]) -> None:
    _remove(output)
    ocean = codec.config.ocean
    with ArchiveWriter(
        output,
        grid=codec.grid,
        equation_of_state=ocean["equation_of_state"],
        salinity_units=ocean["salinity_units"],
        sea_level=ocean["sea_level"],
        attributes={"title": "ocean states generated by Halocline", **attributes},
    ) as writer:
        for member, state in enumerate(_stored_states(parts, levels=ocean["levels"])):
            writer.append(state, member=member, time=0.0, split=UNUSED)


def _stored_states(parts: Path, *, levels: int) -> Iterator[State]:
    for part in sorted(parts.glob("*.safetensors")):
        for channels in load_file(part)["state"]:
            yield State.from_channels(channels[None], levels=levels)


def _writer_like(archive: StateArchive, target: Path) -> ArchiveWriter:
    kept = ("title", "sampling")
    attributes = {name: archive.attributes[name] for name in kept if name in archive.attributes}
    return ArchiveWriter(
        target,
        grid=archive.grid,
        equation_of_state=archive.equation_of_state,
        salinity_units=archive.salinity_units,
        sea_level=archive.has_sea_level,
        attributes={
            **attributes,
            ADJUSTMENT: "exact, conserving column heat and salt",
        },
    )


if __name__ == "__main__":
    main()
