"""The sampling stage: ensembles of states from a trained model.

Processes share the ensemble by batches. The initial noise of member k depends only on (seed, k), so
the member does not depend on batch size or number of processes, unless guidance uses the batch mean
(constraints with `per: ensemble`, or `strength: dual_ascent`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import torch

from autoencoder.codec import Codec
from data.archive.format import ADJUSTED, ADJUSTMENT, UNUSED
from data.archive.netcdf import write_netcdf
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.conditions import Conditions
from data.errors import UserError, file_errors
from data.plausibility import Door, check_state
from data.salinity import salinity_of
from data.state import State
from guidance.guide import SteeringGuide
from guidance.seawater import equation_of_state
from guidance.settings import GuidanceSettings
from guidance.stratification import adjust_in_place
from latent_diffusion.drawn import ADVICE
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import TITLE, source
from latent_diffusion.parts import Parts
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.posterior import LatentPosterior
from latent_diffusion.progress import progress
from latent_diffusion.settings import SamplingSettings
from latent_diffusion.start import Start
from training.launch import (
    Processes,
    end_if_stopped,
    launched_processes,
    on_main,
    require_shared_folder,
)
from training.records import differences
from training.stopping import stop_requested, stops_deferred

# Components of a model that determine its latents; the last two of a conditional one.
DENOISER = ("unet", "gaussian", "expectation", "embedding")


@dataclass(frozen=True)
class Ensemble:
    """An ensemble to draw.

    record: everything that determines its states, as JSON; see `sampling_record`
    conditions: of each member, for a conditional model
    pipeline: loads the model
    guide: builds the guide for the codec's ocean; None samples without guidance
    posterior: builds what was observed of the model's ocean; None draws from the prior
    start: builds what chains begin with; None begins with noise alone
    """

    settings: SamplingSettings
    record: str
    pipeline: Callable[[], StatePipeline]
    guide: Callable[[Codec], SteeringGuide] | None
    conditions: Conditions | None = None
    noises: int | None = None
    posterior: Callable[[StatePipeline], LatentPosterior] | None = None
    start: Callable[[StatePipeline], Start] | None = None

    def generator(self, member: int) -> torch.Generator:
        """The noise source of a member."""
        noise = member % self.noises if self.noises else member
        return member_generator(self.settings.seed, noise)


@dataclass(frozen=True)
class Sampler:
    """A loaded model that draws any members of an ensemble; see `Ensemble` for its parts."""

    ensemble: Ensemble
    pipeline: StatePipeline
    guide: SteeringGuide | None
    posterior: LatentPosterior | None
    start: Start | None

    @classmethod
    def of(cls, ensemble: Ensemble, pipeline: StatePipeline) -> Sampler:
        """The sampler of an ensemble with the pipeline that it loads."""
        guide = ensemble.guide(pipeline.codec) if ensemble.guide else None
        posterior = ensemble.posterior(pipeline) if ensemble.posterior else None
        start = ensemble.start(pipeline) if ensemble.start else None
        return cls(ensemble, pipeline, guide, posterior, start)

    def states(self, members: Sequence[int]) -> State:
        """The states of these members, drawn together, without adjustment.

        Raises `UserError` if they are no sea water.
        """
        conditions = self.ensemble.conditions
        state = self.pipeline.draw(
            generators=[self.ensemble.generator(member) for member in members],
            guide=self.guide,
            conditions=conditions.at(members) if conditions else None,
            posterior=self.posterior,
            start=self.start,
        ).state
        door = Door(self.pipeline.codec.grid, "the ensemble", ADVICE)
        check_state(state, door=door, numbers=members)
        return state


def draw(ensemble: Ensemble, *, output: Path) -> None:
    """Draw an ensemble, without adjustment, into the archive `output`.

    Finished batches are stored, so an interrupted run resumes. Does nothing if `output` already
    holds this ensemble. Raises `UserError` if processes do not share the folder of `output`, and
    `Stopped`, after the current batches, if any process was asked to stop.
    """
    require_shared_folder(output.parent)
    if holds_ensemble(output, ensemble.record, adjusted=False):
        return
    processes = launched_processes()
    pipeline = ensemble.pipeline().to(processes.device)
    parts = _parts(output, ensemble)
    with stops_deferred():
        _draw_parts(ensemble, pipeline, parts=parts, processes=processes)
        end_if_stopped()
    on_main(lambda: _finish(parts, output, codec=pipeline.codec, ensemble=ensemble))


def draw_netcdf(ensemble: Ensemble, *, output: Path, adjusted: bool) -> None:
    """Draw an ensemble, with or without adjustment, into the CF NetCDF file `output`.

    An archive beside it holds the states until the file is complete.
    """
    if holds_in_netcdf(output, ensemble.record, adjusted=adjusted):
        return
    archive = output.with_name(output.name + ".zarr")
    (draw_adjusted if adjusted else draw)(ensemble, output=archive)
    on_main(lambda: write_netcdf(archive, output))
    on_main(lambda: shutil.rmtree(archive))


def draw_adjusted(ensemble: Ensemble, *, output: Path) -> None:
    """Draw an ensemble, with exact convective adjustment, into the archive `output`."""
    if holds_ensemble(output, ensemble.record, adjusted=True):
        return
    raw = output.with_name(output.name + ".raw.zarr")
    draw(ensemble, output=raw)
    adjust_archive(raw, output)
    on_main(lambda: shutil.rmtree(raw, ignore_errors=True))


def adjust_archive(source: Path, target: Path) -> None:
    """Convective adjustment of every state of `source` into the archive `target`.

    Only the main process works. Does nothing if `target` already holds the result.
    """
    on_main(lambda: _adjust_archive(source, target))


def _adjust_archive(source: Path, target: Path) -> None:
    archive = StateArchive.open(source)
    check_members(archive)
    if holds_ensemble(target, str(archive.attributes.get("sampling")), adjusted=True):
        return
    _remove(target)
    eos = equation_of_state(archive.equation_of_state)
    with _writer_like(archive, target) as writer:
        for index in progress(range(len(archive)), "adjusting", total=len(archive)):
            state = archive.read([index])
            adjust_in_place(state, eos=eos, grid=archive.grid)
            member = int(archive.member[index])
            given = {name: float(v[index]) for name, v in archive.parameters.items()}
            writer.append(state, member=member, time=0.0, split=UNUSED, parameters=given)


def holds_ensemble(path: Path, record: str, *, adjusted: bool) -> bool:
    """Whether the archive `path` holds the ensemble of `record`.

    Raises `UserError` if `path` exists but is no ensemble, so that it is never replaced, or if it
    lacks members.
    """
    if not path.exists():
        return False
    archive = StateArchive.open(path)
    attributes = archive.attributes
    if "sampling" not in attributes:
        raise UserError(f"{path} exists but was not sampled from a model; choose another output")
    if attributes["sampling"] != record or (ADJUSTMENT in attributes) != adjusted:
        return False
    check_members(archive)
    return True


def holds_in_netcdf(path: Path, record: str, *, adjusted: bool) -> bool:
    """As `holds_ensemble`, for a NetCDF file."""
    if not path.exists():
        return False
    with file_errors(path), netCDF4.Dataset(path) as file:
        attributes = {name: file.getncattr(name) for name in file.ncattrs()}
    if "sampling" not in attributes:
        raise UserError(f"{path} exists but was not sampled from a model; choose another output")
    return attributes["sampling"] == record and (ADJUSTMENT in attributes) == adjusted


def check_members(archive: StateArchive) -> None:
    """Raise `UserError` unless a sampled archive holds the members of its record, in order."""
    record = archive.attributes.get("sampling")
    if record is None:
        return
    members = json.loads(str(record))["sampling"]["members"]
    if archive.member.tolist() != list(range(members)):
        raise UserError(
            f"{archive.path} holds {len(archive)} states that are not the {members} members of its "
            "record; remove it to draw them again"
        )


def differing_records(path: Path, record: str) -> list[str]:
    """Settings in which the ensemble at `path` was drawn otherwise than `record` says.

    Its size does not count. Empty if there is no ensemble at `path`.
    """
    if not path.exists():
        return []
    stored = json.loads(str(StateArchive.open(path).attributes.get("sampling", "{}")))
    found = differences(json.loads(record), stored)
    return [name for name in found if name != "sampling.members"]


def sampling_record(
    *,
    model: str,
    weights: str | None,
    sampling: SamplingSettings,
    guidance: GuidanceSettings | None,
    conditions: Conditions | None = None,
    noises: int | None = None,
    observed: dict[str, object] | None = None,
) -> str:
    """Everything that determines an ensemble, as JSON.

    model: its name; weights: digest of its denoiser; guidance: None for unguided sampling;
    conditions: of each member, for a conditional model
    noises: number of different noises, which the members have in turn; default: one each
    observed: what was observed, and how it is used; None for draws from the prior
    """
    steering = guidance.model_dump(mode="json", exclude={"adjust", "enabled"}) if guidance else None
    if guidance and steering and guidance.couples_samples:
        steering["ensemble_size"] = sampling.batch_size
    given = {"conditions": conditions.as_dict(), "noises": noises} if conditions else {}
    return json.dumps(
        {
            "model": model,
            "weights": weights,
            "sampling": sampling.model_dump(mode="json", exclude={"batch_size"}),
            "guidance": steering,
            **given,
            **({"observed": observed} if observed else {}),
        }
    )


def weights_digest(model: Path) -> str | None:
    """Digest of the denoiser in a model's folder; None without a denoiser."""
    parts = [model / part / "diffusion_pytorch_model.safetensors" for part in DENOISER]
    if not parts[0].is_file():
        return None
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if part.is_file() else b"")
    return digest.hexdigest()[:16]


