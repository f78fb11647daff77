"""Tables of the study of the coarse basin."""

from __future__ import annotations

from studies.coarse_basin.columns import STABILITY, STATES, TARGETS
from studies.markdown import Result, Table, chosen, rows_markdown
from studies.started import RUNS

GROUPS = {"states": STATES, "stability": STABILITY, "runs": RUNS, "targets": TARGETS}


def coarse_basin_table(result: Result, group: str | None) -> str:
    """Rows by quantity.

    group: "states" (default), "stability", "runs" (only rows that were integrated) or "targets"
    """
    columns = chosen(GROUPS, group) or STATES
    if group == "targets":
        return rows_markdown(result["targets"], columns)
    labels = result["labels"]
    rows = {labels[name]: row for name, row in result["rows"].items()}
    if group == "runs":
        rows = {name: row for name, row in rows.items() if "blown_up" in row}
    return rows_markdown(rows, columns)


TABLES: dict[str, Table] = {"coarse_basin": coarse_basin_table}
