"""Commands that are interrupted by a signal, and given again until they are done."""

from __future__ import annotations

import re
import shutil
import signal
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random

from tests.faults.commands import ARCHIVE, STAGES, Job, Uninterrupted, prepared
from tests.faults.products import contents, differences, of, unfinished
from tests.jobs import wait_until

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
STOPPED = 75  # the work is saved, and the same command continues
STARTING_UP = 0.15  # share of the signals that come before a command is at work
ATTEMPTS = 3  # a command that was interrupted once must be done by then
AT_ONCE = 4  # times that a signal came too late until the trial is given up


class Part(Enum):
    """Parts of a command: until it takes its lock, until it gives it back, and after that."""

    START_UP, WORK, END = "start-up", "work", "end"


@dataclass(frozen=True)
class Interruption:
    """One trial.

    stage: of `STAGES`
    worker: the process that gets the signal, of those that the launcher started; None: the first
    moment: from 0 to 1 when in its work, from -1 to 0 when in its start-up
    """

    stage: str
    processes: int
    number: signal.Signals
    worker: int | None
    moment: float

    @classmethod
    def of(cls, seed: int, index: int) -> Interruption:
        """The trial of a seed; `index` of all interruptions goes through the stages in turn."""
        draw = Random(f"interruption {seed}")
        stage = [*STAGES][index % len(STAGES)]
        processes = 1 + index // len(STAGES) % 2 if STAGES[stage].parallel else 1
        number = SIGNALS[index // (2 * len(STAGES)) % len(SIGNALS)]
        worker = draw.choice((None, 0, 1)) if processes > 1 else None
        early = draw.random() < STARTING_UP
        moment = draw.random() - 1 if early else draw.random()
        return cls(stage, processes, number, worker, moment)

    def __str__(self) -> str:
        who = "the launcher" if self.worker is None else f"worker {self.worker}"
        where = f" to {who} of two" if self.processes > 1 else ""
        part = "start-up" if self.moment < 0 else "work"
        return f"{self.number.name}{where} at {self.moment % 1:.0%} of the {part} of {self.stage}"


def interrupted(trial: Interruption, whole: Uninterrupted, folder: Path) -> list[str]:
    """Carry out a trial in `folder`; in words, what was not as it should be."""
    stage, moment = STAGES[trial.stage], trial.moment
    for _ in range(AT_ONCE):
        shutil.rmtree(folder, ignore_errors=True)
        prepared(whole, stage, folder)
        job = Job(stage, folder=folder, processes=trial.processes)
        try:
            sent = _signal(job, trial, moment, whole)
            code = job.end()
            left = job.orphans()
        finally:
            job.kill()
        if sent is not None:
            break
        moment = moment / 2 if moment > 0 else moment + (-1 - moment) / 2
    else:
        return ["the signal always came too late"]
    found = [f"{len(left)} processes were left after a minute"] if left else []
    found += wrong_end(trial, code, job.said, part=sent)
    return found + _finish(trial, whole, folder, code)


def _signal(job: Job, trial: Interruption, moment: float, whole: Uninterrupted) -> Part | None:
    """Send the signal at its moment.

    Which part of the command it met; None if the command had ended.
    """
    if moment < 0:
        time.sleep((1 + moment) * whole.startup[trial.stage])
    else:
        wait_until(lambda: job.is_at_work or not job.runs, seconds=1800)
        time.sleep(moment * whole.work[trial.stage])
    if trial.worker is not None:
        wait_until(lambda: len(job.workers()) > 1 or not job.runs, seconds=1800)
    part = Part.WORK if job.is_at_work else Part.END if moment >= 0 else Part.START_UP
    return part if job.send(trial.number, worker=trial.worker) else None


def wrong_end(trial: Interruption, code: int, said: str, *, part: Part) -> list[str]:
    """In words, how the end of an interrupted command differs from what the guide says.

    part: of the command that the signal met
    """
    by_signal = -int(trial.number)
    if trial.worker is None and trial.processes > 1:
        # The launcher itself: it does not pass on how its processes end.
        expected = {1, by_signal, *([0] if part == Part.END else [])}
    elif trial.worker is not None:
        codes = {int(one) for one in re.findall(r"exitcode\s*:\s*(-?\d+)", said)}
        expected = {1}
        if part == Part.END:
            return []  # some processes may have ended
        if trial.number != signal.SIGKILL and part == Part.WORK and STOPPED not in codes:
            return [f"its workers ended with {sorted(codes)}, and none with {STOPPED}"]
    elif trial.number == signal.SIGKILL:
        expected = {by_signal}
    else:
        # A process that is still loading Python has no work to save.
        others = {Part.START_UP: by_signal, Part.WORK: STOPPED, Part.END: 0}
        expected = {STOPPED, others[part]}
    found = []
    if code not in expected:
        found.append(f"it ended with {code} instead of {' or '.join(map(str, sorted(expected)))}")
    if trial.number != signal.SIGKILL and trial.processes == 1 and "Traceback" in said:
        found.append(f"it ended with a traceback: {said[-600:]}")
    return found


def _finish(trial: Interruption, whole: Uninterrupted, folder: Path, code: int) -> list[str]:
    """Give the command again until it is done; in words, how the products then differ."""
    stage = STAGES[trial.stage]
    for _ in range(ATTEMPTS):
        if _has_nothing_left(trial, folder, code):
            break
        job = Job(stage, folder=folder, processes=trial.processes)
        try:
            code = job.end()
            left = job.orphans()
        finally:
            job.kill()
        if left:
            return ["processes were left of a command that was given again"]
    if code and not _has_nothing_left(trial, folder, code):
        return [f"given again {ATTEMPTS} times, it ended with {code}: {job.said[-600:]}"]
    expected = of(whole.contents, (*stage.needs, *stage.makes))
    return differences(contents(folder), expected) + unfinished(folder)


def _has_nothing_left(trial: Interruption, folder: Path, code: int) -> bool:
    """Whether a command that ended so is done.

    An ingestion that was stopped once its archive was in place refuses to do it again.
    """
    return code == 0 or (trial.stage == "ingest" and (folder / ARCHIVE).exists())