def _parts(output: Path, ensemble: Ensemble) -> Parts:
    """The finished batches of one ensemble and batch size."""
    settings = ensemble.settings
    made_by = f"{ensemble.record} {settings.batch_size}"
    digest = hashlib.sha256(made_by.encode()).hexdigest()[:8]
    folder = output.with_name(f"{output.name}.parts-{digest}")
    return Parts(folder, ensemble.record, settings.members, settings.batch_size)


def _draw_parts(
    ensemble: Ensemble, pipeline: StatePipeline, *, parts: Parts, processes: Processes
) -> None:
    """Draw this process's batches, except those already in `parts`, until asked to stop."""
    sampler = Sampler.of(ensemble, pipeline)
    mine = parts.batches[processes.process_index :: processes.num_processes]
    for batch in progress(
        mine,
        "sampling guided" if sampler.guide else "sampling unguided",
        total=len(mine),
        unit="batch",
        states=len,
        shown=processes.is_main_process,
    ):
        if stop_requested():
            return
        if not parts.holds(batch):
            parts.store(batch, sampler.states(batch))


def _remove(archive: Path) -> None:
    """Remove an archive, a folder or a `.zarr.zip`, if it exists."""
    if archive.is_dir():
        shutil.rmtree(archive)
    else:
        archive.unlink(missing_ok=True)


