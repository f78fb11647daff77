"""Fill the tables of README.md and docs/ from docs/results: `halocline study tables`.

A table between the markers `<!-- table NAME -->` and `<!-- end -->` shows `docs/results/NAME.json`.
The `kind` of the result selects a study, whose module `tables` formats it. `<!-- table NAME GROUP
-->` shows one group of quantities, `<!-- table NAME GROUP: ROW; ROW -->` only these rows in this
order, and `<!-- table RUN+RUN GROUP -->` the autoencoders of several runs. The first table of each
result on a page is followed by the command, commit and machine that produced it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError, user_errors_in_one_sentence
from studies.analyses.tables import TABLES as ANALYSES
from studies.autoencoder.tables import TABLES as AUTOENCODER
from studies.autoencoder.tables import autoencoders_table
from studies.chain import TABLES as CHAIN
from studies.coarse_basin.tables import TABLES as COARSE_BASIN
from studies.compression.tables import TABLES as COMPRESSION
from studies.conditional.tables import TABLES as CONDITIONAL
from studies.cost.tables import TABLES as COST
from studies.downscaling.tables import TABLES as DOWNSCALING
from studies.ensemble.tables import TABLES as ENSEMBLE
from studies.guidance.tables import TABLES as GUIDANCE
from studies.markdown import Table, only
from studies.observations.tables import TABLES as OBSERVATIONS
from studies.partial.tables import TABLES as PARTIAL
from studies.recovery.tables import TABLES as RECOVERY
from studies.runs import run_table
from studies.spinup.tables import TABLES as SPINUP
from studies.terms.tables import TABLES as TERMS

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(
    r"(<!-- table (?P<name>[\w+]+)(?: (?P<group>\w+))?(?:: (?P<rows>[^>]+))? -->\n)"
    r".*?(<!-- end -->)",
    re.DOTALL,
)

TABLES: Mapping[str, Table] = {
    "run": run_table,
    **ANALYSES,
    **AUTOENCODER,
    **CHAIN,
    **COARSE_BASIN,
    **COMPRESSION,
    **CONDITIONAL,
    **COST,
    **DOWNSCALING,
    **ENSEMBLE,
    **GUIDANCE,
    **OBSERVATIONS,
    **PARTIAL,
    **RECOVERY,
    **SPINUP,
    **TERMS,
}


def main() -> None:
    """Fill all tables of the documents."""
    with user_errors_in_one_sentence():
        pages = {page: filled(page.read_text()) for page in documents()}
        for page, text in pages.items():
            page.write_text(text)


def documents() -> list[Path]:
    """README.md and all pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str) -> str:
    """The text of a page with its tables filled."""
    sourced: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        name, rows = match["name"], match["rows"]
        parts = [table(name, match["group"], rows=rows.split("; ") if rows else None)]
        if name not in sourced and "+" not in name:
            parts.append(source(name))
        sourced.add(name)
        return match[1] + "\n".join(parts) + match[5]

    return MARKED.sub(fill, text)


def table(name: str, group: str | None = None, *, rows: list[str] | None = None) -> str:
    """A result as a Markdown table.

    name: a result, or several runs joined by "+", whose autoencoders are shown
    group: group of quantities; rows: labels of the rows; default: all
    """
    if "+" in name:
        runs = {run: result_of(run)["autoencoder"] for run in name.split("+")}
        shown = autoencoders_table({"variants": runs}, group)
    else:
        result = result_of(name)
        shown = _table_of_kind(name, result["kind"])(result, group)
    return only(shown, rows) if rows else shown


def _table_of_kind(name: str, kind: str) -> Table:
    if kind not in TABLES:
        raise UserError(f"{name} is a result of unknown kind '{kind}'")
    return TABLES[kind]


def source(name: str) -> str:
    """The command, commit and machine that produced a result."""
    origin = result_of(name)["provenance"]
    return f"`{origin['command']}` at {origin['commit']}; {origin['machine']}.\n"


def result_of(name: str) -> dict[str, Any]:
    """The content of docs/results/NAME.json."""
    path = _path(name)
    if not path.is_file():
        raise UserError(f"{path} is missing; copy the metrics.json of the run to it")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def _path(name: str) -> Path:
    return ROOT / "docs" / "results" / f"{name}.json"
