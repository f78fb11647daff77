"""The model card of a released model: a YAML header for programs, and Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from data.parameters import unit_suffix
from data.salinity import salinity_of
from evaluation.captions import length_of_evidence
from evaluation.columns import TRUTH, Value, format_value, in_units_of, table_head
from evaluation.metrics.catalogue import COLUMNS
from evaluation.seeds import at_mean, with_spread
from evaluation.yardsticks import BASELINE, FLOOR, LEADING, PRODUCT, ROW_NAMES, findings
from latent_diffusion.pipeline import StatePipeline

SHOWN = (TRUTH, FLOOR, BASELINE, PRODUCT)
MOST_POINTS = 64  # training members that are listed
DIGITS = 4
NOT_STATED = "not stated"
USE = """\
```sh
halocline sample FOLDER{options} --sampling.members 1 --output state.nc
halocline verify FOLDER
```

```python
from latent_diffusion.pipeline import StatePipeline

pipeline = StatePipeline.from_pretrained("FOLDER")
{at}states = pipeline(members=8, seed=0{arguments})  # an xarray.Dataset, guided and adjusted
```"""


@dataclass(frozen=True)
class Statements:
    """What only the people who publish a model can state.

    licence: SPDX identifier of the licence of the weights; about_data: where the training data
    come from, and their licence; version: of the model
    """

    licence: str = NOT_STATED
    about_data: str = NOT_STATED
    version: str = "1"


def stated(given: Mapping[str, str | None]) -> dict[str, str]:
    """What was given, as one line each."""
    return {name: " ".join(text.split()) for name, text in given.items() if text}


@dataclass(frozen=True)
class Packed:
    """A model that is packed, for its card.

    name, title: of the experiment; archive: name and digest of the training data; metrics: those
    of the run, with its verdict; release: how it was packed, see `evaluation.packing`
    """

    name: str
    title: str
    archive: tuple[str, str]
    metrics: Mapping[str, Any]
    release: Mapping[str, Any]


def packed_card(pipeline: StatePipeline, packed: Packed, statements: Statements) -> str:
    """The card: YAML between two lines of dashes, then Markdown."""
    header = yaml.safe_dump(
        card_header(pipeline, packed, statements),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,  # lists of numbers in a line
        width=96,
    )
    sections = [
        f"# {packed.title}",
        _verdict(packed.metrics["verdict"]),
        _content(pipeline, packed),
        f"## Use\n\nHalocline {packed.release['halocline']} or later must be installed.\n\n"
        + _use(pipeline),
        f"## Data and licence\n\n{_data(packed, statements)}",
        f"## Conditions\n\n{_conditions(pipeline)}",
        f"## Metrics\n\n{_metrics(pipeline, packed.metrics)}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits(pipeline, packed)),
        f"## Weights\n\n{_weights(packed.release)}",
    ]
    return f"---\n{header}---\n\n" + "\n\n".join(sections).rstrip() + "\n"


def card_header(pipeline: StatePipeline, packed: Packed, statements: Statements) -> dict[str, Any]:
    """The card's front matter: what programs look up."""
    metrics, verdict = packed.metrics, packed.metrics["verdict"]
    means = {"rows": at_mean(metrics["rows"], metrics.get("seeds"))}
    return {
        "license": statements.licence,
        "library_name": "halocline",
        "tags": ["ocean", "latent-diffusion", "initial-condition"],
        "model_name": packed.name,
        "version": statements.version,
        "halocline": packed.release["halocline"],
        "fit_to_start_a_model": bool(verdict["fit"]),
        "data": {
            "archive": packed.archive[0],
            "digest": packed.archive[1],
            "states": _sizes(metrics),
            "about": statements.about_data,
            "equation_of_state": pipeline.codec.config.ocean["equation_of_state"],
            "grid": list(pipeline.codec.grid.shape),
        },
        "weights": {key: packed.release[key] for key in ("precision", "encoder", "patterns")},
        "conditions": hull(pipeline),
        "metrics": {
            key: {row: value for row in SHOWN if (value := _rounded(means, row, key)) is not None}
            for key in LEADING
        },
        "limits": limits(pipeline, packed),
    }


