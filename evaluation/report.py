"""The report: a self-contained HTML page about a set of samples, from a template and its style."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data.atomic import atomic_write
from data.salinity import PRACTICAL_SALINITY, SALINITY_UNIT, Salinity
from evaluation.columns import Column, Value, format_value, in_units_of
from evaluation.verdict import Verdict

Rows = Mapping[str, Mapping[str, Value]]
Kind = Literal["sentences", "figures", "metrics", "table", "facts", "folded"]

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
_TEMPLATE = "report.html.jinja"


class Section(NamedTuple):
    """A section of the page; one without content is left out."""

    title: str
    kind: Kind
    content: object

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Table:
    """Named values by named row. columns: of a table of metrics; keys: of a plain one."""

    rows: Rows
    columns: Sequence[Column] = ()

    @property
    def keys(self) -> list[str]:
        """Names of all values, in the order in which they first occur."""
        return list(dict.fromkeys(key for row in self.rows.values() for key in row))


class Picture(NamedTuple):
    """A figure: its name, its PNG in base64 and its caption."""

    name: str
    data: str
    caption: str


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Rows,
    columns: Sequence[Column],
    verdict: Verdict | None = None,
    figures: Sequence[tuple[Path, str]] = (),
    config_text: str = "",
    notes: Sequence[str] = (),
    findings: Sequence[str] = (),
    integration: Rows | None = None,
    cost: Rows | None = None,
    facts: Mapping[str, str] | None = None,
    salinity: Salinity = PRACTICAL_SALINITY,
) -> Path:
    """Write the page to `path` atomically.

    metrics: rows by name; columns: quantities of these rows; verdict: comes first; integration:
    summary of `integration.integrate`; cost: rows of named values, with units in the names;
    figures: PNG files with captions, the most telling first; notes: paragraphs of plain text;
    findings: sentences on what no check of the verdict decides; facts: where the numbers come from,
    see `evaluation.provenance.facts`; salinity: its kind
    """
    columns, of_integration = (
        in_units_of(salinity, each) for each in (columns, INTEGRATION_COLUMNS)
    )
    pictures = [_picture(*figure) for figure in figures]
    sections = [
        Section("Beyond the verdict", "sentences", findings),
        Section("What to look at first", "figures", pictures[:FIRST]),
        Section("Checks of the verdict", "table", _plain(verdict.table if verdict else None)),
        Section("Metrics", "metrics", _of_columns(metrics, columns)),
        Section(
            "Integration in the ocean model", "metrics", _of_columns(integration, of_integration)
        ),
        Section("Figures", "figures", pictures[FIRST:]),
        Section("Cost", "table", _plain(cost)),
        Section("Provenance", "facts", facts),
        Section("Configuration", "folded", config_text),
    ]
    page = _environment().get_template(_TEMPLATE)
    with atomic_write(path) as partial:
        partial.write_text(
            page.render(
                title=title,
                verdict=verdict,
                notes=notes,
                facts=facts,
                made=_made(facts or {}),
                sections=[section for section in sections if section.content],
            ),
            encoding="utf-8",
        )
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["value"] = lambda value: Markup(format_value(value))  # which escapes
    return environment


def _made(facts: Mapping[str, str]) -> str:
    """A line on when and with what the page was made."""
    when = f" on {facts['date']}" if "date" in facts else ""
    commit = f" at commit {facts['commit']}" if "commit" in facts else ""
    return f"Made{when} with Halocline{commit}."


def _plain(rows: Rows | None) -> Table | None:
    return Table(rows) if rows else None


def _of_columns(rows: Rows | None, columns: Sequence[Column]) -> Table | None:
    """A table with one line per quantity that a row has, and one column per row."""
    if not rows:
        return None
    present = [column for column in columns if any(column.key in row for row in rows.values())]
    return Table(rows, present)


def _picture(path: Path, caption: str) -> Picture:
    image = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(path.stem.replace("_", " "), image, caption)
