"""Peak of resident memory of each stage that reads a whole archive.

    halocline study cost memory configs/dino_quarter.yaml --grid 36x2400x730 --states 8

makes model output of the given size, ingests it, makes statistics and linear maps, encodes all
states, reads their latents and sums over them for the closed form of the denoiser, each in a
process of its own. Networks are untrained. Only four states are different; all others are links to
them, so that the disk need not hold what is read. What is ingested is written in full, but shrinks.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
import zarr

from autoencoder.train import load_codec
from configs import Experiment
from configs.ingestion import ingest_run
from configs.run import Run
from data.archive.format import consolidate
from data.archive.identity import CONTENT, DESCRIPTION
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from data.ingest_settings import IngestSettings
from data.normalisation import Statistics
from data.state import State
from evaluation.provenance import provenance
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.latents import latent_datasets
from studies.cost.growth import meta_pipeline
from studies.cost.meter import free_at_once, resident, use_threads
from studies.cost.synthetic import parse_shape, synthetic_grid
from training.log import print_json

PARTS = (0, 0, 1, 2)  # of the different states: train, train, validation, test
DIFFERENT = len(PARTS)  # states; the others are links to them
FEWEST = 6  # states with which every part of the data has one
EQUATION = "nemo-seos"
AREA = 1e14  # m2, of the ocean
GRID = "36x2400x730"  # the box of NEMO DINO at 1/12 degree
Shape = tuple[int, int, int]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """What the stages share: the experiment, and the folder of their files."""

    experiment: Experiment
    folder: Path
    threads: int
    frees_at_once: bool = False

    @property
    def output(self) -> Path:
        """The model output that is ingested."""
        return self.folder / "output.zarr"

    @property
    def run(self) -> Run:
        """The run of the experiment in the folder."""
        data = self.experiment.data.model_copy(
            update={"archive": self.folder / "states.zarr", "ingest": None, "ensemble": None}
        )
        changes = {"run_directory": self.folder, "data": data}
        return Run(self.experiment.model_copy(update=changes))


def ingestion(job: Job) -> None:
    """Model output to an archive."""
    settings = IngestSettings.model_validate(
        {
            "reader": "cf",
            "files": [str(job.output)],
            "equation_of_state": EQUATION,
            "split": "from_file",
            "periodic_x": True,
        }
    )
    ingest_run(job.run, settings)


def opening(job: Job) -> None:
    """An archive with its grid, and its fingerprint."""
    assert job.run.archive.digest


def verification(job: Job) -> None:
    """The checksum of all states."""
    job.run.archive.verify()


def statistics(job: Job) -> None:
    """Mean and standard deviation of the training states."""
    archive = job.run.archive
    Statistics.from_archive(archive, indices=archive.indices("train"))


def codec(job: Job) -> None:
    """Statistics and linear maps of an untrained autoencoder, which is saved."""
    job.run.untrained_codec(job.run.archive).save_pretrained(job.folder / "codec")


def encoding(job: Job) -> None:
    """The latents of all training and validation states."""
    latent_datasets(load_codec(job.folder / "codec"), job.run.archive, path=_latents(job))


def closed_form(job: Job) -> None:
    """Means and covariance of the latents."""
    archive = job.run.archive
    samples = latent_datasets(load_codec(job.folder / "codec"), archive, path=_latents(job))
    member = archive.member[archive.indices("train")]
    MemberGaussians.of(samples["train"], member, patterns=job.run.settings.diffusion.patterns)


def a_pass_over_latents(job: Job) -> None:
    """One epoch of what the training of the denoiser reads."""
    archive = job.run.archive
    samples = latent_datasets(load_codec(job.folder / "codec"), archive, path=_latents(job))
    for item in range(len(samples["train"])):
        assert samples["train"][item][0].isfinite().all()


STAGES: dict[str, Callable[[Job], None]] = {
    "ingestion": ingestion,
    "archive opened": opening,
    "archive verified": verification,
    "statistics": statistics,
    "statistics and linear maps": codec,
    "latents encoded": encoding,
    "latents read once": a_pass_over_latents,
    "closed form of the latents": closed_form,
}


def _latents(job: Job) -> Path:
    return job.folder / "latents.safetensors"


def write_output(path: Path, shape: Shape, *, states: int) -> None:
    """Monthly states on an all-wet grid `z y x`, as a store in which most of them are links."""
    grid = synthetic_grid(*shape, periodic_x=True)
    grid = replace(grid, area=np.full(shape[1:], AREA / prod(shape[1:])))
    different = min(states, DIFFERENT)
    with ArchiveWriter(path, grid=grid, equation_of_state=EQUATION) as writer:
        for number in range(different):
            writer.append(_state(shape, number), member=0, time=number / 12, split=0)
    for name in ("thetao", "so"):
        _link_states(path / name, different, states)
    _extend(path, states)


def linked_to(number: int, states: int) -> int:
    """Which of the different states a state is; no two parts share one, which would be refused."""
    share = number / states
    if number < DIFFERENT:
        return number
    return number % 2 if share < 0.7 else 2 if share < 0.8 else 3


def _state(shape: Shape, number: int) -> State:
    """Layers with a wave along y, the same along x, so that it is small on the disk."""
    levels, rows, _ = shape
    profile = torch.linspace(20, 2, levels)[:, None]
    wave = torch.sin(torch.linspace(0, 6.0 + number, rows)) * torch.exp(-profile.flip(0) / 5)
    temperature = (profile + wave)[None, :, :, None].expand(1, *shape)
    return State(temperature, (35 - 0.02 * temperature))


def _link_states(field: Path, different: int, states: int) -> None:
    """Give a variable further states, whose chunks are links to those of the first ones."""
    metadata = json.loads((field / "zarr.json").read_text())
    metadata["shape"][0] = states
    (field / "zarr.json").write_text(json.dumps(metadata))
    for number in range(different, states):
        shutil.copytree(
            field / "c" / str(linked_to(number, states)),
            field / "c" / str(number),
            copy_function=os.link,
        )


def _extend(path: Path, states: int) -> None:
    """Correct what describes the states of a store after their number has grown."""
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    parts = np.array([PARTS[linked_to(number, states)] for number in range(states)])
    values = {"member": np.zeros(states), "time": np.arange(states) / 12, "split": parts}
    for name, column in values.items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        array.resize((states,))
        array[...] = column.astype(array.dtype)
    known = {k: v for k, v in group.attrs.items() if k not in {CONTENT, DESCRIPTION}}
    group.attrs.clear()
    group.attrs.update(known)
    consolidate(group.store)


def measured(stage: str, job: Job) -> dict[str, float]:
    """Peak of the resident memory [MB] and processor time [s] of a stage, in this process."""
    use_threads(job.threads)
    if job.frees_at_once:
        free_at_once()
    start, before = time.process_time(), resident("VmRSS")
    STAGES[stage](job)
    return {
        "start_MB": before,
        "peak_MB": resident("VmHWM"),
        "processor_seconds": time.process_time() - start,
    }


def memory_cost(
    experiment: Experiment,
    shape: Shape,
    *,
    states: int,
    folder: Path,
    threads: int,
    frees_at_once: bool = False,
) -> dict[str, dict[str, float]]:
    """What `measured` finds for each stage, in a new process each; files are left in `folder`.

    frees_at_once: see `meter.free_at_once`
    """
    job = Job(experiment, folder, threads, frees_at_once)
    _alone(partial(write_output, job.output, shape, states=states))
    return {stage: _alone(partial(measured, stage, job)) for stage in STAGES}


def _alone(call: Callable[[], Result]) -> Result:
    """The result of a call in a process of its own.

    It is forked from one that has imported the same modules and done nothing.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(call).result()