def hull(pipeline: StatePipeline) -> dict[str, Any]:
    """Conditions of the training members: their ranges, and their points if they are few."""
    if pipeline.expectation is None:
        return {}
    space = pipeline.expectation.space
    points = space.parameters(pipeline.expectation.points.cpu().double().numpy())
    found: dict[str, Any] = {
        "ranges": {name: [_short(low), _short(high)] for name, (low, high) in space.ranges.items()},
        **({"units": space.units} if space.units else {}),
        "season": space.season,
        "age": space.age,
    }
    members = len(pipeline.expectation.points)
    if members <= MOST_POINTS:
        found["members"] = {name: [_short(v) for v in values] for name, values in points.items()}
    return found


def limits(pipeline: StatePipeline, packed: Packed) -> list[str]:
    """What the model must not be used for, and what its states are known to get wrong."""
    metrics = packed.metrics
    found = [] if metrics["verdict"]["fit"] else list(metrics["verdict"]["reasons"])
    found.append(
        "One ocean model, one grid and one equation of state: states of another need another model."
    )
    if pipeline.expectation is not None:
        found.append(
            "Beyond the ranges of the training members a state is refused without --extrapolate. "
            "Within the ranges, combinations that no member is near are extrapolations, too."
        )
    found.append(
        "States are near equilibrium as far as the training states are; they were not integrated."
        if not metrics.get("integration")
        else "States were integrated for a few years only; see integration in metrics.json."
    )
    return [*found, *findings(at_mean(metrics["rows"], metrics.get("seeds")))]


def _verdict(verdict: Mapping[str, Any]) -> str:
    """The first paragraph: whether the states are fit to start a model."""
    reasons = "\n".join(f"> - {reason}" for reason in verdict["reasons"])
    if verdict["fit"]:
        return f"> Verdict of `halocline evaluate`: fit to start a model.\n>\n{reasons}"
    return (
        "> **The states of this model are NOT fit to start an ocean model**, by the verdict of "
        f"`halocline evaluate`:\n>\n{reasons}"
    )


def _content(pipeline: StatePipeline, packed: Packed) -> str:
    codec = pipeline.codec
    levels, rows, columns = codec.grid.shape
    fields = "temperature and salinity" + ", with sea level" * codec.config.ocean["sea_level"]
    return (
        f"Generates near-equilibrium ocean states ({fields}) on a grid of {levels} levels, {rows} "
        f"rows and {columns} columns, for the equation of state "
        f"`{codec.config.ocean['equation_of_state']}`, in {pipeline.steps} steps. Latent "
        "diffusion, trained and packed by Halocline; all settings are in `experiment.yaml`. All "
        "weights are safetensors; nothing is pickled."
    )


def _use(pipeline: StatePipeline) -> str:
    """How to draw states: in the middle of the ranges of conditions, about the expected mean."""
    if pipeline.expectation is None:
        return USE.format(options="", at="", arguments="")
    space, middle = pipeline.expectation.space, {}
    for name, (low, high) in space.ranges.items():
        value = (low * high) ** 0.5 if space.scales[name] == "log" else (low + high) / 2
        middle[name] = float(f"{value:.2g}")
    options = "".join(f" --at {name}={value:g}" for name, value in middle.items())
    lines = "".join(f'    "{name}": {value},\n' for name, value in middle.items())
    return USE.format(
        options=f"{options} --certain",
        at=f"at = {{\n{lines}}}\n",
        arguments=", at=at, certain=True",
    )


def _data(packed: Packed, statements: Statements) -> str:
    name, digest = packed.archive
    sizes = ", ".join(f"{count} {of}" for of, count in _sizes(packed.metrics).items())
    return (
        f"Trained on `{name}` (digest {digest}; {sizes}). About the data: {statements.about_data}. "
        f"Licence of the weights: {statements.licence}. Version of the model: "
        f"{statements.version}."
    )


def _conditions(pipeline: StatePipeline) -> str:
    if pipeline.expectation is None:
        return "None: all states are drawn alike."
    space = pipeline.expectation.space
    rows = [
        f"| {name} | {format_value(low)} to {format_value(high)}"
        f"{unit_suffix(name, space.units)} | {space.scales[name]} |"
        for name, (low, high) in space.ranges.items()
    ]
    rows += ["| season | 0 to 1, fraction of the year | periodic |"] * space.season
    rows += ["| age | years since the parameters changed; default: equilibrium | |"] * space.age
    listed = " `conditions.members` in the header lists their points."
    return (
        f"Learned from {len(pipeline.expectation.points)} members."
        + listed * (len(pipeline.expectation.points) <= MOST_POINTS)
        + "\n\n"
        + "\n".join(["| condition | training members | scale |", "|---|---|---|", *rows])
    )


