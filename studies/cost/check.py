"""Whether several processes do what one does, how fast, and with how much memory.

    halocline study cost check CONFIG --folder FOLDER --counts 1 2

measures in the current processes; `configs/accelerate/check.sh` launches it with one process and
then with each other number, and finally with `--compare`, which prints tables and verdicts and
writes FOLDER/check.json. The codec has statistics and linear path of the training states, but an
untrained network, and the denoiser is trained for a few samples: times, memory and rounding are
those of trained networks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from autoencoder.codec import VolumeCodec
from autoencoder.fitting import standardise_latents
from configs.run import Run
from configs.stages import train_denoiser
from data.archive.splits import spread_out
from data.batches import read_in_batches
from data.documents import read_object
from data.errors import UserError
from data.state import State
from evaluation.provenance import provenance
from studies.cost.check_report import failures, findings, tables
from studies.cost.check_sampling import drawn, sampling_cost
from studies.cost.check_training import AUTOENCODER, DIFFUSION, trainings_of
from training.launch import launched_processes
from training.log import write_json

SAMPLES = 256  # of each training
STANDARDISED, AT_ONCE = 64, 16  # states that set the scale of the latents
MODEL, WEIGHTS, STATES = "model", "weights", "states"  # folders of the check while it runs
RESULT = "check.json"


def run(
    run: Run,
    *,
    folder: Path,
    counts: Sequence[int],
    samples: int = SAMPLES,
    steps: int = 8,
    compare: bool = False,
) -> None:
    """Measure in the current processes, or compare what was measured.

    folder: of all that the check writes
    counts: numbers of processes of the whole check, the first of which is 1
    samples: of each training whose weights are compared; steps: timed steps of each stage
    compare: print tables and verdicts, keep the records alone, and measure nothing

    Raises `UserError` for what cannot be checked and, with `compare`, for weights or states that
    are not as they should be.
    """
    _refuse_counts(counts)
    if compare:
        _compare(folder, counts)
        return
    run = _shortened(run, folder=folder, most=max(counts), samples=samples)
    processes = launched_processes()
    if processes.num_processes == 1:
        refuse_what_cannot_be_checked(run, counts)
        _refuse_used(folder)
        _make_model(run)
    else:
        _refuse_without_reference(folder, counts)
    record = _measured(run, folder=folder, counts=counts, steps=steps)
    if processes.is_main_process:
        write_json(_record(folder, processes.num_processes), record)
    processes.wait_for_everyone()


def refuse_what_cannot_be_checked(run: Run, counts: Sequence[int]) -> None:
    """Raise `UserError` for an experiment or a machine on which some count could not run."""
    most = max(counts)
    if run.settings.distillation:
        raise UserError(
            f"{run.settings.name} is distilled and trains no networks of its own; check its "
            f"teacher, {run.settings.distillation.teacher}, instead"
        )
    if not run.settings.data.stored.exists():
        raise UserError(
            f"{run.settings.data.archive} does not exist; make it first (halocline run CONFIG says "
            "how), or check configs/quickstart.yaml, whose states come with Halocline"
        )
    if launched_processes().device.type == "cuda" and torch.cuda.device_count() < most:
        raise UserError(
            f"{most} processes need {most} GPUs, and this machine shows {torch.cuda.device_count()}"
            ": ask for fewer with --processes, or for processors with --cpu"
        )
    for stage in (AUTOENCODER, DIFFUSION):
        size = getattr(run.settings, stage).training.batch_size
        for count in counts:
            if size % count:
                raise UserError(
                    f"{stage}.training.batch_size is {size}, which {count} processes cannot share: "
                    f"give another number of processes, or --{stage}.training.batch_size "
                    f"{count * max(size // count, 1)}"
                )


def _refuse_counts(counts: Sequence[int]) -> None:
    if counts[0] != 1 or any(after <= before for before, after in pairwise(counts)):
        raise UserError(
            f"the numbers of processes are {' '.join(map(str, counts))}: expected 1 first, and "
            "each one larger than the one before, as in 1 2 4"
        )


def _refuse_used(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder} is not empty: remove it or choose another folder; with several processes "
            "this means that each of them was started as the only one"
        )


def _refuse_without_reference(folder: Path, counts: Sequence[int]) -> None:
    processes = launched_processes().num_processes
    if processes not in counts:
        raise UserError(
            f"{processes} processes were launched, and the check is of {' '.join(map(str, counts))}"
        )
    if not _record(folder, 1).is_file():
        raise UserError(
            f"{_record(folder, 1)} is missing: run the check in one process first, as "
            "configs/accelerate/check.sh does"
        )


def _shortened(run: Run, *, folder: Path, most: int, samples: int) -> Run:
    """The run in the folder of the check, with short trainings and a batch for each process."""
    settings = run.settings
    changes: dict[str, object] = {"run_directory": folder / MODEL}
    for name in (AUTOENCODER, DIFFUSION):
        stage = getattr(settings, name)
        plan = stage.training.model_copy(update={"samples": samples})
        changes[name] = stage.model_copy(update={"training": plan})
    members = {"members": most * settings.sampling.batch_size}
    return run.with_settings(**changes, sampling=settings.sampling.model_copy(update=members))


def _make_model(run: Run) -> None:
    """The model that all processes sample from: an untrained codec and a denoiser."""
    codec = run.untrained_codec(run.archive)
    if isinstance(codec, VolumeCodec):
        standardise_latents(codec.eval(), _some_states(run))
    run.codec_stage.publish(codec.save_pretrained)
    train_denoiser(run)


def _some_states(run: Run) -> Iterator[State]:
    rows = spread_out(run.archive.indices("train"), STANDARDISED)
    return read_in_batches(run.archive, rows, at_once=AT_ONCE)


def _measured(run: Run, *, folder: Path, counts: Sequence[int], steps: int) -> dict[str, Any]:
    """All that is measured of the current processes; complete in the first."""
    processes = launched_processes()
    training = {
        one.stage: one.measured(counts=counts, steps=steps)
        for one in trainings_of(run, folder=folder / WEIGHTS, directory=run.directory)
    }
    return {
        "kind": "processes_check_record",
        "processes": processes.num_processes,
        "device": processes.device.type,
        "devices": gather_object([_device()]),
        "backend": torch.distributed.get_backend() if processes.num_processes > 1 else None,
        "threads": torch.get_num_threads(),
        "experiment": run.settings.name,
        "training": training,
        "states": drawn(run, folder=folder / STATES),
        "sampling": sampling_cost(run),
        "provenance": provenance(seeds={"sampling": run.settings.sampling.seed}),
    }


def _device() -> str:
    """Name and memory of this process's device."""
    device = launched_processes().device
    if device.type != "cuda":
        return f"cpu of {os.cpu_count()}"
    found = torch.cuda.get_device_properties(device)
    return f"{device}: {found.name}, {found.total_memory / 1e9:.0f} GB"


def _compare(folder: Path, counts: Sequence[int]) -> None:
    records = [_read(folder, count) for count in counts]
    verdicts = findings(records)
    print(tables(records))
    print("\n".join(["", *(verdict.text for verdict in verdicts)]))
    content = {
        "kind": "processes_check",
        "records": records,
        "findings": [verdict.as_dict() for verdict in verdicts],
        "provenance": provenance(seeds={}),
    }
    write_json(folder / RESULT, content)
    for name in (MODEL, WEIGHTS, STATES):
        shutil.rmtree(folder / name, ignore_errors=True)
    for count in counts:
        _record(folder, count).unlink()
    print(f"\nwrote {folder / RESULT}")
    failed = failures(verdicts)
    if failed:
        raise UserError(
            f"several processes do not do what one does ({', '.join(failed)}, see above): do not "
            "use them until this check passes"
        )


def _read(folder: Path, count: int) -> dict[str, Any]:
    path = _record(folder, count)
    if not path.is_file():
        raise UserError(
            f"{path} is missing: the measurement with {count} process(es) did not end; see its "
            "messages, and run the whole check again"
        )
    return read_object(path, advice="run the whole check again")


def _record(folder: Path, count: int) -> Path:
    return folder / f"processes-{count}.json"