def _finish(parts: Parts, output: Path, *, codec: Codec, ensemble: Ensemble) -> None:
    # Another command may have finished the same ensemble meanwhile.
    if not holds_ensemble(output, ensemble.record, adjusted=False):
        _merge(parts, output, codec=codec, ensemble=ensemble)
    shutil.rmtree(parts.folder, ignore_errors=True)


def _merge(parts: Parts, output: Path, *, codec: Codec, ensemble: Ensemble) -> None:
    _remove(output)
    ocean, conditions = codec.config.ocean, ensemble.conditions
    with ArchiveWriter(
        output,
        grid=codec.grid,
        equation_of_state=ocean["equation_of_state"],
        salinity_units=salinity_of(ocean["equation_of_state"]).units,
        sea_level=ocean["sea_level"],
        units=conditions.units if conditions else None,
        attributes={
            "title": TITLE,
            "source": source(),
            "sampling": ensemble.record,
        },
    ) as writer:
        states = parts.states(levels=ocean["levels"])
        for member, state in progress(states, "writing", total=parts.members):
            given = conditions.of_state(member) if conditions else None
            writer.append(state, member=member, time=0.0, split=UNUSED, parameters=given)


def _writer_like(archive: StateArchive, target: Path) -> ArchiveWriter:
    kept = ("title", "source", "sampling")
    attributes = {name: archive.attributes[name] for name in kept if name in archive.attributes}
    return ArchiveWriter(
        target,
        grid=archive.grid,
        equation_of_state=archive.equation_of_state,
        salinity_units=archive.salinity_units,
        sea_level=archive.has_sea_level,
        units=archive.units,
        attributes={
            **attributes,
            ADJUSTMENT: ADJUSTED,
        },
    )