def _metrics(pipeline: StatePipeline, metrics: Mapping[str, Any]) -> str:
    """The leading metrics of `SHOWN`, a row for each metric, and what integrations found."""
    salinity = salinity_of(pipeline.codec.config.ocean["equation_of_state"])
    columns = {column.key: column for column in in_units_of(salinity, COLUMNS)}
    lines = [f"| metric | {' | '.join(ROW_NAMES[row] for row in SHOWN)} |", "|---" * 5 + "|"]
    for key in LEADING:
        column = columns[key]
        name = f"{column.name} [{column.unit}]" if column.unit else column.name
        values = " | ".join(_cell(metrics, row, key) for row in SHOWN)
        lines.append(f"| {name} | {values} |")
    text = f"Of the run's evaluation{_with_seeds(metrics)}; all numbers are in `metrics.json`."
    text += "\n\n" + "\n".join(lines)
    starts = (metrics.get("integration") or {}).get("by_start")
    return text if not starts else f"{text}\n\n{_integrations(starts)}"


def _cell(metrics: Mapping[str, Any], row: str, key: str) -> str:
    """A value of the table; of several sampling seeds mean and standard deviation."""
    shown = with_spread({key: _number(metrics, row, key)}, _seeds(metrics, row))
    return format_value(shown[key])


def _seeds(metrics: Mapping[str, Any], row: str) -> Mapping[str, Any] | None:
    return metrics.get("seeds") if row == PRODUCT else None


def _with_seeds(metrics: Mapping[str, Any]) -> str:
    found = _seeds(metrics, PRODUCT)
    if not found:
        return ", of one sampling seed"
    return f", with mean ± standard deviation over {len(found['seeds'])} sampling seeds"


def _integrations(starts: Mapping[str, Mapping[str, Value]]) -> str:
    from evaluation.report import INTEGRATION_COLUMNS

    shown = [c for c in INTEGRATION_COLUMNS if any(c.key in row for row in starts.values())]
    rows = [
        f"| {name.replace('_', ' ')} | "
        + " | ".join(format_value(row.get(column.key)) for column in shown)
        + " |"
        for name, row in starts.items()
    ]
    text = f"Integrations of the ocean model, by start. {length_of_evidence(starts)}".rstrip()
    return f"{text}\n\n" + "\n".join([*table_head(shown), *rows])


def _weights(release: Mapping[str, Any]) -> str:
    """How the weights were made smaller, and what this changes in states."""
    parts = [f"Precision of the weights: {release['precision']}."]
    if release["precision"] != "float32":
        parts.append(
            "Those of autoencoder, Gaussian and expectation are float16; statistics, grid, means "
            "and regressions are not rounded. All are computed with in float32."
        )
    if not release["encoder"]:
        parts.append("Without the encoder, which drawing states does not need.")
    change = release.get("change")
    if change:
        parts.append(
            f"In {change['states']} states of the same noise this changes T by "
            f"{change['temperature_rms_K']:.2g} K (rms; at most "
            f"{change['temperature_largest_K']:.2g} K) and S by {change['salinity_rms']:.2g} (at "
            f"most {change['salinity_largest']:.2g}). The states themselves differ from each other "
            f"by {change['temperature_spread_K']:.2g} K and {change['salinity_spread']:.2g}."
        )
    return " ".join(parts)


def _sizes(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Numbers of states by part, from the checks of the verdict."""
    checks: Sequence[Mapping[str, Any]] = metrics["verdict"].get("checks", [])
    return {c["name"]: int(c["value"]) for c in checks if c["name"].endswith(" states")}


def _number(metrics: Mapping[str, Any], row: str, key: str) -> float | None:
    value = metrics["rows"].get(row, {}).get(key)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _rounded(metrics: Mapping[str, Any], row: str, key: str) -> float | None:
    value = _number(metrics, row, key)
    return None if value is None else _short(value)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
