"""One self-contained HTML page about a set of samples, to keep or to mail."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from data.atomic import atomic_write

Value = float | int | str | None
Table = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True)
class Column:
    """A quantity: its key, readable name, unit, and how to read it."""

    key: str
    name: str
    unit: str = ""
    meaning: str = ""


COLUMNS = (
    Column("states", "states", "", "number of states judged"),
    Column(
        "density_error_percent", "density error", "%",
        "wet volume whose water is heavier than the water below it by more than 0.001 kg/m³ "
        "(locally referenced, the data's equation of state); target: the truth's value",
    ),
    Column(
        "density_error_strict_percent", "density error, strict", "%",
        "the same without a threshold; includes the rounding of stored fields",
    ),
    Column(
        "density_error_surface_teos10_percent", "density error, surface TEOS-10", "%",
        "as in Meunier et al. (2025): TEOS-10 polynomial referenced to the surface, no threshold; "
        "counts deep water that is stable in situ, so only comparison with the truth has a meaning",
    ),
    Column(
        "near_neutral_pairs_percent", "near-neutral pairs", "%",
        "pairs of neighbouring cells within 0.001 kg/m³; lower than the truth: mixed layers were "
        "stratified",
    ),
    Column(
        "mixed_layer_depth_mean_m", "mixed layer, mean", "m",
        "σ₀ 0.03 kg/m³ above the top level, mean over area and states",
    ),
    Column("mixed_layer_depth_p90_m", "mixed layer, 90th percentile", "m", "of area and states"),
    Column(
        "mixed_layer_depth_bias_m", "mixed layer, bias", "m",
        "mean less that of the truth; negative: restratified",
    ),
    Column(
        "variance_ratio_surface_temperature", "variance ratio, surface T", "",
        "variance over the states, generated / truth; 1 is right, less is lost diversity",
    ),
    Column(
        "variance_ratio_surface_salinity", "variance ratio, surface S", "",
        "variance over the states, generated / truth; 1 is right, less is lost diversity",
    ),
    Column(
        "w1_temperature_K", "W₁ of T", "K",
        "Wasserstein distance of the values at a level, mean over depth; 0 is best",
    ),
    Column(
        "w1_salinity", "W₁ of S", "10⁻³",
        "Wasserstein distance of the values at a level, mean over depth; 0 is best",
    ),
    Column(
        "mean_profile_error_temperature_K", "mean-profile error of T", "K",
        "rms over depth of the bias of the horizontal and ensemble mean; 0 is best",
    ),
    Column(
        "mean_profile_error_salinity", "mean-profile error of S", "10⁻³",
        "rms over depth of the bias of the horizontal and ensemble mean; 0 is best",
    ),
    Column(
        "spectra_ratio_small_scales", "small-scale power", "",
        "power of T anomalies in the shortest zonal waves, generated / truth; below 1: too smooth",
    ),
    Column(
        "nearest_neighbour_ratio", "nearest neighbour", "",
        "distance to the nearest training state, generated / held-out; far below 1: copies",
    ),
)  # fmt: skip

INTEGRATION_COLUMNS = (
    Column("members", "members", "", "integrations"),
    Column("years", "length", "years", "of each integration"),
    Column("blown_up", "blown up", "", "runs that did not reach the end; target: 0"),
    Column("drift_K", "drift", "K", "rms over depth of the change of level-mean T, start to end"),
    Column("drift_ratio_to_truth", "drift / truth", "", "1: as settled as the model's own states"),
    Column("mean_temperature_drift_K", "mean T drift", "K", "change of volume-mean temperature"),
    Column("mean_salinity_drift", "mean S drift", "10⁻³", "change of volume-mean salinity"),
    Column(
        "final_kinetic_energy_m2_s2", "final kinetic energy", "m²/s²",
        "volume mean at the end; near the truth's: currents have spun up alike",
    ),
)  # fmt: skip

_CSS = """
body { font: 15px/1.5 Georgia, serif; color: #1d2733; max-width: 1200px; margin: 2em auto;
       padding: 0 1.5em; }
h1, h2 { font-weight: normal; color: #0b3c5d; } h1 { border-bottom: 2px solid #0b3c5d; }
table { border-collapse: collapse; font: 13px/1.4 Helvetica, Arial, sans-serif; margin: 1em 0; }
th, td { padding: .35em .7em; text-align: right; vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid #0b3c5d; } tbody tr:nth-child(even) { background: #f2f6f9; }
td.meaning { text-align: left; color: #51606e; max-width: 34em; } .unit { color: #51606e; }
.wide { overflow-x: auto; } figure { margin: 1.5em 0; } img { max-width: 100%; }
figcaption { color: #51606e; } pre { background: #f2f6f9; padding: 1em; overflow-x: auto;
       font-size: 12px; }
"""


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Table,
    figures: Sequence[tuple[Path, str]] = (),
    config_text: str = "",
    notes: Sequence[str] = (),
    integration: Table | None = None,
    cost: Table | None = None,
) -> Path:
    """Write the page to `path`; it appears whole or not at all and needs no other file.

    metrics: rows of `evaluation.metrics.evaluate_row` by name; integration: the summary of
    `integration.integrate`; cost: rows of any named values, with units in the names; figures: PNG
    files with their captions; notes: paragraphs of plain text.
    """
    sections = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        _section("Metrics", _table(metrics, COLUMNS)),
        _section("Integration in the ocean model", _table(integration, INTEGRATION_COLUMNS)),
        _section("Cost", _plain_table(cost)),
        _section("Figures", "".join(_figure(*figure) for figure in figures)),
        _section("Configuration", f"<pre>{escape(config_text)}</pre>" if config_text else ""),
    ]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n"
        f"<body>{''.join(sections)}</body></html>\n"
    )
    with atomic_write(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def format_value(value: Value) -> str:
    """Three significant figures, a dash for missing values."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, str):
        return escape(value)
    whole = isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6)
    text = f"{value:.0f}" if whole or abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def table_head(columns: Sequence[Column]) -> list[str]:
    """The first two lines of a Markdown table: an unnamed column, then these with their units."""
    heads = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in columns]
    return [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}\n" if content else ""


def _table(rows: Table | None, columns: Sequence[Column]) -> str:
    """Quantities downwards with their meaning, rows of the study across: fits a page."""
    if not rows:
        return ""
    present = [column for column in columns if any(column.key in row for row in rows.values())]
    head = "".join(f"<th>{escape(name)}</th>" for name in rows)
    body = "".join(_line(column, rows) for column in present)
    return _wrap(f"<th></th>{head}<th></th>", body)


def _line(column: Column, rows: Table) -> str:
    unit = f' <span class="unit">[{column.unit}]</span>' if column.unit else ""
    values = "".join(f"<td>{format_value(row.get(column.key))}</td>" for row in rows.values())
    meaning = f'<td class="meaning">{escape(column.meaning)}</td>'
    return f"<tr><td>{escape(column.name)}{unit}</td>{values}{meaning}</tr>"


def _plain_table(rows: Table | None) -> str:
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = "<th></th>" + "".join(f"<th>{escape(key)}</th>" for key in keys)
    lines = (
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{format_value(row.get(key))}</td>" for key in keys)
        + "</tr>"
        for name, row in rows.items()
    )
    return _wrap(head, "".join(lines))


def _wrap(head: str, body: str) -> str:
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(path: Path, caption: str) -> str:
    image = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{image}">'
        f"<figcaption>{text}</figcaption></figure>\n"
    )
