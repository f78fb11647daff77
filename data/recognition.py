"""Which model wrote files, which of them hold states, and which equation of state they name.

Only headers are read. How the files are read, and whether they are sound, is the readers' matter.

Why not cf_xarray (0.11): of the six conventions in the tests it finds temperature and salinity in
one, by standard name, and no sea level, land or thickness; the readers' own names find all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from data.documents import read_text
from data.equations import EQUATIONS
from data.errors import UserError
from data.findings import Finding
from data.kinds import ABSOLUTE, CONSERVATIVE, POTENTIAL, PRACTICAL, stated_kind
from data.paths import matching
from data.readers.cf import open_dataset
from data.readers.dimensions import is_time
from data.readers.quantities import QUANTITIES
from data.readers.settings import Variables
from data.readers.variables import main_quantities
from data.units import is_per_mass
from data.urls import is_url


@dataclass(frozen=True)
class Recognised:
    """Files of one model.

    states: the files with temperature, salinity or sea level, and grids that join them
    options: settings that the reader needs for them
    fields: attributes of all variables of temperature and salinity, by quantity and name
    attributes: global attributes of the first file
    """

    reader: Finding
    states: list[Path]
    options: dict[str, Finding] = field(default_factory=dict)
    fields: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


_NEMO_RESTART = {"tn", "sn"}
_NEMO_MESH = {"tmask", "e1t", "e3t_0", "e3t_1d", "bottom_level", "mbathy", "top_level"}
_MESH_NAMES = ("*mesh_mask*.nc", "*domain_cfg*.nc")
_VEROS = {"temp", "salt", "zt", "yt", "xt", "dzt"}
_MITGCM = {"hFacC", "hfac", "drF", "THETA", "SALT", "Eta", "ETAN", "Depth", "rA"}
_TIME_STEP = re.compile(r"^\s*deltaT(?:ClocK|Clock|clock|tracer)?\s*=\s*([\d.eEdD+-]+)", re.M)


def recognised(paths: Sequence[Path], names: Variables) -> Recognised:
    """What `paths` are; `names` of variables as given.

    Raises UserError if one cannot be read, or if none holds states.
    """
    folders = _mds_folders(paths)
    if folders:
        why = "folder of .data and .meta files"
        return Recognised(Finding("mitgcm-mds", why), folders, _time_step(folders[0]))
    if all(path.suffix == ".h5" for path in paths):
        return _veros_restarts(paths)
    with ExitStack() as stack:
        files = {
            path: stack.enter_context(open_dataset(path)) for path in paths if path.suffix != ".h5"
        }
        return _of_headers(files, names)


def _of_headers(files: Mapping[Path, xr.Dataset], given: Variables) -> Recognised:
    restarts = [path for path, file in files.items() if {*map(str, file)} >= _NEMO_RESTART]
    output = [path for path, file in files.items() if main_quantities(file, given)]
    states = [path for path in output if path not in restarts] or restarts
    if not states:
        first, names = next((path, file.variables) for path, file in files.items())
        raise UserError(
            f"{first} has neither temperature nor salinity by any known name: found "
            f"{', '.join(map(str, names))}; name them with --set variables.temperature=NAME and "
            "--set variables.salinity=NAME."
        )
    reader = _reader(files, states)
    options = {}
    grids = [path for path in files if path not in states and _is_constant(files[path])]
    if reader.value == "nemo":
        options = _mesh_mask(states, [path for path in grids if _is_mesh(files[path])])
        grids = []
    headers = [files[path] for path in states]
    return Recognised(reader, [*states, *grids], options, _tracers(headers), dict(headers[0].attrs))


def _is_constant(file: xr.Dataset) -> bool:
    """Whether a file has no variable over time."""
    return not any(
        is_time(variable, str(dim)) and size > 1
        for variable in file.data_vars.values()
        for dim, size in variable.sizes.items()
    )


def _is_mesh(file: xr.Dataset) -> bool:
    return len(_NEMO_MESH & {*map(str, file.variables)}) > 1


def _reader(files: Mapping[Path, xr.Dataset], states: Sequence[Path]) -> Finding:
    file = files[states[0]]
    names = {*map(str, file.variables)}
    text = " ".join(f"{key} {value}" for key, value in file.attrs.items()).lower()
    if names >= _VEROS:
        return Finding("veros", "snapshots of Veros")
    if names & {"nav_lon", "nav_lat"} or names >= _NEMO_RESTART:
        return Finding("nemo", "nav_lon, nav_lat" if "nav_lon" in names else "a restart of NEMO")
    if "mitgcm" in text or len(names & _MITGCM) > 1:
        return Finding("mitgcm", "names or attributes of MITgcm")
    return Finding("cf", "CF files of any model")


def _mesh_mask(states: Sequence[Path], given: Sequence[Path]) -> dict[str, Finding]:
    """The mesh mask among the files, or beside them."""
    folder = states[0].parent
    beside = (sorted(folder.glob(name)) for name in _MESH_NAMES)
    found = list(given) or next((paths for paths in beside if paths), [])
    if not found:
        return {}
    pattern = pattern_of(found, [])
    value = pattern[0] if len(pattern) == 1 else pattern
    return {"mesh_mask": Finding(value, "grid, land and thickness")}


def _veros_restarts(paths: Sequence[Path]) -> Recognised:
    snapshots = sorted(paths[0].parent.glob("*snapshot*.nc"))
    options = {}
    if snapshots:
        options = {"grid_files": Finding(str(snapshots[0]), "restarts have no grid")}
    return Recognised(Finding("veros", "restarts of Veros"), list(paths), options)


def _mds_folders(paths: Sequence[Path]) -> list[Path]:
    """The folders with MITgcm's binary files; empty if the paths are something else."""
    folders = [
        path if path.is_dir() else path.parent
        for path in paths
        if path.suffix in (".data", ".meta") or (path.is_dir() and any(path.glob("*.meta")))
    ]
    return list(dict.fromkeys(folders))


