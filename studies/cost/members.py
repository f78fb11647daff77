"""Memory of sampling against the number of members that are written.

    halocline study cost members data/models/quickstart --members 5000 --unguided --steps 6

samples into an archive as `halocline sample` does, in a process of its own, and notes the process's
resident memory, its peak and the time whenever a batch is drawn or a state is written. Then it
draws some members again, with their batch and alone, and compares them with the archive.

What an interruption leaves is not continued: the memory of the second process would say nothing
about that of the first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from configs import stages
from configs.run import Run
from data.archive.reader import StateArchive
from data.errors import UserError
from evaluation.canvas import save_figure
from evaluation.provenance import provenance
from guidance.seawater import equation_of_state
from guidance.stratification import adjust_in_place
from latent_diffusion.progress import watching
from latent_diffusion.sample import Sampler
from studies.cost.figures import memory_of_members
from studies.cost.meter import resident
from studies.cost.own_process import in_own_process
from training.launch import launched_processes
from training.log import print_json

FEWEST = 10  # members of which the first tenth is one
FIRST = 0.1  # of the members: allocators, caches and compilers fill up until then
POINTS = 200  # of each piece of work in the result
MIB = 1e6 / 2**20  # of a megabyte

Fields = dict[str, float]


@dataclass
class Trace:
    """What is noted of one kind of work, after every batch or state.

    members: for which it is done; resident_MiB, peak_MiB: of the process, now and so far;
    seconds: since the process began to sample
    """

    members: list[int] = field(default_factory=list)
    resident_MiB: list[float] = field(default_factory=list)
    peak_MiB: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def note(self, members: int, *, seconds: float) -> None:
        """Add the present memory of this process."""
        self.members.append(members)
        self.resident_MiB.append(resident("VmRSS") * MIB)
        self.peak_MiB.append(resident("VmHWM") * MIB)
        self.seconds.append(seconds)

    def thinned(self, most: int = POINTS) -> dict[str, list[Any]]:
        """The columns, with at most so many rows: evenly spread ones, with the first and last."""
        count = len(self.members)
        rows = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
        return {name: [values[row] for row in rows] for name, values in vars(self).items()}

    def growth(self) -> dict[str, float]:
        """What the memory does after the first tenth of the members.

        slope_MiB_per_1000_members: of a straight line through the resident memory; rise_MiB: its
        largest value then, less that at a tenth; peak_rise_MiB: of the process's peak, from then on
        """
        members = np.array(self.members)
        start = int(np.argmax(members >= FIRST * members[-1]))
        later, now = members[start:], np.array(self.resident_MiB[start:])
        slope = np.polyfit(later / 1000, now, 1)[0] if len(later) > 1 else np.nan
        return {
            "slope_MiB_per_1000_members": float(slope),
            "rise_MiB": float(now.max() - now[0]),
            "peak_rise_MiB": self.peak_MiB[-1] - self.peak_MiB[start],
            "resident_at_a_tenth_MiB": float(now[0]),
            "resident_at_the_end_MiB": float(now[-1]),
            "peak_MiB": self.peak_MiB[-1],
            "seconds_per_member": (self.seconds[-1] - self.seconds[0])
            / max(self.members[-1] - self.members[0], 1),
        }


def sampled(run: Run, output: Path) -> tuple[dict[str, Trace], float]:
    """Sample into the archive `output`, as `halocline sample` does.

    Returns the trace of each kind of work, by its name, and the peak of the process's resident
    memory when all is in place [MiB].
    """
    traces: dict[str, Trace] = {}
    start = time.perf_counter()

    def note(work: str, members: int) -> None:
        trace = traces.setdefault(work, Trace())
        trace.note(members, seconds=time.perf_counter() - start)

    with watching(note):
        stages.sample(run, output=output)
    return traces, resident("VmHWM") * MIB


def drawn_again(run: Run, output: Path, members: Sequence[int]) -> dict[str, Fields]:
    """Largest differences of members drawn again from those in the archive `output`, by member.

    *alone*: each in a batch of its own; *batch*: with those that it was drawn with. 0 is bitwise
    the same. Temperature in K, salinity in the archive's units.
    """
    archive = StateArchive.open(output)
    ensemble = stages.ensemble_of(run)
    pipeline = ensemble.pipeline().to(launched_processes().device)
    sampler = Sampler.of(ensemble, pipeline)
    return {
        f"member {member}": {
            f"{how}_{name}": value
            for how, batch in {"alone": [member], "batch": _batch_of(run, member)}.items()
            for name, value in _differences(run, sampler, archive, member, batch).items()
        }
        for member in members
    }


def _batch_of(run: Run, member: int) -> range:
    size, members = run.settings.sampling.batch_size, run.settings.sampling.members
    start = member - member % size
    return range(start, min(start + size, members))


def _differences(
    run: Run, sampler: Sampler, archive: StateArchive, member: int, batch: Sequence[int]
) -> Fields:
    """Largest differences of a member that is drawn with others from the one in the archive."""
    row = list(batch).index(member)
    state = sampler.states(batch).map(lambda values: values[row : row + 1].cpu().float())
    if run.settings.guidance.adjust:
        adjust_in_place(state, eos=equation_of_state(archive.equation_of_state), grid=archive.grid)
    stored = archive.read([member])
    wet = archive.grid.wet
    return {
        "temperature_K": _largest(state.temperature, stored.temperature, wet),
        "salinity": _largest(state.salinity, stored.salinity, wet),
    }


def _largest(one: Any, other: Any, wet: Any) -> float:
    return float(np.abs(one.double().numpy() - other.double().numpy())[:, wet].max())


def members_cost(run: Run, folder: Path) -> dict[str, object]:
    """Sample the run's ensemble into an archive in `folder`, and what that took."""
    output = folder / "states.zarr"
    traces, peak = in_own_process(sampled, run, output)
    last = run.settings.sampling.members - 1
    return {
        "work": {name: trace.growth() for name, trace in traces.items()},
        "peak_MiB": peak,
        "seconds": max(trace.seconds[-1] for trace in traces.values()),
        "archive_MiB": _bytes(output) / 2**20,
        "drawn_again": drawn_again(run, output, sorted({0, last // 2, last})),
        "traces": {name: trace.thinned() for name, trace in traces.items()},
    }


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def configured(
    run: Run, *, members: int, steps: int | None, guided: bool | None, batch_size: int | None
) -> Run:
    """The run with these settings; None keeps that of the run.

    Raises `UserError` for numbers below 1, and for members that do not show a growth.
    """
    sampling = run.settings.sampling
    given = {"members": members, "steps": steps, "batch_size": batch_size}
    changes = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value} is too few: give 1 or more")
    sampling = sampling.model_copy(update=changes)
    fewest = max(FEWEST, 2 * sampling.batch_size)
    if members < fewest:
        raise UserError(
            f"{members} members in batches of {sampling.batch_size} do not show how memory grows: "
            f"give --members {fewest} or more"
        )
    guidance = run.settings.guidance
    if guided is not None:
        guidance = guidance.model_copy(update={"enabled": guided})
    return run.with_settings(sampling=sampling, guidance=guidance)


def run(
    run: Run,
    *,
    members: int = 5000,
    steps: int | None = None,
    guided: bool | None = None,
    batch_size: int | None = None,
    folder: Path | None = None,
    output: Path | None = None,
    figure: Path | None = None,
) -> None:
    """Measure the sampling of an ensemble, print the result as JSON, and draw it to `figure`.

    folder: keeps the archive there; default: it is removed

    Raises `UserError` if the folder has files: what is left of another measurement would not be
    drawn again, and so not measured; where the memory of a process is not known; and as
    `configured`.
    """
    run = configured(run, members=members, steps=steps, guided=guided, batch_size=batch_size)
    if np.isnan(resident("VmHWM")):
        raise UserError("the memory of a process is known on Linux only: measure it there")
    if folder and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: remove it, or give another --folder")
    with TemporaryDirectory() as temporary:
        cost = members_cost(run, folder or Path(temporary))
    sampling = run.settings.sampling
    result: dict[str, Any] = {
        "model": run.settings.name,
        "members": members,
        "steps": sampling.steps,
        "batch_size": sampling.batch_size,
        "guided": run.settings.guidance.enabled,
        "adjusted": run.settings.guidance.adjust,
        "device": str(launched_processes().device),
        **cost,
        "kind": "members_cost",
        "provenance": provenance(seeds={"sampling": sampling.seed}),
    }
    print_json(result, output)
    if figure:
        save_figure(memory_of_members(result), figure)
