"""The campaign of interruptions: signals, two jobs at once, and flipped bits.

`make interruptions` runs it on a tiny experiment. Whatever happens to a command, the same command
given again must make bitwise what it makes where nothing happens, without a lost member, and leave
no process behind; of two jobs that would write the same, one must work and the other say who does;
a flipped bit in a product must be found before the product is used.

It prints a table, and every failure with the seed that repeats it:
`python -m tests.faults.interruptions 17`. A seed fixes what happens and, as a share of the time
that the command takes here, when; the moment itself depends on how busy the machine is. It needs
Linux.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TQDM_DISABLE"] = "1"

from tests.faults.bit_flips import Flip, flipped
from tests.faults.commands import uninterrupted
from tests.faults.interrupting import Interruption, interrupted
from tests.faults.two_jobs import Pair, both

CYCLE = 9  # of nine seeds in turn, five are interruptions, two are pairs of jobs, two flip a bit


@dataclass(frozen=True)
class Kind:
    """A kind of trial.

    option: that says how many trials there are; trials: by default
    residues: of the seeds of this kind, modulo `CYCLE`
    carry_out: the trial of a seed, which is number `index` of its kind, in a folder; what it is,
        and in words what was not as expected
    """

    option: str
    trials: int
    residues: tuple[int, ...]
    carry_out: Callable[[int, int, Path], tuple[str, list[str]]]

    def seeds(self, trials: int) -> list[int]:
        """The first seeds of this kind."""
        width = len(self.residues)
        return [CYCLE * (i // width) + self.residues[i % width] for i in range(trials)]

    def index(self, seed: int) -> int:
        """The number of a seed among those of its kind."""
        return seed // CYCLE * len(self.residues) + self.residues.index(seed % CYCLE)


def _interruption(seed: int, index: int, place: Path) -> tuple[str, list[str]]:
    trial = Interruption.of(seed, index)
    whole = uninterrupted(place, processes=trial.processes)
    return str(trial), interrupted(trial, whole, place / "trial")


def _pair(seed: int, index: int, place: Path) -> tuple[str, list[str]]:
    pair = Pair.of(seed, index)
    return str(pair), both(pair, uninterrupted(place, processes=1), place / "trial")


def _flip(seed: int, index: int, place: Path) -> tuple[str, list[str]]:
    flip = Flip.of(seed, index)
    return str(flip), flipped(flip, uninterrupted(place, processes=1))


KINDS = {
    "interruptions": Kind("--interruptions", 50, (0, 1, 2, 3, 4), _interruption),
    "two jobs at once": Kind("--two-jobs", 20, (5, 6), _pair),
    "bit flips": Kind("--bit-flips", 20, (7, 8), _flip),
}


def main(arguments: list[str] | None = None) -> None:
    """Carry out all trials, or those of the seeds that the arguments name."""
    options = _parser().parse_args(arguments)
    trials = {name: getattr(options, _attribute(kind)) for name, kind in KINDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        place = (options.place or Path(folder)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        found = {
            name: campaign(kind, options.seeds or kind.seeds(trials[name]), place)
            for name, kind in KINDS.items()
        }
    print(table(found))
    sys.exit(any(failures for _, failures in found.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.interruptions")
    text = "trials to repeat (default: all)"
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED", help=text)
    for name, kind in KINDS.items():
        text = f"trials of {name} (default: {kind.trials})"
        parser.add_argument(kind.option, type=int, default=kind.trials, metavar="N", help=text)
    text = "folder to work in; it keeps the uninterrupted runs for the next campaign"
    parser.add_argument("--place", type=Path, metavar="FOLDER", help=text)
    return parser


def _attribute(kind: Kind) -> str:
    return kind.option.removeprefix("--").replace("-", "_")


def campaign(kind: Kind, seeds: Iterable[int], place: Path) -> tuple[int, int]:
    """Carry out the trials of those seeds that are of this kind; their number, and the failures."""
    trials = failures = 0
    for seed in seeds:
        if seed % CYCLE not in kind.residues:
            continue
        try:
            what, wrong = kind.carry_out(seed, kind.index(seed), place)
        except Exception as error:  # such as products that cannot be read
            what, wrong = "a trial", [f"{type(error).__name__}: {error}"]
        trials, failures = trials + 1, failures + bool(wrong)
        print(f"{seed}: {what}: {'FAILED: ' + '; '.join(wrong) if wrong else 'ok'}", flush=True)
    return trials, failures


def table(found: dict[str, tuple[int, int]]) -> str:
    """Trials and failures by kind, as Markdown."""
    rows = [["kind", "trials", "as expected", "failures"], ["---"] * 4]
    for name, (trials, failures) in found.items():
        rows.append([name, *map(str, (trials, trials - failures, failures))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
