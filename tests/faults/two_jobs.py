"""Two commands at once that would write the same: one works, and the other says who does."""

from __future__ import annotations

import re
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.commands import STAGES, Job, Uninterrupted, prepared
from tests.faults.products import Contents, contents, differences, of, unfinished

PAIRS = (
    ("autoencoder", "autoencoder"),
    ("sample", "autoencoder"),
    ("ingest", "ingest"),
    ("diffusion", "diffusion"),
    ("sample", "sample"),
    ("run", "run"),
)
ATTEMPTS = 5  # until two jobs meet
REFUSAL = re.compile(
    r"halocline: \S+ is used by process (\d+) on (\S+) \(since \S+\); wait until .+"
)
# What a job says that comes when the other is done.
LATE = re.compile(r"halocline: \S+ exists; remove it or change --data.archive")


@dataclass(frozen=True)
class Pair:
    """One trial: two commands, and how long after the first the second is given."""

    names: tuple[str, str]
    offset: float  # share of the work of the first

    @classmethod
    def of(cls, seed: int, index: int) -> Pair:
        """The trial of a seed; `index` of all of them goes through the pairs in turn."""
        draw = Random(f"two jobs {seed}")
        names = PAIRS[index % len(PAIRS)]
        first, second = names if draw.random() < 0.5 else names[::-1]
        return cls((first, second), draw.uniform(0, 0.5))

    def __str__(self) -> str:
        return f"{self.names[0]}, and {self.names[1]} after {self.offset:.0%} of its work"


@dataclass(frozen=True)
class End:
    """How one job ended."""

    name: str
    pid: int
    code: int
    said: str

    @property
    def sentence(self) -> str:
        """The last line that it wrote."""
        return (self.said.strip().splitlines() or [""])[-1]


def both(pair: Pair, whole: Uninterrupted, folder: Path) -> list[str]:
    """Carry out a trial in `folder`; in words, what was not as it should be."""
    offset = pair.offset * whole.work[pair.names[0]]
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        _prepare(pair, whole, folder)
        ends = _together(pair, folder, offset=offset)
        if have_met(ends):
            return wrong_ends(ends) or _wrong_products(pair, ends, whole, folder)
        offset /= 2
    return [f"{ATTEMPTS} times one had ended before the other began to work"]


def _prepare(pair: Pair, whole: Uninterrupted, folder: Path) -> None:
    """Make `folder` so that both commands have work to do, and can do it."""
    prepared(whole, STAGES[pair.names[0]], folder)
    if pair.names[0] != pair.names[1]:  # a model without its codec's training, and no samples
        shutil.rmtree(folder)
        prepared(whole, STAGES["sample"], folder)
        shutil.rmtree(folder / "run" / "autoencoder")


def _together(pair: Pair, folder: Path, *, offset: float) -> list[End]:
    jobs: list[Job] = []
    try:
        for name in pair.names:
            jobs.append(Job(STAGES[name], folder=folder))
            time.sleep(offset)
            offset = 0
        codes = [job.end() for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    rows = zip(pair.names, jobs, codes, strict=True)
    return [End(name, job.process.pid, code, job.said) for name, job, code in rows]


def have_met(ends: list[End]) -> bool:
    """Whether one job came while the other was at work."""
    codes = [end.code for end in ends]
    return codes != [0, 0] and not any(LATE.fullmatch(end.sentence) for end in ends)


def wrong_ends(ends: list[End]) -> list[str]:
    """In words, what is wrong with the ends of two jobs that met."""
    done = [end for end in ends if end.code == 0]
    if len(done) != 1:
        said = "; ".join(f"{end.name}: {end.said[-300:]}" for end in ends)
        return [f"they ended with {[end.code for end in ends]} instead of 0 and 1: {said}"]
    (other,) = (end for end in ends if end.code != 0)
    refusal = REFUSAL.fullmatch(other.sentence)
    if other.code != 1 or refusal is None or "Traceback" in other.said:
        return [f"the second ended with {other.code} and said: {other.said[-600:]}"]
    if refusal.groups() != (str(done[0].pid), socket.gethostname()):
        return [f"process {done[0].pid} worked, but the other said: {other.sentence}"]
    return []


def _wrong_products(pair: Pair, ends: list[End], whole: Uninterrupted, folder: Path) -> list[str]:
    (worked,) = (STAGES[end.name] for end in ends if end.code == 0)
    expected = of(whole.contents, (*worked.needs, *worked.makes))
    if pair.names[0] != pair.names[1]:
        expected = _of_mixed(whole.contents, worked.makes)
    return differences(contents(folder), expected) + unfinished(folder)


def _of_mixed(everything: Contents, makes: tuple[str, ...]) -> Contents:
    """What there is after one of two different commands: see `_prepare`."""
    return of(everything, (*makes, "states.zarr", "run/diffusion", "run/model"))
