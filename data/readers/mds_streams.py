"""Which of a run's MDS files is which quantity: snapshots and streams of diagnostics."""

from __future__ import annotations

from data.errors import UserError
from data.readers.base import Variables
from data.readers.mds import MdsField, MdsFolder
from data.readers.variables import NONE

Series = dict[int, MdsField]

# Names of snapshots and of diagnostics.
_FIELDS = {"temperature": ("T", "THETA"), "salinity": ("S", "SALT"), "sea_level": ("Eta", "ETAN")}


def choose_streams(
    run: MdsFolder, names: Variables, *, shape: tuple[int, ...]
) -> dict[str, Series]:
    """Fields by time step, keyed by quantity; sea level only if present.

    shape: `z y x` of the grid. Of several streams those of the needed dimensions remain, then those
    at the time steps of temperature. Raises UserError if two remain, which `variables` may tell
    apart as "stream/FIELD", or if a quantity is missing.
    """
    other = set(names.model_dump(exclude_none=True)) - set(_FIELDS)
    if other:
        raise UserError(
            f"variables.{min(other)} cannot be set for MITgcm's binary files: the grid is always "
            "read from hFacC, XC, YC, RC, DRF and RAC."
        )
    found: dict[str, Series] = {}
    for quantity in _FIELDS:
        series = _choose(run, quantity, getattr(names, quantity), shape, found.get("temperature"))
        if series is not None:
            found[quantity] = series
    return found


def _choose(
    run: MdsFolder,
    quantity: str,
    given: str | None,
    shape: tuple[int, ...],
    temperature: Series | None,
) -> Series | None:
    if quantity == "sea_level" and given == NONE:
        return None
    wanted = (given,) if given else _FIELDS[quantity]
    streams = {label: series for name in wanted for label, series in run.series(name).items()}
    if not streams and (given or quantity != "sea_level"):
        raise UserError(
            f"{run.path} has no {quantity} {' or '.join(wanted)}: it has "
            f"{', '.join(run.fields) or 'no fields over time'}; name it in the settings as "
            f"variables.{quantity}."
        )
    needed = shape[1:] if quantity == "sea_level" else shape
    fitting = {k: s for k, s in streams.items() if next(iter(s.values())).shape == needed}
    # Without a stream of the grid's cells, the reader says what cells the first has.
    fitting = fitting or dict(list(streams.items())[:1])
    if temperature is not None:
        simultaneous = {k: s for k, s in fitting.items() if s.keys() == temperature.keys()}
        fitting = simultaneous or fitting
    if len(fitting) > 1:
        described = " and ".join(f"{label} ({len(s)} times)" for label, s in fitting.items())
        raise UserError(
            f"{run.path} has {described}, which could each be the {quantity}: name the one to read "
            f"in the settings as variables.{quantity}."
        )
    series = next(iter(fitting.values()), None)
    if series is not None and temperature is not None:
        _check_steps(run, temperature, series)
    return series


def _check_steps(run: MdsFolder, temperature: Series, other: Series) -> None:
    only = sorted(set(temperature) ^ set(other))
    if only:
        names = [next(iter(fields.values())).name for fields in (temperature, other)]
        raise UserError(
            f"{run.path} has {names[0]} at {len(temperature)} time steps and {names[1]} at "
            f"{len(other)}, which differ at step {only[0]}: give files of the same steps."
        )
