"""Drafts the YAML of an experiment from the files of its ocean: `halocline init`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from configs.loading import checked, merged
from configs.schema import Experiment
from data.atomic import atomic_write
from data.errors import UserError, shown
from data.findings import Finding
from data.keys import keys, suggestion
from data.lazily import lazily
from data.paths import CHECK_PATTERN, check_matches
from data.yaml_text import parse

if TYPE_CHECKING:
    from data.inspection import Inspection

_NAME = re.compile(r"[A-Za-z0-9]\w*(?:[.-]\w+)*")
_COMPRESSION = 33  # numbers of a state for each of its latent, as in the shipped configurations
_MANY_COLUMNS, _MANY_CELLS = 100_000, 1_000_000
_LONGEST_TITLE = 70
_LOSSES = (
    "{kl: 1.0e-3, stratification: 0.2, created_instability: 1.0, latent_jitter: 0.2, "
    "spectral: 0.02}"
)
_FEWEST_CELLS = 12  # along a side, so that patches of 4 leave more than two latent cells
_ORDER = (
    *("reader", "files", "mesh_mask", "grid_files", "time_step", "variables"),
    *("equation_of_state", "salinity_units", "temperature_units", "depth_positive"),
    *("calendar", "time_units", "drop_columns", "periodic_x", "one_member", "drop_overlap"),
)


def init(*, name: str, files: Sequence[str], settings: Sequence[str] = ()) -> Path:
    """Inspect files of model output and write `NAME.yaml`, which describes an experiment on them.

    files: paths or patterns; settings: of `data.ingest` as KEY=VALUE, which the files do not state

    Raises `UserError` if the file or the run directory of that name exists, and as
    `data.inspection.inspect` does. Nothing is then written.
    """
    name = name.removesuffix(".yaml")
    path = Path(f"{name}.yaml")
    _check_free(name, path)
    given = given_settings(settings)
    check_matches(files, advice=CHECK_PATTERN)
    found = lazily("data.inspection:inspect")(files, given=given)
    text = draft(name, found)
    checked(parse(text), Experiment, source=str(path))
    with atomic_write(path) as partial:
        partial.write_text(text)
    print("\n".join(_told(path, found)))
    return path


def _check_free(name: str, path: Path) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{shown(name)} is no name of an experiment: expected letters, digits, _, - and ., as "
            "in my_ocean; the file is written in the present folder"
        )
    if path.exists():
        raise UserError(f"{path} exists; choose another name, or remove it")
    if _run_directory(name).exists():
        raise UserError(
            f"{_run_directory(name)} exists and may hold another experiment; choose another name"
        )


def _run_directory(name: str) -> Path:
    return Path("runs") / name


def given_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Nested settings of `data.ingest` from words such as variables.salinity=salt."""
    given: dict[str, Any] = {}
    for word in settings:
        key, sign, value = word.partition("=")
        if not (key and sign and value):
            raise UserError(f"found --set {shown(word)}; expected KEY=VALUE, as in time_step=3600")
        try:
            nested: Any = parse(value)
        except yaml.YAMLError as error:
            raise UserError(f"the value of --set {shown(word)} is not valid YAML") from error
        key = key.removeprefix("data.ingest.")
        _check_known(key)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        given = merged(given, nested)
    return given


def _check_known(key: str) -> None:
    """Raise `UserError` for a key that no reader has; other mistakes are found by the reader."""
    whole = f"data.ingest.{key}"
    if key.startswith("parameters."):
        raise UserError(
            f"--set {key}: units of parameters are set together: "
            f"--set 'parameters={{{key.partition('.')[2]}: UNIT}}'"
        )
    if whole not in set(keys(Experiment)):
        raise UserError(f"--set {key}: no such key of data.ingest{suggestion(whole, Experiment)}")


def draft(name: str, found: Inspection) -> str:
    """The YAML of an experiment, a comment on each line; the first names the schema for editors."""
    lines = [
        "# yaml-language-server: $schema=experiment.schema.json",
        "# For editors that complete settings: halocline schema > experiment.schema.json",
        f"# Drafted by `halocline init` from {_counted(found)}. Correct what is marked CHECK.",
        *(f"# CHECK: {note}." for note in found.notes),
        *_header(name, found),
        *_ingest(found),
        *_networks(found),
    ]
    return "\n".join(lines) + "\n"


