"""Fill the tables of README.md and docs/ from docs/results: `halocline study tables`.

A table stands between the markers `<!-- table NAME -->` and `<!-- end -->` and shows
`docs/results/NAME.json`. The result's `kind` says which study it belongs to, and that study's
module `tables` how it is shown. `<!-- table NAME GROUP -->` shows one group of its quantities;
`<!-- table NAME GROUP: ROW; ROW -->` these rows only, in this order. `<!-- table RUN+RUN GROUP -->`
shows the autoencoders of several runs. Below the first table of each result in a page stand the
command, commit and machine that made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError, user_errors_in_one_sentence
from evaluation.report import COLUMNS, INTEGRATION_COLUMNS
from studies.autoencoder.tables import TABLES as AUTOENCODER
from studies.autoencoder.tables import autoencoders_table
from studies.cost.tables import TABLES as COST
from studies.guidance.tables import TABLES as GUIDANCE
from studies.markdown import Result, Table, chosen, only, quantities_markdown
from studies.spinup.tables import TABLES as SPINUP

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(
    r"(<!-- table (?P<name>[\w+]+)(?: (?P<group>\w+))?(?:: (?P<rows>[^>]+))? -->\n)"
    r".*?(<!-- end -->)",
    re.DOTALL,
)


def run_table(result: Result, group: str | None) -> str:
    """The states of a run, and how they drifted where it integrated them; "states": the first."""
    alone = chosen({"states": True}, group)
    parts = [quantities_markdown(result["rows"], COLUMNS)]
    if result.get("integration") and not alone:
        parts.append(quantities_markdown(result["integration"]["by_start"], INTEGRATION_COLUMNS))
    return "\n".join(parts)


TABLES: Mapping[str, Table] = {"run": run_table, **AUTOENCODER, **COST, **GUIDANCE, **SPINUP}


def main() -> None:
    """Rewrite every marked table."""
    with user_errors_in_one_sentence():
        pages = {page: filled(page.read_text()) for page in documents()}
        for page, text in pages.items():
            page.write_text(text)


def documents() -> list[Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str) -> str:
    """A page with its tables filled from the results."""
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
    """The Markdown of a result.

    name: of one result, or of several runs, joined by "+", whose autoencoders are shown
    group: the group of quantities to show; rows: the labels of the rows to show, all if None
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
        raise UserError(f"results of the kind '{kind}' have no table; {name} is one")
    return TABLES[kind]


def source(name: str) -> str:
    """The command, commit and machine that made a result."""
    made = result_of(name)["provenance"]
    return f"`{made['command']}` at {made['commit']}; {made['machine']}.\n"


def result_of(name: str) -> dict[str, Any]:
    """What docs/results/NAME.json holds."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: copy there the metrics.json of the run to be shown")
    result: dict[str, Any] = json.loads(path.read_text())
    return result
