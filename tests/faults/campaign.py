"""The fault campaign: damaged products and inputs, each read in a process of its own.

`make faults` runs it. Whatever the damage, the outcome must be one sentence or the same numbers:
no traceback, no changed number where there are checksums, no hang, no memory far beyond the file.
It prints a table, and every failure with the seed that repeats it:
`python -m tests.faults.campaign "model folders" 17`.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"

from data.errors import UserError
from tests.faults.damage import damage
from tests.faults.subjects import SUBJECTS, Subject

SECONDS = 10  # of processor time
PATIENCE = 300  # seconds: a busy machine may give a process little of its time
MEMORY = 2**30  # bytes, beyond the size of the files
LONGEST = 700  # characters of a sentence
SOUND = ("refused", "same numbers")
FAILURES = ("TRACEBACK", "CHANGED", "HANG", "MEMORY", "NOT ONE SENTENCE")


def main() -> None:
    """Run everything, or the trials of one subject that the arguments name."""
    chosen = sys.argv[1:2] or [*SUBJECTS]
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            numbers = [int(word) for word in sys.argv[2:]] or range(SUBJECTS[name].trials)
            found[name] = campaign(name, SUBJECTS[name], numbers, Path(folder))
    print(table(found))
    sys.exit(any(counts[failure] for counts in found.values() for failure in FAILURES))


def campaign(name: str, subject: Subject, numbers: range | list[int], folder: Path) -> Counter[str]:
    """Outcomes of the trials of one subject."""
    whole = folder / name.replace(" ", "_")
    whole.mkdir()
    note = whole / "path"
    ended = _in_a_process(lambda: note.write_text(str(subject.make(whole).relative_to(whole))))
    if not note.is_file():
        sys.exit(f"{name}: it could not be made ({ended}); run the tests of tests/faults")
    relative = note.read_text()
    _, sound = trial(subject, whole, relative)
    if not sound.startswith("accepted"):
        sys.exit(f"{name}: a whole one is not accepted: {sound}")
    outcomes: Counter[str] = Counter()
    for number in numbers:
        harm = partial(damage, draw=Random(f"{name} {number}"))
        what, outcome = trial(subject, whole, relative, harm=harm)
        label = judged(outcome, sound, subject)
        outcomes[label] += 1
        if label in FAILURES or len(sys.argv) > 2:
            print(f"{name} {number}: {what}: {label}: {outcome[:1000]}", flush=True)
    return outcomes


def judged(outcome: str, sound: str, subject: Subject) -> str:
    """The label of an outcome."""
    if outcome == sound:
        return "same numbers"
    if outcome.startswith("accepted"):
        return "CHANGED" if subject.checked else "changed, without checksums"
    if outcome.startswith("refused"):
        return "refused" if _is_sentence(outcome) else "NOT ONE SENTENCE"
    return outcome.split(":", 1)[0]


def trial(
    subject: Subject, whole: Path, relative: str, *, harm: Callable[[Path], str] | None = None
) -> tuple[str, str]:
    """Damage a copy with `harm` and read it; what was done, and the outcome."""
    with tempfile.TemporaryDirectory(dir=whole.parent) as place:
        copy = Path(shutil.copytree(whole, Path(place) / "copy"))
        what = harm(copy / relative) if harm else "no damage"
        note = Path(place) / "outcome"
        size = sum(file.stat().st_size for file in copy.rglob("*") if file.is_file())
        ended = _in_a_process(lambda: _read(subject, copy / relative, note, size=size))
        return what, note.read_text() if note.is_file() else ended


def _read(subject: Subject, path: Path, note: Path, *, size: int) -> None:
    """Read within limits, and note the outcome."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    before = _memory()
    try:
        outcome = f"accepted: {subject.read(path)}"
    except UserError as error:
        outcome = f"refused: {error}"
    except MemoryError:
        outcome = "MEMORY: MemoryError"
    except BaseException:
        outcome = f"TRACEBACK: {traceback.format_exc()[-900:]}"
    if _memory() - before > MEMORY + size:
        outcome = f"MEMORY: {(_memory() - before) / 1e9:.1f} GB; {outcome[:200]}"
    note.write_text(outcome)


def _memory() -> int:
    """The most memory that this process has held [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_a_process(work: object) -> str:
    """Do `work` in a copy of this process; how it ended, if it wrote nothing."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            os.dup2(nowhere.fileno(), 1)
        warnings.simplefilter("ignore")
        try:
            work()  # type: ignore[operator]
        finally:
            os._exit(0)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status)
            return "HANG: no more processor time" if killed else f"ended with {status}"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "HANG: no answer"


def _is_sentence(outcome: str) -> bool:
    return "\n" not in outcome and len(outcome) < LONGEST


def table(found: dict[str, Counter[str]]) -> str:
    """The outcomes as Markdown."""
    columns = [*SOUND, "changed, without checksums", *FAILURES]
    rows = [["", "trials", *columns], ["---"] * (len(columns) + 2)]
    for name, counts in found.items():
        rows.append([name, str(counts.total()), *(str(counts[one]) for one in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