def _header(name: str, found: Inspection) -> Iterator[str]:
    title = found.title if 0 < len(found.title) <= _LONGEST_TITLE else name.replace("_", " ")
    yield _line(0, "name", Finding(name, "names the experiment in its products"))
    yield _line(0, "title", Finding(title, "heads the report"))
    yield _line(0, "run_directory", Finding(str(_run_directory(name)), "all products"))
    yield "data:  # the states to learn from"
    yield _line(
        1, "archive", Finding(f"{_run_directory(name)}/states.zarr", "made by `halocline ingest`")
    )


def _ingest(found: Inspection) -> Iterator[str]:
    yield "  ingest:  # how the archive is made: files, what they hold, and the split"
    known = found.settings
    others = [key for key in known if key not in (*_ORDER, "split")]
    for key in (*_ORDER, *others, "split"):
        if key in known:
            yield _line(2, key, known[key])


def _networks(found: Inspection) -> Iterator[str]:
    """Sizes of the networks and lengths of their training.

    Latents compress the state as much as in the shipped configurations, and patches keep the latent
    grid small. The fewer independent states there are, the sooner a longer training learns them by
    heart, so that the numbers of samples grow with them.
    """
    levels, rows, columns = found.grid.shape
    patch = _patch(rows, columns)
    latents = _latent_channels((2 * levels + found.sea_level) * patch**2, found)
    worth = max(found.independent.values())
    width = 128 if rows * columns > _MANY_COLUMNS else 192
    batch = 4 if found.grid.wet.size > _MANY_CELLS else 8
    wide = "[96, 192]" if worth > 150 else "[64, 128]"
    yield "autoencoder:  # compresses states into maps of latents"
    yield f"  patch: {patch}  # columns along a side of what the first layer joins"
    yield f"  latent_channels: {latents}  # maps of latents"
    yield f"  channels: [{width}]  # width of the network; less memory: fewer"
    yield "  linear_path: true  # principal components; the network learns the rest"
    yield f"  losses: {_LOSSES}  # weights"
    yield (
        f"  training: {{samples: {_samples(worth, 4000, 80, 20000)}, batch_size: {batch}, "
        f"warmup_samples: 500}}  # for about {worth:.0f} independent states; for more, more"
    )
    yield "diffusion:  # draws latents"
    yield f"  channels: {wide}  # width of each stage of the denoiser"
    yield "  dropout: 0.1  # against learning few states by heart"
    yield "  noise_emphasis: 2.0  # large scales are settled at high noise"
    samples = _samples(worth, 8000, 120, 30000)
    yield f"  training: {{samples: {samples}, batch_size: 16}}  # likewise"
    yield "sampling: {members: 64, batch_size: 8, steps: 30}  # states to draw"


def _patch(rows: int, columns: int) -> int:
    if rows * columns > _MANY_COLUMNS:
        return 8
    return 4 if min(rows, columns) >= _FEWEST_CELLS else 2


def _latent_channels(numbers: int, found: Inspection) -> int:
    """For `numbers` of the state in a patch, in steps of 8; 64 where many members differ."""
    if len(found.states) > 8:
        return 64
    return min(max(8 * round(numbers / _COMPRESSION / 8), 8), 64)


def _samples(independent: float, fewest: int, each: int, most: int) -> int:
    return int(min(fewest + each * independent, most) // 1000 * 1000)


def _line(depth: int, key: str, finding: Finding) -> str:
    """`key: value  # why`, as YAML."""
    value = yaml.safe_dump(
        [finding.value], default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    ).strip()[1:-1]
    check = "CHECK: " if finding.check else ""
    return f"{'  ' * depth}{key}: {value}  # {check}{finding.why}"


def _counted(found: Inspection) -> str:
    count = len(found.states)
    levels, rows, columns = found.grid.shape
    members = f" of {count} members" if count > 1 else ""
    return f"{sum(found.states)} states{members}, {columns} x {rows} x {levels} cells"


def _told(path: Path, found: Inspection) -> Iterator[str]:
    yield f"wrote {path}: {_counted(found)}"
    counts = [f"{count:.0f} ({level})" for level, count in found.independent.items()]
    judged, total = found.judged, sum(found.states)
    some = f" (by {judged} of {total} states; ingest counts in all)" if judged < total else ""
    yield f"independent states, about: {', '.join(counts)}{some}"
    for key, finding in found.settings.items():
        if finding.check:
            yield f"check {key}: {finding.value} ({finding.why})"
    yield from (f"check: {note}" for note in found.notes)
    yield f"next: halocline ingest {path}"
