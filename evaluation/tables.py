"""Fill the tables of README.md and docs/ from docs/results: `python -m evaluation.tables`.

A table stands between the markers `<!-- table NAME -->` and `<!-- end -->` and shows
`docs/results/NAME.json`, a copy of a run's metrics.json or integration.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.report import COLUMNS, INTEGRATION_COLUMNS, Column, format_value

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Rewrite every marked table."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        page.write_text(MARKED.sub(lambda match: match[1] + table(match[2]) + match[3], text))


def table(name: str) -> str:
    """The Markdown of a result, with the machine and commit that made it."""
    result = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    parts = []
    if "rows" in result:
        parts.append(markdown(result["rows"], COLUMNS))
    integration = result.get("integration") or result
    if "by_start" in integration:
        parts.append(markdown(integration["by_start"], INTEGRATION_COLUMNS))
    made = result["provenance"]
    parts.append(f"`{made['command']}` at {made['commit']}; {made['machine']}.\n")
    return "\n".join(parts)


def markdown(rows: Mapping[str, Mapping[str, Any]], columns: tuple[Column, ...]) -> str:
    """One line for each quantity, one column for each row of the evaluation."""
    names = [name.replace("_", " ") for name in rows]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for column in columns:
        unit = f" [{column.unit}]" if column.unit else ""
        values = " | ".join(format_value(row.get(column.key)) for row in rows.values())
        lines.append(f"| {column.name}{unit} | {values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
