"""The commands that the campaign interrupts, on a tiny experiment, and their uninterrupted run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import yaml

from data.locks import LOCK
from tests.conftest import _tiny_settings
from tests.faults.products import Contents, contents
from tests.faults.subjects import make_netcdf
from tests.jobs import command, job_environment, marked, parent_of, wait_until

CONFIG = "tiny.yaml"
ARCHIVE = "states.zarr"
STATES, SAMPLES, MEMBERS = 60, 64, 7
MARK = "HALOCLINE_CAMPAIGN"  # variable that the processes of a job have
PATIENCE = 1800  # seconds, for a command on a busy machine
ORPHANED = 60  # seconds, until no process of a job may be left


@dataclass(frozen=True)
class Stage:
    """A command.

    words: of the command, before CONFIG
    makes: where its products are
    needs: where those of the commands before it are
    parallel: whether it may run in two processes
    """

    words: tuple[str, ...]
    makes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    parallel: bool = True

    @property
    def lock(self) -> str:
        """The file that is there while the command works."""
        return f"{ARCHIVE}.lock" if self.words == ("ingest",) else f"run/{LOCK}"


AUTOENCODER, DIFFUSION = ("run/autoencoder",), ("run/diffusion", "run/model")
STAGES = {
    "ingest": Stage(("ingest",), (ARCHIVE,), parallel=False),
    "autoencoder": Stage(("train", "autoencoder"), AUTOENCODER, (ARCHIVE,)),
    "diffusion": Stage(("train", "diffusion"), DIFFUSION, (ARCHIVE, *AUTOENCODER)),
    "sample": Stage(("sample",), ("run/samples",), (ARCHIVE, *AUTOENCODER, *DIFFUSION)),
    "run": Stage(("run",), (ARCHIVE, "run")),
}


@dataclass(frozen=True)
class Uninterrupted:
    """What the commands make where nothing happens to them.

    folder: with everything that they made
    contents: of the folder
    startup, work: seconds, by stage, until a command holds its lock, and from then on
    """

    folder: Path
    contents: Contents
    startup: dict[str, float]
    work: dict[str, float]


class Job:
    """A command that runs in `folder`, in one process or two, with all that it writes in a file."""

    def __init__(self, stage: Stage, *, folder: Path, processes: int = 1) -> None:
        self.mark = uuid4().hex
        self.lock = folder / stage.lock
        self._said = folder / f"said-{self.mark}"
        environment = job_environment() | {MARK: self.mark, "HALOCLINE_TRACKERS": ""}
        with self._said.open("w") as file:
            self.process = subprocess.Popen(
                command(*stage.words, CONFIG, processes=processes),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """Whether its first process runs."""
        return self.process.poll() is None

    @property
    def is_at_work(self) -> bool:
        """Whether it, or a job before it, holds the lock."""
        return self.lock.exists()

    @property
    def said(self) -> str:
        """Everything that it wrote, to stdout and stderr."""
        return self._said.read_text(errors="replace").replace("\r", "\n")

    def workers(self) -> list[int]:
        """The processes that its launcher has started."""
        launcher = self.process.pid
        return sorted(pid for pid in marked(MARK, self.mark) if parent_of(pid) == launcher)

    def send(self, number: signal.Signals, *, worker: int | None = None) -> bool:
        """Send a signal to the first process, or to one that it launched; whether it was sent."""
        pids = [self.process.pid] if worker is None else self.workers()[worker : worker + 1]
        if not pids or not self.runs:
            return False
        try:
            os.kill(pids[0], number)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> int:
        """Wait for the first process; its exit code."""
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def orphans(self, *, within: float = ORPHANED) -> list[int]:
        """The processes that are left of it, `within` so many seconds."""
        try:
            wait_until(lambda: not marked(MARK, self.mark), seconds=within)
        except TimeoutError:
            return marked(MARK, self.mark)
        return []

    def kill(self) -> None:
        """End everything that is left of it."""
        for pid in marked(MARK, self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def write_experiment(folder: Path) -> None:
    """Model output, and a YAML with paths in its folder: records do not depend on the folder."""
    folder.mkdir(parents=True)
    make_netcdf(folder, times=STATES)
    settings = _tiny_settings(Path(ARCHIVE), Path())
    settings["data"]["ingest"] = {
        "reader": "cf",
        "files": ["output.nc"],
        "equation_of_state": "veros-vallis",
        "split": {"train": 0.6, "validation": 0.2, "gap_years": 0},
    }
    settings["sampling"] |= {"members": MEMBERS}
    for name in ("autoencoder", "diffusion"):
        lengths = {"samples": SAMPLES, "checkpoint_samples": 16, "validation_samples": 16}
        settings[name]["training"] |= lengths
    (folder / CONFIG).write_text(yaml.safe_dump(settings))


@cache
def uninterrupted(place: Path, *, processes: int) -> Uninterrupted:
    """Run every stage in a folder of `place`, or take what an earlier campaign left there."""
    folder = place / f"uninterrupted-{processes}"
    note = folder / "seconds.yaml"
    if not note.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        write_experiment(folder)
        seconds = {
            name: _timed(name, folder, processes=processes if stage.parallel else 1)
            for name, stage in STAGES.items()
        }
        note.write_text(yaml.safe_dump(seconds))
    startup, work = zip(*yaml.safe_load(note.read_text()).values(), strict=True)
    work = dict(zip(STAGES, work, strict=True))
    work["run"] = sum(work.values())  # it was measured where the other stages were done
    return Uninterrupted(folder, contents(folder), dict(zip(STAGES, startup, strict=True)), work)


def _timed(name: str, folder: Path, *, processes: int) -> list[float]:
    """Seconds of a command until it is at work, and from then on. Exits if it fails."""
    begun = time.monotonic()
    job = Job(STAGES[name], folder=folder, processes=processes)
    wait_until(lambda: job.is_at_work or not job.runs, seconds=PATIENCE)
    at_work = time.monotonic()
    code = job.end()
    if code:
        raise SystemExit(f"without any interruption, {name} ended with {code}: {job.said[-2000:]}")
    return [at_work - begun, time.monotonic() - at_work]


def prepared(whole: Uninterrupted, stage: Stage, folder: Path) -> None:
    """Make `folder` as it is before the stage: with all that the stages before it made."""
    shutil.copytree(whole.folder, folder)
    for name in (ARCHIVE, "run") if stage.words == ("ingest",) else stage.makes:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("run/model", "run/samples", "run/diffusion", "run/autoencoder"):
        if not (name in stage.needs or name in stage.makes):
            shutil.rmtree(folder / name, ignore_errors=True)
