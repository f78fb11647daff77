"""The report: a self-contained HTML page about a set of samples."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from data.atomic import atomic_write
from data.salinity import PRACTICAL_SALINITY, SALINITY_UNIT, Salinity
from evaluation.columns import Column, Value, format_value, in_units_of
from evaluation.verdict import Verdict

Table = Mapping[str, Mapping[str, Value]]

INTEGRATION_COLUMNS = (
    Column("members", "members", "", "number of integrations"),
    Column("years", "length", "years", "of each integration"),
    Column("blown_up", "blown up", "", "runs that diverged; target: 0"),
    Column("drift_K", "drift", "K", "rms over depth of the change in level-mean T, start to end"),
    Column("drift_ratio_to_truth", "drift / truth", "", "1: as near equilibrium as the truth"),
    Column(
        "distance_K", "distance from the truth", "K",
        "rms over depth of the difference in annual-mean T from the run of the truth, last year",
    ),
    Column("mean_temperature_drift_K", "mean T drift", "K", "change of volume-mean temperature"),
    Column("mean_salinity_drift", "mean S drift", SALINITY_UNIT, "change of volume-mean salinity"),
    Column(
        "final_kinetic_energy_m2_s2", "final kinetic energy", "m²/s²",
        "volume mean at the end; target: the value of the truth",
    ),
)  # fmt: skip

FIRST = 3  # figures above the table of metrics

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
.verdict { border-left: 6px solid #b3541e; background: #f2f6f9; padding: .1em 1.2em; }
.fit { border-color: #2e7d4f; }
"""


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Table,
    columns: Sequence[Column],
    verdict: Verdict | None = None,
    figures: Sequence[tuple[Path, str]] = (),
    config_text: str = "",
    notes: Sequence[str] = (),
    findings: Sequence[str] = (),
    integration: Table | None = None,
    cost: Table | None = None,
    salinity: Salinity = PRACTICAL_SALINITY,
) -> Path:
    """Write the page to `path` atomically.

    metrics: rows by name; columns: quantities of these rows; verdict: comes first; integration:
    summary of `integration.integrate`; cost: rows of named values, with units in the names;
    figures: PNG files with captions, the most telling first; notes: paragraphs of plain text;
    findings: sentences on what no check of the verdict decides; salinity: its kind
    """
    columns, of_integration = (
        in_units_of(salinity, each) for each in (columns, INTEGRATION_COLUMNS)
    )
    sections = [
        f"<h1>{escape(title)}</h1>",
        _verdict(verdict) if verdict else "",
        *(f"<p>{escape(note)}</p>" for note in notes),
        _section("Beyond the verdict", _list(findings)),
        _section("What to look at first", "".join(_figure(*one) for one in figures[:FIRST])),
        _section("Checks of the verdict", _plain_table(verdict.table if verdict else None)),
        _section("Metrics", _table(metrics, columns)),
        _section("Integration in the ocean model", _table(integration, of_integration)),
        _section("Cost", _plain_table(cost)),
        _section("Figures", "".join(_figure(*figure) for figure in figures[FIRST:])),
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


def _verdict(verdict: Verdict) -> str:
    kind = "verdict fit" if verdict.fit else "verdict"
    heading = _section(verdict.headline, _list(verdict.reasons))
    return f'<div class="{kind}">{heading}</div>\n'


def _list(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}\n" if content else ""


def _table(rows: Table | None, columns: Sequence[Column]) -> str:
    """A table with one line per quantity and one column per row, to fit a page."""
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