def fixed_sizes(experiment: Experiment, shape: Shape) -> dict[str, float]:
    """What a process holds whatever the number of states [MB]: the archive's grid, and the codec.

    Calculated: the networks' fields of the grid and the statistics, without values.
    """
    fields = meta_pipeline(experiment, shape).codec
    return {
        "grid_MB": prod(shape) * (8 + 1) / 1e6,
        "codec_fields_MB": sum(field.nbytes for field in fields.buffers()) / 1e6,
    }


def run(
    experiment: Experiment,
    *,
    grid: str = GRID,
    states: int = 8,
    threads: int = 1,
    folder: Path | None = None,
    output: Path | None = None,
) -> None:
    """Measure all stages on a synthetic archive and print the result as JSON.

    folder: keeps the files there; default: they are removed

    Raises `UserError` for too few states, and if the folder has files: what is left of another
    measurement would not be made again, and so not measured.
    """
    shape = parse_shape(grid)
    if states < FEWEST:
        raise UserError(f"{states} states leave a part of the data empty: give {FEWEST} or more")
    if folder and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: remove it, or give another --folder")
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        stages = memory_cost(experiment, shape, states=states, folder=place, threads=threads)
    result: dict[str, object] = {
        "grid": grid,
        "states": states,
        "archive_MB": states * 2 * 4 * prod(shape) / 1e6,
        "threads": threads,
        "stages": stages,
        "fixed": fixed_sizes(experiment, shape),
        "kind": "memory_cost",
        "provenance": provenance(seeds={}),
    }
    print_json(result, output)
