"""Which of a run's MDS files is which quantity: snapshots and streams of diagnostics."""

from __future__ import annotations

from collections.abc import Callable

from data.errors import UserError
from data.readers.mds import MdsField, MdsFolder
from data.readers.settings import NONE, Variables

Series = dict[int, MdsField]

# Names of snapshots and of diagnostics.
_FIELDS = {"temperature": ("T", "THETA"), "salinity": ("S", "SALT"), "sea_level": ("Eta", "ETAN")}


def choose_streams(
    run: MdsFolder, names: Variables, *, shape: tuple[int, ...]
) -> dict[str, Series]:
    """Fields by time step, keyed by quantity; sea level only if present.

    shape: `z y x` of the grid. Of several streams those of the needed dimensions remain, then those
    at the time steps of temperature, then temperature's own. Raises UserError if two remain, which
    `variables` may tell apart as "stream/FIELD", or if a quantity is missing.
    """
    other = set(names.model_dump(exclude_none=True)) - set(_FIELDS)
    if other:
        raise UserError(
            f"data.ingest.variables.{min(other)} cannot be set for MITgcm's binary files: the grid "
            "is always read from hFacC, XC, YC, RC, DRF and RAC."
        )
    label, temperature = _choose(run, "temperature", names.temperature, shape)
    found = {"temperature": temperature}
    for quantity in ("salinity", "sea_level"):
        given = getattr(names, quantity)
        if quantity == "sea_level" and (given == NONE or not _streams(run, quantity, given)):
            continue
        _, series = _choose(run, quantity, given, shape, beside=(label, temperature))
        _check_steps(run, temperature, series)
        found[quantity] = series
    return found


def _streams(run: MdsFolder, quantity: str, given: str | None) -> dict[str, Series]:
    """All streams that hold the quantity, by label."""
    wanted = (given,) if given else _FIELDS[quantity]
    streams = {label: series for name in wanted for label, series in run.series(name).items()}
    if not streams and (given or quantity != "sea_level"):
        raise UserError(
            f"{run.path} has no {quantity} {' or '.join(wanted)}: it has "
            f"{', '.join(run.fields) or 'no fields over time'}; name it in the settings as "
            f"data.ingest.variables.{quantity}."
        )
    return streams


def _choose(
    run: MdsFolder,
    quantity: str,
    given: str | None,
    shape: tuple[int, ...],
    beside: tuple[str, Series] | None = None,
) -> tuple[str, Series]:
    """Label and fields of the one stream that remains; beside: temperature's."""
    streams = _streams(run, quantity, given)
    needed = shape[1:] if quantity == "sea_level" else shape
    tests: list[Callable[[str, Series], bool]] = [
        lambda _, series: next(iter(series.values())).shape == needed
    ]
    if beside is not None:
        tests += [
            lambda _, series: series.keys() == beside[1].keys(),
            lambda label, _: _stream(label) == _stream(beside[0]),
        ]
    for test in tests:
        # Where none passes, the reader says what is wrong with the first.
        streams = {k: s for k, s in streams.items() if test(k, s)} or streams
    if len(streams) > 1:
        raise _refusal(run, quantity, streams)
    return next(iter(streams.items()))


def _stream(label: str) -> str:
    """Name of the stream; empty for snapshots."""
    return label.rpartition("/")[0]


def _refusal(run: MdsFolder, quantity: str, streams: dict[str, Series]) -> UserError:
    described = " and ".join(f"{label} ({len(s)} times)" for label, s in streams.items())
    return UserError(
        f"{run.path} has {described}, which could each be the {quantity}: name the one to read in "
        f"the settings as data.ingest.variables.{quantity}."
    )


def _check_steps(run: MdsFolder, temperature: Series, other: Series) -> None:
    only = sorted(set(temperature) ^ set(other))
    if only:
        names = [next(iter(fields.values())).name for fields in (temperature, other)]
        raise UserError(
            f"{run.path} has {names[0]} at {len(temperature)} time steps and {names[1]} at "
            f"{len(other)}, which differ at step {only[0]}: give files of the same steps; sea "
            "level may be left out (variables.sea_level: none)."
        )
