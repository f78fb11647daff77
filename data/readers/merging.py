"""Several files of one output, joined by variable: T in one, S in another, the grid in a third."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from data.errors import UserError
from data.readers.dimensions import is_time, same_values
from data.readers.quantities import QUANTITIES
from data.readers.settings import Variables
from data.readers.variables import find_temperature, main_quantities

_TRACERS = {"temperature", "salinity"}
# Words of file names that tell variables apart, beside the names of the variables.
_WORDS = {"t", "s", "ssh", "temperature", "salinity", "sea", "level"}


@dataclass
class _Group:
    """Files that are opened together; as one output when the others have joined them."""

    paths: list[Path]
    quantities: frozenset[str]
    variables: set[str]
    times: tuple[float, ...]
    joined: list[_Group] = field(default_factory=list)

    @property
    def complete(self) -> frozenset[str]:
        """Quantities of the group and of those that joined it."""
        return self.quantities.union(*(other.quantities for other in self.joined))

    def name(self, *, whole_path: bool) -> tuple[str, ...]:
        """What remains of the file's name without the words that tell variables apart."""
        text = str(self.paths[0]) if whole_path else self.paths[0].name
        known = {name for quantity in QUANTITIES.values() for name in quantity.customary}
        words = re.split(r"[/_.\-]+", text.lower())
        return tuple(w for w in words if w not in self.variables | known | _WORDS)


def grouped_by_output(
    groups: Sequence[list[Path]], open_group: Callable[[list[Path]], xr.Dataset], names: Variables
) -> list[list[Path]]:
    """The groups of files, those that hold parts of one output joined.

    open_group: opens one group. A group with temperature is an output. One without joins the
    output of the same file name, apart from the variable's; else of the same times; else the
    only one. A group without any time is a grid and joins every output. Raises UserError if it is
    unclear which output a group belongs to.
    """
    if len(groups) < 2:
        return list(groups)
    described = [_describe(paths, open_group, names) for paths in groups]
    if all(group.quantities >= _TRACERS for group in described):
        return list(groups)
    outputs = [group for group in described if "temperature" in group.quantities]
    for group in described:
        if group.quantities and "temperature" not in group.quantities and outputs:
            _home(group, outputs).joined.append(group)
    grids = [group for group in described if not group.quantities]
    for group in grids:
        _check_grid(group, open_group, names)
    for group in outputs:
        group.joined += grids
    return [
        [path for part in (group, *group.joined) for path in part.paths] for group in outputs
    ] or list(groups)


def merged(datasets: Sequence[xr.Dataset], paths: Sequence[Path]) -> xr.Dataset:
    """One dataset with the variables of all, read when indexed.

    Raises UserError if two files differ in a variable or in the length of a dimension.
    """
    first = datasets[0]
    if len(datasets) == 1:
        return first
    whole = first
    for path, other in zip(paths[1:], datasets[1:], strict=True):
        _check_sizes(whole, other, paths[0], path)
        new = {}
        for name, variable in other.variables.items():
            if name not in whole.variables:
                new[name] = variable
            elif not _repeats(whole.variables[name], variable):
                raise UserError(
                    f"{path} has another {name} than {paths[0]}: expected files of one output, "
                    "which share their grid and their times; give the files that belong together."
                )
        whole = whole.assign(new).assign_attrs({**other.attrs, **whole.attrs})

    def close() -> None:
        for dataset in datasets:
            dataset.close()

    whole.set_close(close)
    return whole


def _check_grid(
    group: _Group, open_group: Callable[[list[Path]], xr.Dataset], names: Variables
) -> None:
    """Refuse a file with fields over time that are neither temperature, salinity nor sea level."""
    with open_group(group.paths) as dataset:
        over_time = [
            variable
            for variable in dataset.data_vars.values()
            if variable.ndim > 2
            and any(is_time(variable, str(d)) and n > 1 for d, n in variable.sizes.items())
        ]
        if over_time:
            find_temperature(dataset, group.paths[0], names)  # says what it misses


def _describe(
    paths: list[Path], open_group: Callable[[list[Path]], xr.Dataset], names: Variables
) -> _Group:
    with open_group(paths) as dataset:
        quantities = main_quantities(dataset, names)
        variables = {str(name).lower() for name in dataset.data_vars}
        times = [
            tuple(np.ravel(dataset[dim].values).tolist())
            for dim in map(str, dataset.dims)
            if dim in dataset.variables and is_time(dataset[dim], dim)
        ]
    return _Group(paths, quantities, variables, times[0] if times else ())


def _home(group: _Group, outputs: list[_Group]) -> _Group:
    """The output that a group without temperature belongs to."""
    free = [output for output in outputs if not output.complete & group.quantities]
    tests: list[Callable[[_Group], object]] = [
        lambda g: g.name(whole_path=True),
        lambda g: g.name(whole_path=False),
        lambda g: g.times,
        lambda g: None,
    ]
    for test in tests:
        alike = [output for output in free if test(output) == test(group)]
        if len(alike) == 1:
            return alike[0]
    candidates = ", ".join(str(output.paths[0]) for output in outputs)
    quantities = " and ".join(sorted(group.quantities)).replace("_", " ")
    raise UserError(
        f"{group.paths[0]} has {quantities} but no temperature, and "
        f"which of {candidates} it belongs to is unclear: name the files of one output alike "
        "except for the variable, or merge them."
    )


def _check_sizes(first: xr.Dataset, other: xr.Dataset, path: Path, other_path: Path) -> None:
    for dim, size in other.sizes.items():
        if first.sizes.get(dim, size) != size:
            raise UserError(
                f"{other_path} has {size} {dim}, {path} {first.sizes[dim]}: expected files of one "
                "output, with the same cells and times; give the files that belong together."
            )


def _repeats(one: xr.Variable, other: xr.Variable) -> bool:
    """Whether both hold the same; of large variables over time the first record is compared."""
    if one.ndim > 3 and other.ndim > 3 and one.shape == other.shape:
        one, other = one[0], other[0]
    return same_values(one, other)
