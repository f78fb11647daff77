"""Which outputs are one run, which are members: by their times and names, for `halocline init`."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data.findings import Finding
from data.recognition import pattern_of
from data.sources import Source, in_both, same_state

Settings = dict[str, Finding]


@dataclass(frozen=True)
class Joined:
    """Sources with their members on a common clock, the settings that join them, and remarks."""

    sources: list[Source]
    settings: Settings
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """Outputs of one run in the order of time, each state once.

    repeated: how many states of `sources` were left out; copies: outputs that have none else
    """

    sources: list[Source]
    repeated: int = 0
    copies: list[Source] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        return [path for source in self.sources for path in source.paths]


def joined_outputs(sources: list[Source], settings: Settings) -> Joined:
    """The outputs as one run, as runs of several files, or each as a member."""
    if len(sources) == 1 or "one_member" in settings:
        return Joined(sources, {})
    clocks = _on_one_clock(sources)
    if clocks is None:
        return Joined(sources, {})
    run = _one_run(clocks)
    if run is None:
        return _runs(clocks)
    joined: Settings = {}
    if len(run.sources) > 1:
        why = f"the {len(run.sources)} outputs continue each other in time"
        joined["one_member"] = Finding(True, why)
    if run.copies or run.paths != [path for source in clocks for path in source.paths]:
        why = "without files that repeat others" if run.copies else "in the order of time"
        joined["files"] = Finding([str(path) for path in run.paths], why)
    return Joined(_as_member(run.sources, 0), joined | _overlaps([run]), _copies([run]))


def _one_run(sources: list[Source]) -> _Run | None:
    """The outputs as one run, if they follow each other in time; None if they do not.

    They may overlap, as after a restart, if the states that they share are equal.
    """
    first, *others = sorted(sources, key=lambda one: (one.years.min(), -one.years.max()))
    run, repeated, copies = [first], 0, []
    for source in others:
        rest = _continuation(run[-1], source)
        if rest is None:
            return None
        if rest.samples.size:
            run.append(rest)
            repeated += len(source.samples) - len(rest.samples)
        else:
            copies.append(source)
    return _Run(run, repeated, copies)


def _continuation(before: Source, after: Source) -> Source | None:
    """`after` without states of `before`; None if they are no run.

    Two of the states that are at the same times are compared; ingest compares all.
    """
    last = before.years.max()
    if after.years.min() > last:
        return after
    pairs = in_both(before, after)
    compared = {pairs[0], pairs[-1]} if pairs else set()
    if not compared or not all(same_state(before, after, pair) for pair in compared):
        return None
    left = after.samples[~np.isin(after.samples, [sample for _, sample in pairs])]
    rest = replace(after, samples=left)
    return rest if not left.size or rest.years.min() > last else None


def _overlaps(runs: Sequence[_Run]) -> Settings:
    repeated = sum(run.repeated for run in runs)
    if not repeated:
        return {}
    why = f"{repeated} states of the files repeat the end of the file before, and are left out"
    return {"drop_overlap": Finding(True, why, True)}


def _copies(runs: Sequence[_Run]) -> list[str]:
    names = [source.paths[0].name for run in runs for source in run.copies]
    if not names:
        return []
    one = len(names) == 1
    return [
        f"{', '.join(names)} repeat{'s' * one} states of other files and {'is' if one else 'are'} "
        "left out"
    ]


def _runs(sources: list[Source]) -> Joined:
    """Runs of several files, told by folders and by names without dates and counters."""
    names = {_without_dates(source.paths[0]) for source in sources}
    grouped: dict[str, list[Source]] = {}
    for source in sources:
        name = _continued_name(_without_dates(source.paths[0]), names)
        grouped.setdefault(name, []).append(source)
    runs = [run for run in map(_one_run, grouped.values()) if run is not None]
    if len(grouped) == len(sources) or len(runs) < len(grouped):
        return Joined(sources, {})
    files = [pattern_of(run.paths, []) for run in runs]
    joined = [
        source for member, run in enumerate(runs) for source in _as_member(run.sources, member)
    ]
    settings: Settings = {"files": Finding(files, f"{len(files)} runs, each a member")}
    return Joined(joined, settings | _overlaps(runs), _copies(runs))


def _without_dates(path: Path) -> str:
    return str(path.with_name(re.sub(r"[_.-]*\d{4,}", "", path.stem)))


def _continued_name(name: str, names: Set[str]) -> str:
    """The shortest name that this one lengthens by a word, as in `weak_wind_continued`."""
    shorter = (one for one in names if re.match(rf"{re.escape(one)}(?![^\W_])", name))
    return min(shorter, key=len)


def _on_one_clock(sources: list[Source]) -> list[Source] | None:
    """The sources with years that count from the date of the first; None if they do not compare."""
    first = sources[0].output.clock
    shifted = []
    for source in sources:
        clock = source.output.clock
        years = first.years_until(clock) if first and clock else None
        if years is None:
            return None
        shifted.append(replace(source, shift=years))
    return shifted


def _as_member(sources: list[Source], number: int) -> list[Source]:
    return [replace(s, group=number, member=np.full_like(s.member, number)) for s in sources]
