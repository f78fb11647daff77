"""Tables and verdicts of a check of several processes, from its records alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from studies.cost.chains import GUIDED, UNGUIDED

# What the guide states (docs/guide/clusters.md).
WEIGHTS_APART = 0.01  # of the way that training has come: rounding, which the optimiser amplifies
STATES_APART = 1e-4  # K and g/kg, largest: rounding of unguided states
GUIDED_APART = 1e-3  # K and g/kg, rms: rounding, which guidance amplifies in nearly neutral columns
SAMPLING_EFFICIENCY = 0.9  # processes do not communicate
TRAINING_EFFICIENCY = 0.7  # processes average their gradients in every step
LEAST_SHARE = 0.05  # of the measured peak
MEMORY_GROWTH = 1.2  # relative to one process
PEAK = "of peak [TFLOP/s]"
Record = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """What was found of one question, in a sentence.

    correct: whether numbers are as they should be, not only speed or memory; None for these
    """

    question: str
    as_expected: bool
    sentence: str
    correct: bool | None = None

    @property
    def text(self) -> str:
        """A line for the terminal."""
        mark = "as expected" if self.as_expected else "NOT AS EXPECTED"
        return f"{self.question}: {mark}. {self.sentence}"

    def as_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return asdict(self)


def findings(records: Sequence[Record]) -> list[Finding]:
    """Findings from the records of one process and of each larger number, in this order."""
    first, *others = records
    return [
        *_states(others),
        *_weights(others),
        _repeatable(first),
        *(_scaling(records) if others else []),
        _share(records[-1]),
        *([_memory(records)] if others else []),
    ]


def failures(found: Sequence[Finding]) -> list[str]:
    """Questions whose numbers are not as they should be."""
    return [finding.question for finding in found if finding.correct is False]


def _states(others: Sequence[Record]) -> Iterator[Finding]:
    """Whether ensembles are those of one process."""
    limits = {UNGUIDED: ("largest", STATES_APART), GUIDED: ("rms", GUIDED_APART)}
    for kind, (name, limit) in limits.items():
        found = [(one["processes"], one["states"][kind]) for one in others if kind in one["states"]]
        if not found:
            continue
        count, worst = max(found, key=lambda pair: pair[1][name])
        apart = f"with {count} processes they differ by {worst[name]:.2g} K or g/kg ({name})"
        question = f"{kind} states"
        if all(one["bitwise"] for _, one in found):
            yield Finding(question, True, "They are bitwise those of one process.", True)
        elif worst[name] <= limit:
            yield Finding(
                question,
                kind == GUIDED,
                f"They are not bitwise those of one process: {apart}, which is rounding (stated: "
                f"{limit:g}); look whether all devices are of one kind with the same number of "
                "threads, and otherwise accept it.",
                True,
            )
        else:
            yield Finding(
                question,
                False,
                f"They are not those of one process: {apart}, more than the stated {limit:g}; look "
                "for a device that computes wrongly by running with each device alone "
                "(CUDA_VISIBLE_DEVICES), and report it with check.json.",
                False,
            )


def _weights(others: Sequence[Record]) -> Iterator[Finding]:
    """Whether weights are the same in all processes, and those of the replay."""
    for stage, found in _by_stage(others).items():
        question = f"weights, {stage}"
        apart = [count for count, one in found if not one["same_in_all_processes"]]
        if apart:
            yield Finding(
                question,
                False,
                f"With {apart[0]} processes they are not the same in all: gradients are not "
                "exchanged; look at the messages of NCCL_DEBUG=INFO or of gloo.",
                False,
            )
            continue
        count, worst = max(found, key=lambda pair: _from_replay(pair[1]))
        value, right = _from_replay(worst), _from_replay(worst) <= WEIGHTS_APART
        reference = "those of one process that computes all shares in turn"
        sentence = f"After {worst['samples']} samples they are the same in all processes, and "
        if value == 0:
            sentence += f"bitwise {reference}."
        else:
            sentence += (
                f"differ by {value:.2g} of the way trained from {reference} (with {count} "
                f"processes; stated: {WEIGHTS_APART:g})"
            )
            sentence += "." if right else _OTHER_WEIGHTS
        yield Finding(question, right, sentence, right)


_OTHER_WEIGHTS = (
    "; look whether one process repeats itself (below), try training.precision fp32, and report it "
    "with check.json."
)


def _from_replay(training: Record) -> float:
    """How far weights are from those of the replay; infinite if they are not numbers."""
    found = training["difference_from_replay"]
    return float("inf") if found is None else float(found)


def _repeatable(first: Record) -> Finding:
    """Whether one process computes the same weights again."""
    worst = max(_from_replay(one) for one in first["training"].values())
    if worst == 0:
        sentence = "One process trains bitwise the same weights again."
    else:
        sentence = (
            f"One process trains weights again that differ by {worst:.2g} of the way: the device "
            "sums in varying order, so that an interrupted training does not continue bitwise."
        )
    return Finding("repetition", worst <= WEIGHTS_APART, sentence)


def _by_stage(records: Sequence[Record]) -> dict[str, list[tuple[int, Record]]]:
    """Number of processes and record of each training, by stage."""
    found: dict[str, list[tuple[int, Record]]] = {}
    for one in records:
        for stage, training in one["training"].items():
            found.setdefault(stage, []).append((one["processes"], training))
    return found


_SLOW = (
    "look for other jobs on the machine, for the link between the devices (nvidia-smi topo -m), "
    "and at the batch of each process, which should be as large as memory allows"
)
_SLOW_SAMPLING = (
    "look for other jobs on the machine, and for processors that are too few: each process needs "
    "some of its own"
)


def _scaling(records: Sequence[Record]) -> Iterator[Finding]:
    """Whether sampling and each stage lose little of the speed of one process."""
    yield _efficiency(records, "sampling", _state_rate, SAMPLING_EFFICIENCY, _SLOW_SAMPLING)
    for stage in records[0]["training"]:
        name = f"training, {stage}"
        yield _efficiency(records, name, _rate(stage), TRAINING_EFFICIENCY, _SLOW)


def _efficiency(
    records: Sequence[Record],
    what: str,
    rate: Callable[[Record], float],
    least: float,
    advice: str,
) -> Finding:
    found = [(one["processes"], efficiency(one, records[0], rate)) for one in records]
    count, worst = min(found, key=lambda pair: pair[1])
    right = worst >= least
    sentence = f"At worst ({count} processes) each works at {worst:.0%} of the speed of one alone"
    ending = f" (expected: {least:.0%} or more)" + ("." if right else f"; {advice}.")
    return Finding(f"scaling of {what}", right, sentence + ending)


def efficiency(one: Record, first: Record, rate: Callable[[Record], float]) -> float:
    """Rate of each process relative to that of one alone."""
    return rate(one) / rate(first) / one["processes"]


def _state_rate(record: Record) -> float:
    """States per second of all processes together."""
    return float(sum(record["sampling"]["states_per_second"]))


def _rate(stage: str) -> Callable[[Record], float]:
    """Training samples per second of all processes together, each with a batch of its own."""
    return lambda record: float(sum(record["training"][stage]["samples_per_second"]))


def _share(record: Record) -> Finding:
    """Whether steps and chains reach a fair part of the peak."""
    parts = record["training"] | {"sampling": record["sampling"]}
    shares = {name: _mean(part["share_of_matmul_peak"]) for name, part in parts.items()}
    least = min(shares, key=lambda name: shares[name])
    reached = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    right = shares[least] >= LEAST_SHARE
    advice = (
        "."
        if right
        else f": {least} waits more than it computes, which is normal on a GPU for a grid as small "
        "as the quickstart's; on your grid enlarge its batch_size."
    )
    return Finding(
        "share of the peak",
        right,
        f"Reached (expected: {LEAST_SHARE:.0%} or more): {reached}{advice}",
    )


def _memory(records: Sequence[Record]) -> Finding:
    """Whether processes need as much memory as one alone, and all the same."""
    growth = {
        (name, one["processes"]): max(part["memory_MB"]) / max(before["memory_MB"])
        for one in records[1:]
        for (name, part), (_, before) in zip(_parts(one), _parts(records[0]), strict=True)
        if all(part["memory_MB"]) and all(before["memory_MB"])
    }
    if not growth:
        return Finding("memory", True, "This system does not tell the peak of memory.")
    (name, count), worst = max(growth.items(), key=lambda item: item[1])
    right = worst <= MEMORY_GROWTH
    sentence = (
        f"At most ({name}, {count} processes) a process needs {worst:.2f} times the memory of one "
        f"alone (expected: {MEMORY_GROWTH:g} or less)"
    )
    advice = "." if right else "; look whether two processes share a device, and for other jobs."
    return Finding("memory", right, sentence + advice)


def _parts(record: Record) -> list[tuple[str, Record]]:
    return [*record["training"].items(), ("sampling", record["sampling"])]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def tables(records: Sequence[Record]) -> str:
    """What was measured, as tables for the terminal."""
    first = records[0]
    devices = sorted(
        {name.partition(": ")[2] or name for one in records for name in one["devices"]}
    )
    head = (
        f"{first['experiment']} on {', '.join(devices)}; {first['threads']} thread(s) a process; "
        f"{records[-1]['backend'] or 'no'} backend"
    )
    return "\n\n".join([head, *(_table(name, records) for name, _ in _parts(first))])


def _table(name: str, records: Sequence[Record]) -> str:
    """A row for each number of processes of a stage, or of sampling."""
    unit = "state/s" if name == "sampling" else "sample/s"
    rate = _state_rate if name == "sampling" else _rate(name)
    columns = ["processes", unit, f"s/{unit[:-2]}", "efficiency", "shared batch", PEAK, "GB each"]
    rows = [_row(dict(_parts(one))[name], one, records[0], rate) for one in records]
    if name == "sampling":
        columns, rows = _without(columns, rows, "shared batch")
    return "\n".join([f"{name} ({_precision(name, records[0])})", *_aligned([columns, *rows])])


def _row(part: Record, one: Record, first: Record, rate: Callable[[Record], float]) -> list[str]:
    memory = [value / 1000 for value in part["memory_MB"] if value]
    return [
        str(one["processes"]),
        f"{rate(one):.3g}",
        f"{1 / rate(one):.3g}",
        f"{efficiency(one, first, rate):.0%}",
        f"{part.get('samples_per_second_of_shared_batch', 0):.3g}",
        f"{_mean(part['share_of_matmul_peak']):.1%} of {_mean(part['matmul_gflops']) / 1000:.3g}",
        f"{min(memory):.2f}-{max(memory):.2f}" if memory else "-",
    ]


def _without(
    columns: list[str], rows: list[list[str]], name: str
) -> tuple[list[str], list[list[str]]]:
    where = columns.index(name)
    kept = [[*row[:where], *row[where + 1 :]] for row in [columns, *rows]]
    return kept[0], kept[1:]


def _precision(name: str, first: Record) -> str:
    if name == "sampling":
        return "fp32"
    return {"no": "fp32"}.get(found := first["training"][name]["precision"], found)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