def _time_step(folder: Path) -> dict[str, Finding]:
    """The tracer time step of MITgcm's parameter file `data`, for files without time."""
    parameters = folder / "data"
    found = _TIME_STEP.search(read_text(parameters)) if parameters.is_file() else None
    if found is None:
        return {}
    seconds = float(re.sub("[dD]", "e", found[1]))
    return {"time_step": Finding(seconds, "seconds, by the file `data` of the run")}


def _tracers(files: Iterable[xr.Dataset]) -> dict[str, dict[str, dict[str, Any]]]:
    fields: dict[str, dict[str, dict[str, Any]]] = {"temperature": {}, "salinity": {}}
    for file in files:
        for name, variable in file.variables.items():
            for quantity, found in fields.items():
                known = QUANTITIES[quantity].rank(str(name), variable) < 4
                if variable.ndim > 2 and (known or _kind_of(name, variable) in _KINDS[quantity]):
                    found[str(name)] = dict(variable.attrs)
    return fields


_KINDS = {"temperature": (POTENTIAL, CONSERVATIVE), "salinity": (PRACTICAL, ABSOLUTE)}


def _kind_of(name: object, variable: xr.Variable) -> str | None:
    return stated_kind(str(name), variable.attrs)


# Global attributes that name an equation, and what their text means; the first match counts.
_NAMING = re.compile(r"(?<![a-z])eos(?![a-z])|equation[_ ]?of[_ ]?state|eq_of_state", re.I)
_MEANING = {
    r"jmd[- ]?95|jackett": "jmd95",
    r"s-?eos|simplified": "nemo-seos",
    r"teos": "nemo-teos10",
    r"eos-?80": "nemo-eos80",
    r"^linear": "linear",
}
_DEFAULTS = {"mitgcm": "jmd95", "mitgcm-mds": "jmd95", "veros": "veros-linear"}
_OTHERS = {
    "cf": "jmd95, nemo-seos or another of the same kinds",
    "nemo": "nemo-seos (ln_seos), nemo-eos80 (ln_eos80) or nemo-teos10 (ln_teos10)",
    "veros": "eq_of_state_type 1 to 5: veros-linear, -nonlinear1, -vallis, -nonlinear3, -gsw",
}


def equation_of_state(found: Recognised) -> Finding:
    """The equation of state by the global attributes, else by the kinds of T and S.

    Where these leave it open it is the customary one of the model, to be checked.
    """
    for name, value in found.attributes.items():
        if _NAMING.search(str(name)) and (equation := _named(str(value))):
            return Finding(equation, f"by the global attribute {name}")
    model = str(found.reader.value)
    kinds = {
        quantity: {stated_kind(name, attributes) for name, attributes in fields.items()}
        for quantity, fields in found.fields.items()
    }
    stated = {kind for both in kinds.values() for kind in both} - {None}
    # A model that knows conservative temperature computes with it.
    if stated & {CONSERVATIVE, ABSOLUTE}:
        equation = "veros-gsw" if model == "veros" else "nemo-teos10"
    else:
        equation = _DEFAULTS.get(model, "nemo-eos80")
    choice = f"; or {_OTHERS[model]}" if model in _OTHERS else ""
    settled = all(both & {*_KINDS[quantity]} for quantity, both in kinds.items())
    if settled:
        kind = " and ".join(sorted(map(str, stated)))
        return Finding(equation, f"T and S are {kind}, as the files state{choice}", bool(choice))
    return Finding(equation, f"the files do not state the kinds of T and S{choice}", True)


def _named(text: str) -> str | None:
    if text in EQUATIONS:
        return text
    meanings = (name for pattern, name in _MEANING.items() if re.search(pattern, text, re.I))
    return next(meanings, None)


def salinity_units(found: Recognised) -> Finding | None:
    """g/kg where salinity states that it is absolute or in such units; None for practical."""
    for name, attributes in found.fields.get("salinity", {}).items():
        units = str(attributes.get("units", ""))
        if stated_kind(name, attributes) == ABSOLUTE or is_per_mass(units):
            return Finding("g/kg", f"{name} is absolute or in {units or 'g/kg'}")
    return None


def pattern_of(paths: Sequence[Path], patterns: Sequence[str]) -> list[str]:
    """As few patterns as match exactly these paths, those given where they do.

    Patterns that match other files too are narrowed to the common ends of the names.
    """
    wanted, kept = {*paths}, []
    for pattern in patterns:
        matches = {*matching(pattern)}
        if matches <= wanted:
            kept.append(str(pattern))
            wanted -= matches
    left = [path for path in paths if path in wanted]
    if len(left) > 1 and not any(is_url(path) for path in left):
        common = _common_pattern(left)
        if common and matching(common) == left:  # the order of files is that of time
            return [*kept, common]
    return [*kept, *map(str, left)]


def _common_pattern(paths: Sequence[Path]) -> str | None:
    if len({path.parent for path in paths}) > 1:
        return None
    names = [path.name for path in paths]
    start = _common_start(names)
    end = _common_start([name[len(start) :][::-1] for name in names])[::-1]
    return str(paths[0].parent / f"{start}*{end}")


def _common_start(words: Sequence[str]) -> str:
    first, last = min(words), max(words)
    same = (index for index, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1)
    return first[: next(same, min(len(first), len(last)))]
